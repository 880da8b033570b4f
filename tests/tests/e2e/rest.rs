//! Jobs over the REST API alone, as the Python SDK has it.

use std::io::{Read, Write};
use std::net::TcpStream;
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

/// The first line of the answer to who asks under this name.
fn asked_as(cluster: &Cluster, host: &str) -> String {
    let mut stream = TcpStream::connect(cluster.http()).unwrap();
    write!(stream, "GET /api/v1/jobs HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_page_that_lets_its_name_lead_here_is_told_nothing() {
    let master = &["--allowed-hosts", "atlas.lab, other.lab"];
    let cluster = Cluster::start(Settings { master, ..Settings::default() });
    let own = rustix::system::uname().nodename().to_string_lossy().into_owned();
    for name in [cluster.http(), "localhost:1", "atlas.lab", "other.lab:80", &own] {
        assert_eq!(asked_as(&cluster, name), "HTTP/1.1 200 OK", "{name}");
    }
    assert_eq!(asked_as(&cluster, "evil.example:5555"), "HTTP/1.1 421 Misdirected Request");
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
