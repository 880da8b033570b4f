//! The way of a job, as a user goes it.

use std::fs;

use atlas_tests::harness::{Cluster, Settings, eventually};

const HELLO: &str = "import os, sys\nprint('hello from', os.environ['ATLAS_JOB_ID'])\nopen('result.txt', 'w').write('42')\n";

fn goes_from_a_folder_to_the_archive(executor: &'static str) {
    let cluster = Cluster::start(Settings { executor, ..Settings::default() });
    let dir = cluster.project("hello", &[("main.py", HELLO)]);
    let run = cluster.atlas(&["submit", "scheduler", dir.to_str().unwrap(), "main.py"]).exits(0);
    assert!(run.stdout.contains("hello from"), "{run:#?}");
    assert!(run.stderr.contains("Job submission started. Ctrl-C to cancel."), "{run:#?}");
    assert!(run.stderr.contains("has completed."), "{run:#?}");

    let jobs = cluster.json(&["jobs"]);
    let id = jobs[0]["id"].as_str().unwrap().to_owned();
    assert!(run.stdout.contains(&id));
    eventually("the archive is written", || (cluster.job(&id)["phase"] == "done").then_some(()));
    let got = cluster.path("got");
    cluster
        .atlas(&["get", "job", "scheduler", &id[..8], "--save_dir", got.to_str().unwrap()])
        .exits(0);
    assert_eq!(fs::read_to_string(got.join(&id).join("outputs/result.txt")).unwrap(), "42");
    assert_eq!(fs::read_to_string(got.join(&id).join("source/main.py")).unwrap(), HELLO);
    let log = cluster.atlas(&["get", "logs", "scheduler", &id]).exits(0);
    assert!(log.stdout.contains(&format!("hello from {id}")), "{log:#?}");

    cluster.atlas(&["delete", "job", "scheduler", &id]).exits(0);
    cluster.atlas(&["show", &id]).exits(1);
    assert!(!cluster.path("shared/jobs").join(&id[..2]).join(&id).exists());
}

#[test]
fn a_job_goes_from_a_folder_to_the_archive_as_a_process() {
    goes_from_a_folder_to_the_archive("process");
}

#[test]
fn a_job_goes_from_a_folder_to_the_archive_in_a_container() {
    goes_from_a_folder_to_the_archive("docker");
}

#[test]
fn submit_ends_with_the_jobs_own_exit_code() {
    let cluster = Cluster::start(Settings::default());
    let dir = cluster.project("codes", &[("main.py", "import sys; sys.exit(int(sys.argv[1]))")]);
    let dir = dir.to_str().unwrap();
    cluster.atlas(&["submit", "scheduler", dir, "main.py", "3"]).exits(3);
    cluster.atlas(&["submit", "scheduler", dir, "sh", "-c", "kill -9 $$"]).exits(128 + 9);
    cluster.atlas(&["submit", "scheduler", dir, "no-such-program"]).exits(127);
}

#[test]
fn jobs_start_in_the_order_of_their_submission() {
    let cluster = Cluster::start(Settings { workers: 2, ..Settings::default() });
    let dir = cluster.project("order", &[("main.py", "")]);
    let ids: Vec<String> = (0..12).map(|_| cluster.submit(&dir, &["true"])).collect();
    let mut args = vec!["wait"];
    args.extend(ids.iter().map(String::as_str));
    cluster.atlas(&args).exits(0);
    let jobs: Vec<_> = ids.iter().map(|id| cluster.job(id)).collect();
    let positions: Vec<_> = jobs.iter().map(|it| it["position"].as_u64().unwrap()).collect();
    assert!(positions.is_sorted(), "{positions:?}");
}

#[test]
fn a_job_that_exits_0_after_stop_was_stopped_once() {
    let cluster = Cluster::start(Settings::default());
    let script = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\nprint('ready')\ntime.sleep(600)\n";
    let dir = cluster.project("stop", &[("main.py", script)]);
    let id = cluster.submit(&dir, &["main.py"]);
    eventually("it is ready", || {
        let log = cluster.atlas(&["get", "logs", "scheduler", &id]);
        log.stdout.contains("ready").then_some(())
    });
    cluster.atlas(&["stop", "scheduler", &id]).exits(0);
    cluster.atlas(&["wait", &id]).exits(125);
    let job = cluster.job(&id);
    assert_eq!(job["status"], "failed");
    assert!(job["cause"].as_str().unwrap().starts_with("stopped-by "), "{job}");
    cluster.atlas(&["stop", "scheduler", &id]).exits(1);
}

#[test]
fn a_queued_job_is_stopped_at_once_and_nothing_is_deleted() {
    let cluster = Cluster::start(Settings::default());
    let dir = cluster.project("queued", &[("main.py", "import time; time.sleep(600)")]);
    let first = cluster.submit(&dir, &["main.py"]);
    let waiting: Vec<String> = (0..3).map(|_| cluster.submit(&dir, &["main.py"])).collect();
    cluster.atlas(&["delete", "job", "scheduler", "--yes", &waiting[0]]).exits(1);
    cluster.atlas(&["stop", "scheduler", &waiting[0]]).exits(0);
    assert_eq!(cluster.job(&waiting[0])["status"], "failed");
    let cleared = cluster.atlas(&["clear-queue", "--yes", "scheduler"]).exits(0);
    assert!(cleared.stdout.contains('2') || cleared.stderr.contains('2'), "{cleared:#?}");
    for id in &waiting {
        assert!(cluster.job(id)["cause"].as_str().unwrap().starts_with("stopped-by "));
    }
    cluster.atlas(&["stop", "scheduler", &first]).exits(0);
}

#[test]
fn what_a_process_does_not_get_is_said_at_submission_and_in_the_log() {
    let cluster = Cluster::start(Settings::default());
    let dir = cluster.project("asks", &[("main.py", "print('in')\n")]);
    let dir = dir.display().to_string();
    let options = ["--image", "torch:2", "--ram", "1", "--cpus", "0.5"];
    let command = ["scheduler", &dir, "main.py"];
    let args: Vec<&str> = ["submit"].into_iter().chain(options).chain(command).collect();
    let run = cluster.atlas(&args).exits(0).says("image torch:2 will not be used");
    assert!(run.stdout.contains("image torch:2 is not used"), "{run:#?}");
    assert!(run.stdout.contains("--ram and --cpus are counted"), "{run:#?}");
}
