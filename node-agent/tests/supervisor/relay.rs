//! `ATLAS_URL`: the way of a job to its agent.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixListener;

use atlas_node::supervisor::RunFile;

use crate::harness::{Fixture, exited, number, sh, spoke};

/// A job that reaches an agent at `sock` in the fixture's folder.
fn with_api(fixture: &Fixture, script: &str) -> RunFile {
    RunFile { api: Some(fixture.dir.path().join("sock")), ..sh(script) }
}

const SAYS_PORT: &str = "echo PORT=${ATLAS_URL#http://127.0.0.1:}";

#[tokio::test]
async fn the_port_stays_from_job_to_job_and_no_job_inherits_a_descriptor_of_it() {
    let mut fixture = Fixture::new();
    let agent = UnixListener::bind(fixture.dir.path().join("sock")).unwrap();
    let first = fixture.run(&with_api(&fixture, SAYS_PORT)).await;
    let port = number(&first.log, "PORT");
    let held = TcpStream::connect(("127.0.0.1", u16::try_from(port).unwrap())).unwrap();
    agent.accept().unwrap();
    let script = format!("{SAYS_PORT}; ls -l /proc/self/fd | grep -c socket: | sed s/^/SOCKETS=/");
    let second = fixture.run(&with_api(&fixture, &script)).await;
    assert_eq!(number(&second.log, "PORT"), port);
    assert_eq!(number(&second.log, "SOCKETS"), 0);
    drop(held);
    let without = fixture.run(&sh("echo URL=$ATLAS_URL")).await;
    assert_eq!(without.log, b"URL=\n", "a job that has no token needs no way either");
}

#[tokio::test]
async fn connections_that_nobody_reads_cost_the_supervisor_little() {
    let mut fixture = Fixture::new();
    let agent = UnixListener::bind(fixture.dir.path().join("sock")).unwrap();
    let go = fixture.dir.path().join("go");
    let script = format!("{SAYS_PORT}; read -r _ < {}", go.display());
    let control = fixture.job(&with_api(&fixture, &script));
    let status = std::process::Command::new("mkfifo").arg(&go).status().unwrap();
    assert!(status.success());
    let mut slot = fixture.slot().await;
    slot.run(&control).await.unwrap();
    spoke(&mut slot).await;
    let port = number(&fs::read(control.join("log")).unwrap(), "PORT");
    let mut both = Vec::new();
    for _ in 0..64 {
        let job = TcpStream::connect(("127.0.0.1", u16::try_from(port).unwrap())).unwrap();
        let (mut agent, _) = agent.accept().unwrap();
        agent.set_nonblocking(true).unwrap();
        while agent.write(&[0; 65536]).is_ok() {}
        both.push((job, agent));
    }
    let status = fs::read_to_string(format!("/proc/{}/status", slot.supervisor().unwrap()));
    let status = status.unwrap();
    let rss = status.lines().find_map(|it| it.strip_prefix("VmRSS:")).unwrap();
    let kilobytes: u64 = rss.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 3000, "the supervisor takes {kilobytes} kB");
    // It goes on with its own work all the while.
    fs::write(&go, "\n").unwrap();
    exited(&mut slot, &control).await;
    let (mut job, agent) = both.pop().unwrap();
    drop(agent);
    job.read_to_end(&mut Vec::new()).unwrap();
}
