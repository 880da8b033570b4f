//! `job` mode: the entrypoint of a container, tried without one.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use atlas_node::slot::{Error, Event, Slot};
use atlas_node::supervisor::{Cause, End, ExitFile, boottime_now, write_deadline};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Fixture, PATIENCE, exited, next, sh, spoke, supervisor};

fn start(control: &Path) -> Child {
    let mut command = Command::new(supervisor());
    command.args(["job", "--control"]).arg(control).stderr(Stdio::piped()).spawn().unwrap()
}

#[tokio::test]
async fn its_exit_code_is_the_jobs() {
    let mut fixture = Fixture::new();
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)] {
        let control = fixture.job(&sh(script));
        assert_eq!(start(&control).wait().unwrap().code(), Some(code));
        assert!(ExitFile::read(&control).unwrap().is_some());
    }
    let control = fixture.job(&sh("true"));
    fs::remove_file(control.join("run.json")).unwrap();
    let output = start(&control).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("run.json is not a file"), "{said}");
    let exit = ExitFile::read(&control).unwrap().unwrap();
    assert!(matches!(exit.end, End::FailedToStart { cause: Cause::Internal, .. }));
}

#[tokio::test]
async fn an_agent_attaches_before_it_is_up_and_again_later() {
    let mut fixture = Fixture::new();
    let control = fixture.job(&sh("echo up; sleep 1000"));
    let (attached, mut child) =
        tokio::join!(Slot::attach(&control, PATIENCE), async { start(&control) });
    let mut slot = attached.unwrap();
    assert_eq!(slot.job(), Some(control.as_path()));
    spoke(&mut slot).await;
    drop(slot);
    let mut slot = Slot::attach(&control, PATIENCE).await.unwrap();
    assert!(matches!(next(&mut slot).await, Event::Started(_)));
    assert_eq!(next(&mut slot).await, Event::LogGrew { length: 3 });
    slot.run(Path::new("/another")).await.unwrap();
    let Event::Refused { message } = next(&mut slot).await else { panic!() };
    assert!(message.starts_with("busy with"), "{message}");
    let mut slot = Slot::attach(&control, PATIENCE).await.unwrap();
    slot.stop(Duration::from_secs(600)).await.unwrap();
    let ended = exited(&mut slot, &control).await;
    assert_eq!((ended.exit.end, ended.exit.stopped), (End::Signal { signal: 15 }, true));
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(next(&mut slot).await, Event::Lost);
    assert!(matches!(Slot::attach(&control, PATIENCE).await, Err(Error::Connect { .. })));
}

#[tokio::test]
async fn its_own_sigterm_is_a_stop_of_the_job() {
    let mut fixture = Fixture::new();
    let control = fixture.job(&sh("trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done"));
    let mut child = start(&control);
    let mut slot = Slot::attach(&control, PATIENCE).await.unwrap();
    spoke(&mut slot).await;
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let ended = exited(&mut slot, &control).await;
    assert_eq!((ended.exit.end, ended.exit.stopped), (End::Code { code: 0 }, true));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn its_lease_ends_without_an_agent() {
    let mut fixture = Fixture::new();
    let mut run = sh("sleep 1000");
    run.grace_ms = 100;
    let control = fixture.job(&run);
    write_deadline(&control, boottime_now() + 1300).unwrap();
    assert_eq!(start(&control).wait().unwrap().code(), Some(125));
    assert_eq!(ExitFile::read(&control).unwrap().unwrap().end, End::LeaseEnded);
}

#[tokio::test]
async fn one_that_does_not_come_up_is_not_waited_for_for_ever() {
    let mut fixture = Fixture::new();
    let control = fixture.job(&sh("true"));
    let attached = Slot::attach(&control, Duration::from_millis(50)).await;
    assert!(matches!(attached, Err(Error::Connect { .. })));
}
