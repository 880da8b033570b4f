//! What outlives what: supervisors without agents, agents without supervisors.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use atlas_node::slot::{Error, Event, Slot};
use atlas_node::supervisor::{End, ExitFile, StartedFile};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{
    Fixture, PATIENCE, eventually, exited, is_alive, next, sh, spoke, supervisor,
};

fn signal(slot: &Slot, signal: Signal) -> i32 {
    let pid = slot.supervisor().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    pid
}

#[tokio::test]
async fn an_agent_that_comes_back_finds_its_job() {
    let mut fixture = Fixture::new();
    let go = fixture.dir.path().join("go");
    let script = format!("echo up; while ! test -e {}; do sleep 0.02; done; exit 9", go.display());
    let control = fixture.job(&sh(&script));
    let mut slot = fixture.slot().await;
    let first = slot.supervisor();
    slot.run(&control).await.unwrap();
    spoke(&mut slot).await;
    drop(slot);

    let mut slot = fixture.slot().await;
    assert_eq!(slot.supervisor(), first, "the one that is there");
    assert_eq!(slot.job(), Some(control.as_path()));
    let started = StartedFile::read(&control).unwrap().unwrap();
    assert_eq!(next(&mut slot).await, Event::Started(started));
    assert_eq!(next(&mut slot).await, Event::LogGrew { length: 3 });
    fs::write(&go, "").unwrap();
    let ended = exited(&mut slot, &control).await;
    assert_eq!(ended.exit.end, End::Code { code: 9 });
    assert_eq!(slot.job(), None);
}

#[tokio::test]
async fn a_job_that_ends_while_no_agent_is_there_leaves_its_exit_file() {
    let mut fixture = Fixture::new();
    let control = fixture.job(&sh("echo up; sleep 0.2; exit 8"));
    let mut slot = fixture.slot().await;
    slot.run(&control).await.unwrap();
    spoke(&mut slot).await;
    drop(slot);
    eventually("the job ends", || ExitFile::read(&control).unwrap().is_some()).await;
    let exit = ExitFile::read(&control).unwrap().unwrap();
    assert_eq!(exit.end, End::Code { code: 8 });
    assert_eq!(fixture.slot().await.job(), None, "idle, and still the one of the slot");
}

#[tokio::test]
async fn a_slot_whose_supervisor_was_killed_is_lost_and_taken_over_by_the_next() {
    let mut fixture = Fixture::new();
    let control = fixture.job(&sh("echo up; sleep 1000"));
    let mut slot = fixture.slot().await;
    slot.run(&control).await.unwrap();
    spoke(&mut slot).await;
    let pid = signal(&slot, Signal::KILL);
    assert_eq!(next(&mut slot).await, Event::Lost);
    assert_eq!(next(&mut slot).await, Event::Lost);
    let started = StartedFile::read(&control).unwrap().unwrap();
    assert!(is_alive(started.pid));
    let group = Pid::from_raw(started.pid).unwrap();
    rustix::process::kill_process_group(group, Signal::KILL).unwrap();
    eventually("the job's processes end", || !is_alive(started.pid)).await;

    let slot = fixture.slot().await;
    assert_ne!(slot.supervisor(), Some(pid), "a new one took the slot over");
    assert_eq!(slot.job(), None);
}

#[tokio::test]
async fn an_exit_that_was_not_told_is_read_from_its_file() {
    let mut fixture = Fixture::new();
    let control = fixture.job(&sh("echo up; exit 4"));
    let mut slot = fixture.slot().await;
    slot.run(&control).await.unwrap();
    // Not read until the supervisor is gone: what it said last waits in the socket.
    eventually("the job ends", || ExitFile::read(&control).unwrap().is_some()).await;
    signal(&slot, Signal::KILL);
    assert_eq!(exited(&mut slot, &control).await.exit.end, End::Code { code: 4 });
    assert_eq!(next(&mut slot).await, Event::Lost);
}

#[tokio::test]
async fn a_supervisor_that_is_told_to_end_ends_its_job_first() {
    let mut fixture = Fixture::new();
    let control = fixture.job(&sh("trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done"));
    let mut slot = fixture.slot().await;
    slot.run(&control).await.unwrap();
    spoke(&mut slot).await;
    signal(&slot, Signal::HUP);
    let pid = signal(&slot, Signal::TERM);
    let ended = exited(&mut slot, &control).await;
    assert_eq!((ended.exit.end, ended.exit.stopped), (End::Code { code: 5 }, true));
    assert_eq!(next(&mut slot).await, Event::Lost);
    eventually("the supervisor ends", || !is_alive(pid)).await;
    assert!(!fixture.slot_dir().join("sock").exists());
}

