//! What a job finds, and what is found of it afterwards. The same in both executors.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use atlas_tests::harness::{Cluster, Run, Settings, eventually};
use serde_json::{Value, json};

fn start(executor: &'static str) -> Cluster {
    Cluster::start(Settings { executor, ..Settings::default() })
}

fn submit(cluster: &Cluster, options: &[&str], dir: &Path, command: &[&str]) -> (String, Run) {
    let dir = dir.to_str().unwrap();
    let args = [&["submit", "--quiet"], options, &["scheduler", dir], command].concat();
    let run = cluster.atlas(&args);
    (run.stdout.trim().to_owned(), run)
}

/// Fetches all that is kept of a job that has ended.
fn fetch(cluster: &Cluster, id: &str) -> std::path::PathBuf {
    eventually("it is archived", || (cluster.job(id)["phase"] == "done").then_some(()));
    let save = format!("--save_dir={}", cluster.path("got").display());
    cluster.atlas(&["get", "job", &save, "scheduler", id]).exits(0);
    cluster.path("got").join(id)
}

#[test]
fn a_worker_is_free_at_the_exit_while_a_gigabyte_is_still_being_archived() {
    let cluster = start("process");
    let dir = cluster.project("outputs", &[("main.py", "")]);
    let write = "head -c 1500000000 /dev/zero > large";
    let large = cluster.submit(&dir, &["sh", "-c", write]);
    let archived = cluster.path("shared/jobs").join(&large[..2]).join(&large).join("outputs/large");
    // It looks with its first instruction, and nobody has to be quick.
    let look = format!("! test -e {}", archived.display());
    let next = cluster.submit(&dir, &["sh", "-c", &look]);
    let ended = cluster.atlas(&["wait", &next]).code;
    assert_eq!(ended, 0, "the worker was not free before the archive was done");
    assert_eq!(cluster.job(&large)["status"], "completed");
    eventually("it is archived", || (cluster.job(&large)["phase"] == "done").then_some(()));
    let listed = cluster.json(&["ls", &large, "outputs"]);
    assert_eq!(listed[0]["path"], "outputs/large", "{listed}");
    assert_eq!(listed[0]["bytes"], 1_500_000_000, "{listed}");
}

#[test]
fn fetching_again_takes_only_what_is_missing() {
    let cluster = start("process");
    let script = "for n in range(3): open(f'out-{n}', 'w').write('x' * 1000 * (n + 1))\n";
    let dir = cluster.project("resume", &[("main.py", script)]);
    let (id, run) = submit(&cluster, &[], &dir, &["main.py"]);
    run.exits(0);
    let got = fetch(&cluster, &id).join("outputs");
    let inode = |name: &str| fs::metadata(got.join(name)).unwrap().ino();
    let (whole, broken) = (inode("out-0"), "x".repeat(100));
    fs::remove_file(got.join("out-1")).unwrap();
    fs::write(got.join("out-2"), broken).unwrap();
    fetch(&cluster, &id);
    assert_eq!(inode("out-0"), whole, "a file that was there was fetched again");
    for (name, length) in [("out-0", 1000), ("out-1", 2000), ("out-2", 3000)] {
        assert_eq!(fs::read_to_string(got.join(name)).unwrap(), "x".repeat(length), "{name}");
    }
}

