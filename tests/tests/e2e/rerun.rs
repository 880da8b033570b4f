//! A job again, as a new one.

use std::path::Path;

use atlas_tests::harness::{Cluster, Run, Settings, eventually};

/// Says its parameters and what the job before it left, and leaves something itself.
const STEPS: &str = "import json, os, pathlib\n\
    print('params', json.dumps(json.load(open('foundations_job_parameters.json')), sort_keys=True))\n\
    before = os.environ.get('ATLAS_RESUME_DIR')\n\
    step = int((pathlib.Path(before) / 'deep/step').read_text()) if before else 0\n\
    print('from step', step)\n\
    if before:\n    \
        try:\n        (pathlib.Path(before) / 'mine').write_text('x')\n        print('written')\n    \
        except OSError as error:\n        print('refused', type(error).__name__)\n\
    here = pathlib.Path(os.environ['ATLAS_CHECKPOINT_DIR']) / 'deep'\n\
    here.mkdir()\n\
    (here / 'step').write_text(str(step + 1))\n";
const PARAMS: &str = r#"{"lr": 0.1, "large": 88888888888888888888888888}"#;

fn start(executor: &'static str, shared: bool) -> Cluster {
    Cluster::start(Settings { executor, shared, ..Settings::default() })
}

fn submit(cluster: &Cluster, options: &[&str], dir: &Path) -> String {
    let quiet = ["submit", "--quiet"];
    let rest = ["scheduler", dir.to_str().unwrap(), "main.py"];
    let ran = cluster.atlas(&[&quiet[..], options, &rest].concat()).exits(0);
    done(cluster, &ran)
}

/// The id that was printed, once that job is done.
fn done(cluster: &Cluster, ran: &Run) -> String {
    let id = ran.stdout.trim().to_owned();
    eventually("it is done", || (cluster.job(&id)["phase"] == "done").then_some(()));
    id
}

fn rerun(cluster: &Cluster, options: &[&str], id: &str) -> String {
    done(cluster, &cluster.atlas(&[&["rerun", "--quiet"], options, &[id]].concat()).exits(0))
}

fn log(cluster: &Cluster, id: &str) -> String {
    cluster.atlas(&["get", "logs", "scheduler", id]).exits(0).stdout
}

#[test]
fn a_rerun_is_the_same_job_but_for_the_parameters_that_were_named() {
    let cluster = start("process", true);
    let dir = cluster.project("steps", &[("main.py", STEPS)]);
    let options = ["--params", PARAMS, "--tag", "sweep=3", "--name", "first", "--cpus", "1"];
    let first = submit(&cluster, &options, &dir);
    std::fs::remove_dir_all(&dir).unwrap();

    let second = rerun(&cluster, &["--params", r#"{"lr": 0.01}"#], &first[..8]);
    assert_ne!(first, second);
    let (before, after) = (cluster.job(&first), cluster.job(&second));
    for same in ["project", "name", "tags", "cpus", "command", "bundle", "user"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    assert_eq!(after["rerun"], serde_json::json!({ "of": first, "resume": false }));
    let said = log(&cluster, &second);
    assert!(said.contains(r#"params {"large": 88888888888888888888888888, "lr": 0.01}"#), "{said}");
    let shown = cluster.atlas(&["show", &second]).exits(0).stdout;
    assert!(shown.contains(&format!("rerun of   {first}\n")), "{shown}");

    cluster.atlas(&["rerun", "ffff"]).exits(126).says("there is no job");
    cluster.atlas(&["rerun", "--params", "{\"lr\"", &first]).exits(2).says("not a JSON object");
}

fn goes_on_from_the_checkpoints(executor: &'static str, shared: bool) {
    let cluster = start(executor, shared);
    let dir = cluster.project("steps", &[("main.py", STEPS)]);
    let first = submit(&cluster, &["--params", "{}"], &dir);
    let second = rerun(&cluster, &["--resume"], &first);
    let third = rerun(&cluster, &["--resume"], &second);
    let said = log(&cluster, &third);
    assert!(said.contains("from step 2\n"), "{said}");
    if executor == "docker" {
        assert!(said.contains("refused OSError\n"), "{said}");
    }
    assert_eq!(cluster.job(&third)["left_behind"], serde_json::Value::Null);
    // Nobody said so this time.
    let said = log(&cluster, &rerun(&cluster, &[], &second));
    assert!(said.contains("from step 0\n"), "{said}");
}

#[test]
fn a_process_goes_on_from_the_checkpoints_of_another_job() {
    goes_on_from_the_checkpoints("process", true);
}

#[test]
fn a_container_goes_on_from_the_checkpoints_of_another_job_and_cannot_change_them() {
    goes_on_from_the_checkpoints("docker", true);
}

#[test]
fn a_node_without_the_share_is_given_the_checkpoints_of_another_job() {
    goes_on_from_the_checkpoints("process", false);
}

#[test]
fn what_cannot_be_resumed_is_refused_and_is_no_job() {
    let cluster = start("process", true);
    let dir = cluster.project("none", &[("main.py", "print('hello')"), ("long.sh", "sleep 600")]);
    let none = submit(&cluster, &[], &dir);
    let refused = cluster.atlas(&["rerun", "--resume", &none]).exits(126);
    refused.says("--resume: ").says("kept no checkpoints");
    let runs = cluster.submit(&dir, &["sh", "long.sh"]);
    cluster.wait_status(&runs, "running");
    let refused = cluster.atlas(&["rerun", "--resume", &runs]).exits(126);
    refused.says("is running: its checkpoints are all there when it is done");
    assert_eq!(cluster.json(&["jobs"]).as_array().unwrap().len(), 2);
}

#[test]
fn a_job_with_a_secret_runs_again_only_when_that_is_given_again() {
    const SAYS: &str = "import os\nprint('length', len(os.environ['MY_SECRET']))";
    let cluster = start("process", true);
    let dir = cluster.project("secret", &[("main.py", SAYS)]);
    let with_it = |args: &[&str]| {
        let output = cluster.command(args).env("MY_SECRET", "hunter2").output().unwrap();
        Run::of(args, &output)
    };
    let rest = ["scheduler", dir.to_str().unwrap(), "main.py"];
    let first = with_it(&[&["submit", "--quiet", "--secret", "MY_SECRET"], &rest[..]].concat());
    let first = first.exits(0).stdout.trim().to_owned();

    // Not even where it could be taken from: whoever calls says so.
    let refused = with_it(&["rerun", &first]).exits(2);
    refused.says("give them again with --secret MY_SECRET");
    let unknown = with_it(&["rerun", "--secret", "HOME", &first]).exits(126);
    unknown.says("has no secret \"HOME\"");
    let second = with_it(&["rerun", "--quiet", "--secret", "MY_SECRET", &first]).exits(0);
    let second = second.stdout.trim();
    assert!(log(&cluster, second).contains("length 7\n"));
    assert_eq!(cluster.json(&["jobs"]).as_array().unwrap().len(), 2);
}
