//! What a user types, and the folder that is named.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

use atlas_tests::harness::{Cluster, Run, Settings, binary};

use super::{nothing_is_left, refused};
use crate::rpc::{Rpc, submission};

#[test]
fn what_the_command_line_names_wrongly_is_refused_before_anything_is_sent() {
    let cluster = Cluster::start(Settings::default());
    let dir = cluster
        .project("words", &[("main.py", ""), ("data.bin", ""), (".gitignore", "data.bin\n")]);
    let (dir, file) = (dir.to_str().unwrap(), dir.join("main.py"));
    let missing = cluster.path("not/there");
    for (args, words) in [
        (
            vec!["nowhere", dir, "main.py"],
            vec!["'nowhere'", "known are scheduler", "atlas info --env"],
        ),
        (vec!["schedule", dir, "main.py"], vec!["did you mean 'scheduler'?"]),
        (vec!["scheduler", missing.to_str().unwrap(), "main.py"], vec!["not/there does not exist"]),
        (vec!["scheduler", file.to_str().unwrap(), "main.py"], vec!["main.py is not a directory"]),
        (vec!["scheduler"], vec!["JOB_DIR is missing"]),
        (
            vec!["scheduler", dir, "main.py", "--data=data.bin"],
            vec!["data.bin is named in the command", ".gitignore:1"],
        ),
        (vec!["scheduler", dir, "--num-gpu", "1", "main.py"], vec!["--num-gpus"]),
        (
            vec!["--env", "ATLAS_TEST_IS_NOT_SET", "scheduler", dir, "main.py"],
            vec!["ATLAS_TEST_IS_NOT_SET"],
        ),
        (vec!["--params", "{\"a\": ", "scheduler", dir, "main.py"], vec!["--params"]),
    ] {
        let args = [&["submit"], args.as_slice()].concat();
        refused(&cluster, &args, 2, &words);
        nothing_is_left(&cluster, &args.join(" "));
    }
}

#[test]
fn numbers_that_are_none_are_refused_by_the_name_of_their_option() {
    let cluster = Cluster::start(Settings::default());
    let dir = cluster.project("numbers", &[("main.py", "")]);
    let dir = dir.to_str().unwrap();
    let gpus = ["-1", "1.5", "many", "99999999999999999999", "", "1e3", "NaN"];
    let others = ["-1", "0", "many", "1e99", "", "NaN", "inf", "0.000001"];
    let options = [
        ("--num-gpus", "GPU", &gpus[..]),
        ("--cpus", "CPU", &others),
        ("--ram", "RAM", &others),
        ("--shm", "shared memory", &others),
    ];
    for (option, what, values) in options {
        for value in values {
            let option_is = format!("{option}={value}");
            let given = format!("Given: {value:?}");
            let words = [option, &format!("Invalid {what} quantity"), &given];
            refused(&cluster, &["submit", &option_is, "scheduler", dir, "main.py"], 126, &words);
        }
    }
    nothing_is_left(&cluster, "numbers");
}

#[test]
fn a_job_that_fits_no_node_is_refused_before_its_bundle_travels() {
    let cluster = Cluster::start(Settings { volumes: "/srv:ro".into(), ..Settings::default() });
    let dir = cluster.project("large", &[("main.py", "")]);
    for (option, words) in [
        ("--num-gpus=64", "64 GPUs"),
        ("--ram=1000000", "1000000.0 GB memory"),
        ("--volume=/etc:/etc", "volume /etc"),
        ("--volume=/srv:/srv", "volume /srv"),
    ] {
        let args = ["submit", option, "scheduler", dir.to_str().unwrap(), "main.py"];
        let words = ["no node could ever run this job", words, "--wait-for-capacity"];
        refused(&cluster, &args, 126, &words);
        nothing_is_left(&cluster, option);
    }
}

#[test]
fn job_config_yaml_is_refused_with_line_and_key() {
    let cluster = Cluster::start(Settings::default());
    // As many aliases of aliases as make a terabyte.
    let bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned()
        + &(b'b'..=b'm').map(|it| {
            let (new, old) = (char::from(it), char::from(it - 1));
            format!("{new}: &{new} [*{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}]\n")
        }).collect::<String>();
    for (name, text, words) in [
        (
            "unknown",
            "num_gpu: 1\n",
            vec!["job.config.yaml:1", "`num_gpu`", "did you mean `num_gpus`?"],
        ),
        (
            "nested",
            "worker:\n  imge: x\n",
            vec!["job.config.yaml:2", "`worker.imge`", "`worker.image`"],
        ),
        ("negative", "\nnum_gpus: -1\n", vec!["job.config.yaml:2", "num_gpus", "Given: \"-1\""]),
        ("fractional", "num_gpus: 1.5\n", vec!["num_gpus", "Given: \"1.5\""]),
        ("textual", "ram: lots\n", vec!["ram", "Given: \"lots\""]),
        ("huge", "cpus: 1e99\n", vec!["cpus", "Given: \"1e99\""]),
        ("mapping", "ram: {a: 1}\n", vec!["job.config.yaml:1", "ram"]),
        ("no-yaml", "worker: [\n", vec!["job.config.yaml"]),
        ("list", "- 1\n- 2\n", vec!["job.config.yaml"]),
        ("bomb", &bomb, vec!["job.config.yaml"]),
        ("long", &format!("note: {}\n", "x".repeat(70_000)), vec!["job.config.yaml"]),
        ("empty-command", "worker:\n  args: []\n", vec!["worker.args"]),
        ("reserved", "worker:\n  environment:\n    ATLAS_JOB_ID: mine\n", vec!["ATLAS_JOB_ID"]),
        ("volume", "worker:\n  volumes:\n    /a/../b: {bind: /x}\n", vec!["/a/../b"]),
    ] {
        let dir = cluster.project(name, &[("main.py", ""), ("job.config.yaml", text)]);
        let mut args = vec!["submit", "scheduler", dir.to_str().unwrap()];
        if name != "empty-command" {
            args.push("main.py");
        }
        refused(&cluster, &args, 126, &words);
        nothing_is_left(&cluster, name);
    }
}

