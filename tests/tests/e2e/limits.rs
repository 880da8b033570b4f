//! Time limits.

use std::time::Instant;

use atlas_tests::harness::{Cluster, Settings, eventually};

/// Takes no notice of SIGTERM.
const STUBBORN: &str = "import signal, time\n\
    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
    print('begun', flush=True)\n\
    while True: time.sleep(1)\n";
/// Saves what it has when it is asked to end.
const SAVES: &str = "import os, pathlib, signal, sys, time\n\
    def save(*_):\n    \
        (pathlib.Path(os.environ['ATLAS_CHECKPOINT_DIR']) / 'step').write_text('7')\n    \
        pathlib.Path('saved.txt').write_text('7')\n    \
        sys.exit(0)\n\
    signal.signal(signal.SIGTERM, save)\n\
    print('begun', flush=True)\n\
    while True: time.sleep(1)\n";
/// Between SIGTERM and SIGKILL.
const GRACE_MS: u64 = 10_000;

fn log(cluster: &Cluster, id: &str) -> String {
    cluster.atlas(&["get", "logs", "scheduler", id]).exits(0).stdout
}

fn is_killed_after_limit_and_grace(executor: &'static str) {
    let cluster = Cluster::start(Settings { executor, ..Settings::default() });
    let dir = cluster.project("stubborn", &[("main.py", STUBBORN)]);
    let dir = dir.to_str().unwrap();
    let ran = cluster.atlas(&["submit", "--time-limit", "5s", "scheduler", dir, "main.py"]);
    let ran = ran.exits(124).says("has failed: timeout");
    let said =
        "atlas: the job has run for its time limit of 5s: it gets SIGTERM, and SIGKILL after 10s";
    assert!(ran.stdout.contains(said), "{ran:#?}");
    let job = &cluster.json(&["jobs"])[0];
    assert_eq!((&job["cause"], &job["status"]), (&"timeout".into(), &"failed".into()));
    assert_eq!(job["time_limit_ms"], 5000);
    assert!(job["detail"].as_str().unwrap().ends_with("signal 9"), "{job}");
    assert!(job["duration_ms"].as_u64().unwrap() >= 5000 + GRACE_MS, "{job}");
    let found = cluster.json(&["jobs", "--filter", "cause=timeout"]);
    assert_eq!(found[0]["id"], job["id"]);
}

#[test]
fn a_process_that_ignores_sigterm_is_killed_after_its_time_limit_and_the_grace() {
    is_killed_after_limit_and_grace("process");
}

#[test]
fn a_container_that_ignores_sigterm_is_killed_after_its_time_limit_and_the_grace() {
    is_killed_after_limit_and_grace("docker");
}

fn keeps_what_it_saves(executor: &'static str) {
    let cluster = Cluster::start(Settings { executor, ..Settings::default() });
    let dir = cluster.project("saves", &[("main.py", SAVES), ("job.config.yaml", "time_limit: 5")]);
    let ran = cluster.atlas(&["submit", "scheduler", dir.to_str().unwrap(), "main.py"]).exits(124);
    ran.says("its process ended with exit code 0");
    let id = cluster.json(&["jobs"])[0]["id"].as_str().unwrap().to_owned();
    eventually("the archive is written", || (cluster.job(&id)["phase"] == "done").then_some(()));
    let got = cluster.path("got");
    let args = ["get", "job", "scheduler", &id, "--save_dir", got.to_str().unwrap()];
    cluster.atlas(&args).exits(0);
    for kept in ["checkpoints/step", "outputs/saved.txt"] {
        assert_eq!(std::fs::read_to_string(got.join(&id).join(kept)).unwrap(), "7", "{kept}");
    }

    // A rerun has the same limit, unless it is given another one.
    let again = |options: &[&str]| {
        let ran = cluster.atlas(&[&["rerun", "--quiet", "--detach"], options, &[&id]].concat());
        let again = ran.exits(0).stdout.trim().to_owned();
        let limit = cluster.job(&again)["time_limit_ms"].clone();
        cluster.atlas(&["stop", "scheduler", &again]).exits(0);
        cluster.atlas(&["wait", &again]);
        (again, limit)
    };
    assert_eq!(again(&[]).1, 5000);
    let (longer, limit) = again(&["--time-limit", "1h30m"]);
    assert_eq!(limit, 5_400_000);
    let shown = cluster.atlas(&["show", &longer]).exits(0).stdout;
    assert!(shown.lines().any(|it| it.starts_with("time limit ") && it.ends_with(" 1h30m")));
    let differs = cluster.atlas(&["diff", &id, &longer]).exits(0).stdout;
    let line = differs.lines().find(|it| it.starts_with("time limit ")).expect("it differs");
    assert!(line.contains(" 5s ") && line.trim_end().ends_with(" 1h30m"), "{differs}");
    cluster.atlas(&["rerun", "--time-limit", "-1", &id]).exits(126).says("Invalid time limit");
}

#[test]
fn a_process_that_saves_its_state_at_its_time_limit_has_it_in_the_archive() {
    keeps_what_it_saves("process");
}

#[test]
fn a_container_that_saves_its_state_at_its_time_limit_has_it_in_the_archive() {
    keeps_what_it_saves("docker");
}

fn holds_without_its_agent(executor: &'static str) {
    let mut cluster = Cluster::start(Settings { executor, ..Settings::default() });
    let dir = cluster.project("alone", &[("main.py", SAVES)]);
    let dir = dir.to_str().unwrap();
    let begun = Instant::now();
    let args = ["submit", "--quiet", "--detach", "--time-limit", "8s", "scheduler", dir, "main.py"];
    let id = cluster.atlas(&args).exits(0).stdout.trim().to_owned();
    eventually("it runs", || log(&cluster, &id).contains("begun").then_some(()));
    cluster.kill_node();
    cluster.kill_master();
    let saved = || {
        let checkpoint = cluster.path("shared/jobs").join(&id[..2]).join(&id);
        std::fs::read(checkpoint.join("checkpoints/step")).is_ok().then_some(())
    };
    eventually("the supervisor has stopped it", saved);
    assert!(begun.elapsed().as_secs() >= 8);
    cluster.start_master();
    cluster.start_node();
    cluster.atlas(&["wait", &id]).exits(124);
    let job = cluster.job(&id);
    assert_eq!((&job["cause"], &job["attempt"]), (&"timeout".into(), &1.into()), "{job}");
    assert!(log(&cluster, &id).contains("time limit of 8s"));
}

#[test]
fn the_time_limit_of_a_process_holds_while_agent_and_master_are_dead() {
    holds_without_its_agent("process");
}

#[test]
fn the_time_limit_of_a_container_holds_while_agent_and_master_are_dead() {
    holds_without_its_agent("docker");
}

#[test]
fn what_is_no_time_limit_is_refused_in_the_same_words_everywhere() {
    let cluster = Cluster::start(Settings::default());
    let dir = cluster.project("wrong", &[("main.py", "")]);
    let dir = dir.to_str().unwrap();
    for wrong in ["0", "-1", "nan", "1e300", "soon", "", "1:30:00"] {
        let option = format!("--time-limit={wrong}");
        let ran = cluster.atlas(&["submit", &option, "scheduler", dir, "main.py"]).exits(126);
        let said = format!(
            "time-limit: Invalid time limit. Please provide a length of time greater than zero and up to 3650d, such as 90s, 30m, 1h30m or 2d; a number alone is seconds. Given: {wrong:?}"
        );
        ran.says(&said);
    }
    assert_eq!(cluster.json(&["jobs"]), serde_json::json!([]));
}