fn finds_its_environment_parameters_and_checkpoints(executor: &'static str) {
    const SCRIPT: &str = "import json, os\n\
        json.dump(dict(os.environ), open('env.json', 'w'))\n\
        json.dump(json.load(open('foundations_job_parameters.json')), open('params.json', 'w'))\n\
        open(os.path.join(os.environ['ATLAS_CHECKPOINT_DIR'], 'step'), 'w').write('7')\n\
        assert os.environ['SOME_TOKEN'] == 'hunter2-of-this-test'\n";
    let cluster = start(executor);
    let config = "project_name: found\nworker:\n  environment:\n    VERSION: 3.10\n    GREETING: from the file\n";
    let dir = cluster.project("found-by-jobs", &[("main.py", SCRIPT), ("job.config.yaml", config)]);
    let options = [
        "--env=GREETING=hello world",
        "--env=SOME_TOKEN=hunter2-of-this-test",
        "--params={\"rate\": 0.10, \"layers\": [1, 2]}",
    ];
    let (id, run) = submit(&cluster, &options, &dir, &["main.py"]);
    run.exits(0);

    let shown = cluster.atlas(&["show", &id]).exits(0).stdout;
    let job = cluster.job(&id);
    assert_eq!(job["env"]["SOME_TOKEN"], "***");
    assert_eq!(job["env"]["GREETING"], "hello world");
    for (place, text) in [
        ("show", shown),
        ("jobs", cluster.json(&["jobs"]).to_string()),
        ("the master's log", fs::read_to_string(cluster.path("master.log")).unwrap()),
        ("the agent's log", fs::read_to_string(cluster.path("node.log")).unwrap()),
    ] {
        assert!(!text.contains("hunter2"), "{place} tells a secret");
    }

    let got = fetch(&cluster, &id);
    let read = |name: &str| -> Value {
        serde_json::from_str(&fs::read_to_string(got.join("outputs").join(name)).unwrap()).unwrap()
    };
    let env = read("env.json");
    for (name, value) in [
        ("ATLAS_JOB_ID", id.as_str()),
        ("FOUNDATIONS_JOB_ID", &id),
        ("ATLAS_PROJECT", "found"),
        ("ATLAS_ATTEMPT", "1"),
        ("PYTHONUNBUFFERED", "1"),
        ("VERSION", "3.10"),
        ("GREETING", "hello world"),
        ("CUDA_VISIBLE_DEVICES", ""),
    ] {
        assert_eq!(env[name], value, "{name}");
    }
    assert_eq!(read("params.json"), json!({"rate": 0.10, "layers": [1, 2]}));
    assert_eq!(fs::read_to_string(got.join("checkpoints/step")).unwrap(), "7");
}

#[test]
fn a_process_finds_its_environment_parameters_and_checkpoints() {
    finds_its_environment_parameters_and_checkpoints("process");
}

#[test]
fn a_container_finds_its_environment_parameters_and_checkpoints() {
    finds_its_environment_parameters_and_checkpoints("docker");
}

/// A package that pip installs without an index.
pub(super) fn wheel(dir: &Path, name: &str) -> String {
    const WRITE: &str = "import sys, zipfile\nname, path = sys.argv[1:]\ninfo = f'{name}-1.0.dist-info'\n\
        files = {f'{name}.py': 'VALUE = 42\\n',\n\
        f'{info}/METADATA': f'Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n',\n\
        f'{info}/WHEEL': 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n',\n\
        f'{info}/RECORD': ''}\n\
        with zipfile.ZipFile(path, 'w') as wheel:\n    [wheel.writestr(*it) for it in files.items()]\n";
    let file = format!("{name}-1.0-py3-none-any.whl");
    let written =
        Command::new("python3").args(["-c", WRITE, name]).arg(dir.join(&file)).status().unwrap();
    assert!(written.success());
    file
}

fn finds_its_requirements(executor: &'static str) {
    let cluster = start(executor);
    let script = "import atlas_found\nprint('value', atlas_found.VALUE)\n";
    let dir = cluster.project("requirements", &[("main.py", script)]);
    let list = format!("--no-index\n./{}\n", wheel(&dir, "atlas_found"));
    fs::write(dir.join("requirements.txt"), list).unwrap();
    for _ in ["built", "built before"] {
        let (id, run) = submit(&cluster, &[], &dir, &["main.py"]);
        run.exits(0);
        let log = cluster.atlas(&["get", "logs", "scheduler", &id]).exits(0).stdout;
        assert!(log.contains("value 42\n"), "{log}");
    }

    fs::write(dir.join("requirements.txt"), "--no-index\nno-such-package-of-atlas\n").unwrap();
    let (id, run) = submit(&cluster, &[], &dir, &["main.py"]);
    run.exits(125);
    assert_eq!(cluster.job(&id)["cause"], "requirements");
    let log = cluster.atlas(&["get", "logs", "scheduler", &id]).exits(0).stdout;
    assert!(log.contains("no-such-package-of-atlas"), "pip's words are missing: {log}");
    assert!(!log.contains("value"), "{log}");

    let (_, run) = submit(&cluster, &["--entrypoint=echo"], &dir, &["without", "requirements"]);
    run.exits(0);
}

#[test]
fn a_process_finds_its_requirements_and_ends_where_they_cannot_be_had() {
    finds_its_requirements("process");
}

#[test]
fn a_container_finds_its_requirements_and_ends_where_they_cannot_be_had() {
    finds_its_requirements("docker");
}
