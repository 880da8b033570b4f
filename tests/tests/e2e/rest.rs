//! Jobs over the REST API alone, as the Python SDK has it.

use std::process::{Command, Stdio};

use atlas_tests::harness::{Cluster, Run, Settings};

const WAY: &str = include_str!("rest.py");

#[test]
fn a_job_goes_its_whole_way_over_http() {
    let cluster = Cluster::start(Settings::default());
    let output = Command::new("python3")
        .args(["-c", WAY])
        .env("ATLAS_URL", format!("http://{}", cluster.http()))
        .env_remove("ATLAS_TOKEN")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let run = Run::of(&["rest.py"], &output).exits(0);
    assert_eq!(run.stdout, "all of it\n");
}

fn a_job_sends_another_its_way(executor: &'static str) {
    let cluster = Cluster::start(Settings { executor, workers: 2, ..Settings::default() });
    let dir = cluster.project("controller", &[("rest.py", WAY)]);
    let args = ["submit", "scheduler", dir.to_str().unwrap(), "rest.py"];
    let output = cluster.command(&args).env("LOGNAME", "ada").output().unwrap();
    let run = Run::of(&args, &output).exits(0);
    assert!(run.stdout.contains("all of it"), "{run:#?}");
}

#[test]
fn a_job_sends_another_job_its_whole_way_over_http() {
    a_job_sends_another_its_way("process");
}

#[test]
fn a_job_in_a_container_sends_another_job_its_whole_way_over_http() {
    a_job_sends_another_its_way("docker");
}