#[test]
fn a_job_without_a_command_is_refused() {
    let cluster = Cluster::start(Settings::default());
    let dir = cluster.project("empty", &[("main.py", "")]);
    for command in [&[][..], &[""]] {
        let args = [&["submit", "scheduler", dir.to_str().unwrap()], command].concat();
        refused(&cluster, &args, 126, &["COMMAND"]);
    }
    nothing_is_left(&cluster, "an empty command");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let cluster = Cluster::start(Settings::default());
    // Root reads everything, so the command then runs as somebody else, in a place where that one may be.
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let atlas = place.path().join("atlas");
    fs::copy(binary("atlas"), &atlas).unwrap();
    let dir = place.path().join("project");
    fs::create_dir_all(dir.join("sub")).unwrap();
    fs::write(dir.join("main.py"), "").unwrap();
    let url = format!("scheduler_url: {}\n", cluster.grpc());
    let home = place.path().join("config/submission");
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("scheduler.config.yaml"), url).unwrap();
    let secret = dir.join("sub/secret.bin");
    fs::write(&secret, "x").unwrap();
    for (path, mode) in [(secret, 0o000), (dir.join("sub"), 0o000)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let args = ["submit", "scheduler", dir.to_str().unwrap(), "main.py"];
        let mut command = cluster.command(&args);
        let mut other = std::process::Command::new(&atlas);
        other.args(args).env("ATLAS_HOME", place.path()).env("HOME", place.path());
        if fs::metadata(place.path()).unwrap().uid() == 0 {
            command = other;
            command.uid(65534).gid(65534);
        }
        let run = Run::of(&args, &command.output().unwrap()).exits(2);
        run.says(&format!("cannot read {}", path.display())).says("ermission denied");
        nothing_is_left(&cluster, &path.display().to_string());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn a_job_that_is_unknown_or_ambiguous_is_refused_wherever_one_is_named() {
    let cluster = Cluster::start(Settings::default());
    let rpc = Rpc::new(&cluster);
    let bundle = rpc.bundle(&cluster, &cluster.project("prefix", &[("main.py", "")]));
    let twins = ["abcd1234-0000-4000-8000-000000000001", "abcd1234-0000-4000-8000-000000000002"];
    for id in twins {
        rpc.submit(submission(id, &bundle, &["true"])).unwrap();
        cluster.atlas(&["wait", id]).exits(0);
    }
    let unknown = "00000000-0000-4000-8000-000000000000";
    for (job, code, words) in [
        (unknown, 1, [unknown, "no job"]),
        ("ffffffff", 1, ["ffffffff", "no job"]),
        ("abcd1", 1, twins),
        ("abc", 1, ["abc", "4"]),
        ("../../etc", 1, ["../../etc", "job"]),
    ] {
        for verb in [
            &["show"][..],
            &["ls"],
            &["stop", "scheduler"],
            &["delete", "job", "--yes", "scheduler"],
            &["get", "logs", "scheduler"],
            &["get", "job", "scheduler"],
            &["wait"],
        ] {
            let code = if verb == ["wait"] { 126 } else { code };
            refused(&cluster, &[verb, &[job]].concat(), code, &words);
        }
    }
    assert_eq!(cluster.json(&["jobs"]).as_array().unwrap().len(), 3);
}

#[test]
fn a_master_that_is_not_there_is_named_at_once_with_how_to_start_one() {
    let cluster = Cluster::start(Settings::default());
    let dir = cluster.project("nobody", &[("main.py", "")]);
    // A port that nobody has now.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("scheduler_url: http://{address}\n");
    fs::write(cluster.path("home/config/submission/gone.config.yaml"), url).unwrap();
    for args in [
        &["submit", "gone", dir.to_str().unwrap(), "main.py"][..],
        &["jobs", "--config", "gone"],
        &["wait", "--config", "gone", "abcd1234"],
        &["get", "logs", "--follow", "gone", "abcd1234"],
    ] {
        let began = Instant::now();
        refused(&cluster, args, 126, &[&format!("http://{address}"), "atlas up"]);
        assert!(began.elapsed() < Duration::from_secs(20), "{args:?} took {:?}", began.elapsed());
    }
}
