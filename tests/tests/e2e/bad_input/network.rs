//! State on a network file system, which is a real one to the kernel.

use std::fs;
use std::path::Path;
use std::process::Command;

use atlas_tests::harness::{Run, binary};

const FUSE: &str = include_str!("fuse.py");

/// Runs one of our programs where this folder is a file system of that type.
fn run_on(kind: &str, folder: &Path, program: &str, args: &[&str]) -> Run {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "python3", "-c", FUSE, kind]);
    command.arg(folder).arg(binary(program)).args(args);
    command.env("ATLAS_HOME", folder.with_file_name("home"));
    Run::of(args, &command.output().unwrap())
}

#[test]
fn data_on_a_network_file_system_is_refused_before_anything_is_made() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("export");
    fs::create_dir(&folder).unwrap();
    let (there, not_yet) = (folder.display().to_string(), format!("{}/below", folder.display()));
    for data in [there.as_str(), &not_yet] {
        let master = ["--data", data, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
        let node = ["--data", data, "--token", "t", "--master", "http://127.0.0.1:1"];
        let node = [&node[..], &["--job-user", "root", "--executor", "process"]].concat();
        let up = [&["up", "--executor", "process", "--node", "0"], &master[..]].concat();
        for (program, args) in
            [("atlas-master", &master[..]), ("atlas-node", &node), ("atlas", &up)]
        {
            let refused = run_on("fuse.sshfs", &folder, program, args).exits(126);
            refused.says(&format!("--data {data}")).says("fuse.sshfs").says("local disk");
        }
        // One that reaches over no network is not what is refused.
        let other = run_on("fuse.local", &folder, "atlas-master", &master).exits(126);
        assert!(!other.stderr.contains("network"), "{other:#?}");
    }
}
