//! Stops: SIGTERM, grace, SIGKILL.

use std::time::{Duration, Instant};

use atlas_node::supervisor::{Cause, End, Step};

use crate::harness::{Fixture, command, exited, is_alive, number, sh, spoke};

const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn a_job_that_exits_0_on_sigterm_ends_with_that_code_and_was_stopped() {
    let mut fixture = Fixture::new();
    let control =
        fixture.job(&sh("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"));
    let mut slot = fixture.slot().await;
    slot.run(&control).await.unwrap();
    spoke(&mut slot).await;
    slot.stop(LONG).await.unwrap();
    let ended = exited(&mut slot, &control).await;
    assert_eq!((ended.exit.end, ended.exit.stopped), (End::Code { code: 0 }, true));
    assert!(ended.log.ends_with(b"bye\n"), "{}", String::from_utf8_lossy(&ended.log));
}

#[tokio::test]
async fn a_job_that_ignores_sigterm_is_killed_after_the_grace() {
    let mut fixture = Fixture::new();
    let script = "trap '' TERM; setsid sh -c 'echo CHILD=$$; while :; do sleep 1; done' & wait; while :; do sleep 1; done";
    let control = fixture.job(&sh(script));
    let mut slot = fixture.slot().await;
    slot.run(&control).await.unwrap();
    spoke(&mut slot).await;
    let begun = Instant::now();
    slot.stop(Duration::from_millis(300)).await.unwrap();
    let ended = exited(&mut slot, &control).await;
    let took = begun.elapsed();
    assert_eq!((ended.exit.end, ended.exit.stopped), (End::Signal { signal: 9 }, true));
    assert!(took >= Duration::from_millis(290), "{took:?}");
    assert!(!is_alive(number(&ended.log, "CHILD")));
}

#[tokio::test]
async fn a_second_stop_with_a_shorter_grace_hastens_the_first() {
    let mut fixture = Fixture::new();
    let control = fixture.job(&sh("trap '' TERM; echo up; while :; do sleep 1; done"));
    let mut slot = fixture.slot().await;
    slot.run(&control).await.unwrap();
    spoke(&mut slot).await;
    slot.stop(LONG).await.unwrap();
    slot.stop(Duration::from_millis(1)).await.unwrap();
    let ended = exited(&mut slot, &control).await;
    assert_eq!((ended.exit.end, ended.exit.stopped), (End::Signal { signal: 9 }, true));
}

#[tokio::test]
async fn a_kill_ends_a_job_that_is_suspended() {
    let mut fixture = Fixture::new();
    let control = fixture.job(&sh("echo up; kill -STOP $$"));
    let mut slot = fixture.slot().await;
    slot.run(&control).await.unwrap();
    spoke(&mut slot).await;
    slot.kill().await.unwrap();
    let ended = exited(&mut slot, &control).await;
    assert!(matches!(ended.exit.end, End::Signal { signal: 9 | 15 }), "{:?}", ended.exit.end);
}

#[tokio::test]
async fn a_suspended_job_sees_its_sigterm() {
    let mut fixture = Fixture::new();
    let control = fixture.job(&sh("trap 'exit 4' TERM; echo up; kill -STOP $$; exit 5"));
    let mut slot = fixture.slot().await;
    slot.run(&control).await.unwrap();
    spoke(&mut slot).await;
    slot.stop(LONG).await.unwrap();
    assert_eq!(exited(&mut slot, &control).await.exit.end, End::Code { code: 4 });
}

#[tokio::test]
async fn a_stop_while_preparing_starts_nothing_more() {
    let mut fixture = Fixture::new();
    let mut run = sh("echo never");
    let step =
        |script| Step { command: command(&["sh", "-c", script]), cause: Cause::Requirements };
    run.prepare =
        vec![step("trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done"), step("echo never")];
    let control = fixture.job(&run);
    let mut slot = fixture.slot().await;
    slot.run(&control).await.unwrap();
    spoke(&mut slot).await;
    slot.stop(LONG).await.unwrap();
    let ended = exited(&mut slot, &control).await;
    assert!(ended.exit.stopped);
    let End::FailedToStart { message, .. } = ended.exit.end else { panic!() };
    assert!(message.contains("was stopped"), "{message}");
    assert!(!String::from_utf8_lossy(&ended.log).contains("\nnever\n"));
}

#[tokio::test]
async fn a_stop_without_a_job_does_nothing_to_the_next_one() {
    let mut fixture = Fixture::new();
    let mut slot = fixture.slot().await;
    slot.stop(Duration::ZERO).await.unwrap();
    slot.kill().await.unwrap();
    let control = fixture.job(&sh("exit 6"));
    slot.run(&control).await.unwrap();
    let ended = exited(&mut slot, &control).await;
    assert_eq!((ended.exit.end, ended.exit.stopped), (End::Code { code: 6 }, false));
}

#[tokio::test]
async fn a_stop_of_a_job_that_floods_its_log_is_heard() {
    let mut fixture = Fixture::new();
    let control = fixture.job(&sh("yes"));
    let mut slot = fixture.slot().await;
    slot.run(&control).await.unwrap();
    spoke(&mut slot).await;
    slot.stop(LONG).await.unwrap();
    let ended = exited(&mut slot, &control).await;
    assert_eq!((ended.exit.end, ended.exit.stopped), (End::Signal { signal: 15 }, true));
}