#[tokio::test]
async fn a_supervisor_that_was_told_to_end_does_not_outlive_its_job() {
    let mut fixture = Fixture::new();
    let control = fixture.job(&sh("echo up; exec sleep 1000"));
    let mut slot = fixture.slot().await;
    slot.run(&control).await.unwrap();
    spoke(&mut slot).await;
    signal(&slot, Signal::INT);
    assert_eq!(exited(&mut slot, &control).await.exit.end, End::Signal { signal: 15 });
    let begun = Instant::now();
    assert_eq!(next(&mut slot).await, Event::Lost);
    assert!(begun.elapsed() < Duration::from_secs(9), "it waited until it was idle for long");
}

#[tokio::test]
async fn a_supervisor_without_job_and_agent_ends_by_itself() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.slot_dir()).unwrap();
    let socket = fixture.slot_dir().join("sock");
    let begun = Instant::now();
    let mut child = tokio::process::Command::new(supervisor())
        .arg("slot")
        .arg("--socket")
        .arg(&socket)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    assert!(status.success());
    assert!(begun.elapsed() >= Duration::from_secs(9), "{:?}", begun.elapsed());
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_slot_has_one_supervisor() {
    let fixture = Fixture::new();
    let _slot = fixture.slot().await;
    let socket = fixture.slot_dir().join("sock");
    let second = std::process::Command::new(supervisor())
        .args(["slot", "--socket"])
        .arg(&socket)
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(125));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another supervisor serves"), "{said}");
    assert!(Slot::connect(&socket).await.is_ok(), "the first one was not disturbed");
}

#[tokio::test]
async fn a_slot_whose_supervisor_is_just_ending_gets_a_new_one() {
    let fixture = Fixture::new();
    for _ in 0..20 {
        let mut slot = fixture.slot().await;
        signal(&slot, Signal::TERM);
        assert_eq!(next(&mut slot).await, Event::Lost);
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_holds_nobody_up() {
    let mut fixture = Fixture::new();
    let mut slot = fixture.slot().await;
    let mut silent = UnixStream::connect(fixture.slot_dir().join("sock")).unwrap();
    // Answers to these would fill any buffer; the peer is let go when it does not take them.
    silent.set_write_timeout(Some(PATIENCE)).unwrap();
    let nonsense = "?\n".repeat(10_000);
    while silent.write_all(nonsense.as_bytes()).is_ok() {}
    let control = fixture.job(&sh("seq 1 100000; exit 2"));
    slot.run(&control).await.unwrap();
    assert_eq!(exited(&mut slot, &control).await.exit.end, End::Code { code: 2 });
}

#[tokio::test]
async fn nonsense_is_answered_and_a_busy_slot_says_with_what() {
    let mut fixture = Fixture::new();
    let control = fixture.job(&sh("echo up; sleep 1000"));
    let mut slot = fixture.slot().await;
    slot.run(&control).await.unwrap();
    spoke(&mut slot).await;
    let stream = UnixStream::connect(fixture.slot_dir().join("sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut line = || lines.next().unwrap().unwrap();
    assert!(line().starts_with(r#"{"accepted":{"control":"#));
    assert!(line().starts_with(r#"{"started":{"at_ms":"#));
    assert_eq!(line(), r#"{"log":{"length":3}}"#);
    (&stream).write_all(b"{\"dance\":{}}\n").unwrap();
    assert!(line().contains("the request was not understood"));
    (&stream).write_all(b"{\"run\":{\"control\":\"/elsewhere\"}}\n").unwrap();
    assert_eq!(line(), format!(r#"{{"refused":{{"message":"busy with {}"}}}}"#, control.display()));
    slot.run(std::path::Path::new("/elsewhere")).await.unwrap();
    assert!(matches!(next(&mut slot).await, Event::Refused { .. }));
    let _ = (&stream).write_all(&vec![b'x'; 1 << 20]);
    let mut rest = Vec::new();
    let _ = (&stream).read_to_end(&mut rest); // a reset or an end, and no wait
    assert_eq!(slot.job(), Some(control.as_path()));
    slot.kill().await.unwrap();
    exited(&mut slot, &control).await;
}

#[tokio::test]
async fn a_fifth_agent_takes_the_place_of_the_first() {
    let fixture = Fixture::new();
    let mut first = fixture.slot().await;
    let mut others = Vec::new();
    for _ in 0..4 {
        others.push(fixture.slot().await);
    }
    assert_eq!(next(&mut first).await, Event::Lost);
    for slot in &mut others {
        slot.stop(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test]
async fn a_socket_that_nobody_serves_is_named() {
    let fixture = Fixture::new();
    let socket = fixture.slot_dir().join("sock");
    let Err(error) = Slot::connect(&socket).await else { panic!() };
    assert!(matches!(error, Error::Connect { .. }));
    assert!(error.to_string().contains(socket.to_str().unwrap()), "{error}");
}
