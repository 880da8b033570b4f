//! Machines that become nodes: checked before, cordoned with the reason when something is wrong with them, and ended when they
//! cannot be let in.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use atlas_tests::harness::{Cluster, Run, Settings, binary, eventually, job_user};
use serde_json::Value;

/// A second node beside the cluster's own.
struct Second(Child);

impl Drop for Second {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn atlas_node(cluster: &Cluster, data: &Path, shared: &Path) -> Command {
    let mut command = Command::new(binary("atlas-node"));
    command.args(["--master", &cluster.grpc(), "--name", "second", "--listen", "127.0.0.1:0"]);
    command.args(["--executor", "process"]).args(job_user()).stdin(Stdio::null());
    command.arg("--data").arg(data).arg("--shared").arg(shared);
    command
}

impl Second {
    fn start(cluster: &Cluster, data: &Path, shared: &Path) -> Self {
        let mut command = atlas_node(cluster, data, shared);
        command.arg("--token-file").arg(cluster.path("master/join-token"));
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

/// Waits until this node is in this state, and says why it is.
fn state(cluster: &Cluster, name: &str, state: &str) -> String {
    eventually(&format!("{name} is {state}"), || {
        let nodes = cluster.json(&["node", "list"]);
        let mut nodes = nodes.as_array()?.iter();
        let node = nodes.find(|it| it["name"] == name && it["state"] == state)?;
        Some(node["reason"].as_str().unwrap_or_default().to_owned())
    })
}

#[test]
fn a_folder_that_is_not_the_share_cordons_its_node_until_it_is() {
    let mut cluster = Cluster::start(Settings::default());
    let other = cluster.path("not-mounted");
    fs::create_dir(&other).unwrap();
    let _second = Second::start(&cluster, &cluster.path("second"), &other);
    let why = state(&cluster, "second", "cordoned");
    assert!(why.contains("share: ") && why.contains("mount it"), "{why}");
    // What only this one could run now waits for it and says so; nobody else waits behind it.
    cluster.kill_node();
    state(&cluster, "node-a", "away");
    let dir = cluster.project("one", &[("main.py", "print('here')")]);
    let id = cluster.submit(&dir, &["main.py"]);
    assert_eq!(cluster.job(&id)["status"], "queued");
    assert_eq!(fs::read_dir(&other).unwrap().count(), 0, "something was written there");
    // The storage is mounted: here, the same folders come to be there.
    for folder in ["share", "jobs", "bundles"] {
        let there = cluster.path("shared").join(folder);
        fs::create_dir_all(&there).unwrap();
        std::os::unix::fs::symlink(there, other.join(folder)).unwrap();
    }
    state(&cluster, "second", "ready");
    let job = cluster.wait_status(&id, "completed");
    assert_eq!(job["node"], "second", "{job:#}");
}

#[test]
fn a_node_without_room_takes_no_jobs_and_says_why() {
    let cluster = Cluster::start(Settings::default());
    let small = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=32m,mode=755", "none"])
        .arg(small.path())
        .status();
    assert!(mounted.unwrap().success());
    let second = Second::start(&cluster, &small.path().join("data"), &cluster.path("shared"));
    let why = state(&cluster, "second", "cordoned");
    assert!(why.contains("disk: ") && why.contains("--min-free"), "{why}");
    let dir = cluster.project("one", &[("main.py", "")]);
    for _ in 0..3 {
        let id = cluster.submit(&dir, &["main.py"]);
        assert_eq!(cluster.wait_status(&id, "completed")["node"], "node-a");
    }
    drop(second);
    assert!(Command::new("umount").arg("--lazy").arg(small.path()).status().unwrap().success());
}

#[test]
fn an_agent_that_nobody_lets_in_and_that_holds_nothing_ends_with_what_to_do() {
    let cluster = Cluster::start(Settings::default());
    let mut command = atlas_node(&cluster, &cluster.path("second"), &cluster.path("shared"));
    let output = command.args(["--token", "wrong"]).output().unwrap();
    let run = Run::of(&["atlas-node"], &output).exits(126);
    let run = run.says("the join token is not this cluster's: `atlas join-token`");
    assert!(!run.stderr.contains("code: "), "it is said a second time, as gRPC puts it: {run:?}");
    let foreign = cluster.path("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("cluster"), "another").unwrap();
    let mut command = atlas_node(&cluster, &foreign, &cluster.path("shared"));
    command.arg("--token-file").arg(cluster.path("master/join-token"));
    let output = command.output().unwrap();
    Run::of(&["atlas-node"], &output).exits(126).says("belongs to cluster another");
}

#[test]
fn a_machine_is_checked_before_it_becomes_a_node() {
    let cluster = Cluster::start(Settings::default());
    let token = cluster.atlas(&["join-token", "--data", cluster.path("master").to_str().unwrap()]);
    let token = token.exits(0).says("--insecure-no-accounts").says("atlas-node --master");
    let token = token.stdout.trim();
    let check = |shared: &Path, token: &str, code: i32| -> Value {
        let args = ["check", "--output", "json", "--token", token, "--min-free", "1MB"];
        let mut command = Command::new(binary("atlas-node"));
        command.args(args).args(["--master", &cluster.grpc(), "--listen", "127.0.0.1:0"]);
        command.args(["--executor", "process"]).args(job_user());
        command.arg("--data").arg(cluster.path("new")).arg("--shared").arg(shared);
        let run = Run::of(&args, &command.output().unwrap()).exits(code);
        serde_json::from_str(&run.stdout).unwrap()
    };
    let of = |findings: &Value, check: &str| -> (String, String) {
        let mut all = findings.as_array().unwrap().iter();
        let it = all.find(|it| it["check"] == check).unwrap();
        (it["state"].as_str().unwrap().into(), it["detail"].as_str().unwrap().into())
    };
    let shared = cluster.path("shared");
    let well = check(&shared, token, 0);
    for name in ["master", "clock", "shared", "data", "port"] {
        assert_eq!(of(&well, name).0, "ok", "{well:#}");
    }
    let (state, why) = of(&check(&cluster.path("projects"), token, 1), "shared");
    assert!(state == "failed" && why.contains("mount"), "{why}");
    let refused = check(&shared, "wrong", 1);
    let (state, why) = of(&refused, "master");
    assert!(state == "failed" && why.contains("atlas join-token"), "{why}");
    assert_eq!(of(&refused, "shared").0, "warning");
    assert!(!cluster.path("new").exists(), "a check left something behind");
}
