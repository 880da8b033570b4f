//! Leases: the deadline that the agent writes, kept without the agent.

use std::time::{Duration, Instant};

use atlas_node::supervisor::{End, ExitFile, boottime_now, write_deadline};

use crate::harness::{Fixture, eventually, exited, is_alive, number, sh, spoke};

#[tokio::test]
async fn a_job_whose_deadline_passes_is_ended_with_no_agent_there() {
    let mut fixture = Fixture::new();
    let mut run = sh("trap 'echo last words' TERM; echo SELF=$$; while :; do sleep 0.05; done");
    run.grace_ms = 300;
    let control = fixture.job(&run);
    let mut slot = fixture.slot().await;
    let deadline = boottime_now() + 5000;
    write_deadline(&control, deadline).unwrap();
    slot.run(&control).await.unwrap();
    spoke(&mut slot).await;
    drop(slot);
    eventually("the job ends", || ExitFile::read(&control).unwrap().is_some()).await;
    assert!(boottime_now() <= deadline, "it is dead when the deadline comes");
    let exit = ExitFile::read(&control).unwrap().unwrap();
    assert_eq!((exit.end, exit.stopped), (End::LeaseEnded, false));
    let log = std::fs::read(control.join("log")).unwrap();
    assert!(String::from_utf8_lossy(&log).contains("last words"), "there was a grace");
    assert!(!is_alive(number(&log, "SELF")));
}

#[tokio::test]
async fn a_deadline_that_is_moved_in_time_disturbs_nothing() {
    let mut fixture = Fixture::new();
    let mut run = sh("echo up; sleep 5; exit 3");
    run.grace_ms = 100;
    let control = fixture.job(&run);
    let mut slot = fixture.slot().await;
    write_deadline(&control, boottime_now() + 5000).unwrap();
    slot.run(&control).await.unwrap();
    spoke(&mut slot).await;
    write_deadline(&control, boottime_now() + 60_000).unwrap();
    assert_eq!(exited(&mut slot, &control).await.exit.end, End::Code { code: 3 });
}

#[tokio::test]
async fn a_deadline_that_is_brought_forward_counts_at_once() {
    let mut fixture = Fixture::new();
    let mut run = sh("echo up; sleep 1000");
    run.grace_ms = 100;
    let control = fixture.job(&run);
    let mut slot = fixture.slot().await;
    write_deadline(&control, boottime_now() + 3_600_000).unwrap();
    slot.run(&control).await.unwrap();
    spoke(&mut slot).await;
    write_deadline(&control, boottime_now() + 3000).unwrap();
    assert_eq!(exited(&mut slot, &control).await.exit.end, End::LeaseEnded);
}

#[tokio::test]
async fn a_deadline_that_is_taken_away_was_not_moved() {
    let mut fixture = Fixture::new();
    let mut run = sh("echo up; sleep 1000");
    run.grace_ms = 50;
    let control = fixture.job(&run);
    let mut slot = fixture.slot().await;
    write_deadline(&control, boottime_now() + 5000).unwrap();
    slot.run(&control).await.unwrap();
    spoke(&mut slot).await;
    std::fs::remove_file(control.join("deadline")).unwrap();
    assert_eq!(exited(&mut slot, &control).await.exit.end, End::LeaseEnded);
}

#[tokio::test]
async fn a_job_that_comes_too_late_for_its_lease_is_ended_at_once() {
    let mut fixture = Fixture::new();
    let control = fixture.job(&sh("trap '' TERM; while :; do sleep 1; done"));
    write_deadline(&control, boottime_now().saturating_sub(1)).unwrap();
    let mut slot = fixture.slot().await;
    let begun = Instant::now();
    slot.run(&control).await.unwrap();
    assert_eq!(exited(&mut slot, &control).await.exit.end, End::LeaseEnded);
    assert!(begun.elapsed() < Duration::from_secs(9), "no grace is left");
}

#[tokio::test]
async fn a_stop_with_a_long_grace_still_ends_with_the_lease() {
    let mut fixture = Fixture::new();
    let mut run = sh("trap '' TERM; echo up; while :; do sleep 1; done");
    run.grace_ms = 50;
    let control = fixture.job(&run);
    let mut slot = fixture.slot().await;
    write_deadline(&control, boottime_now() + 5000).unwrap();
    slot.run(&control).await.unwrap();
    spoke(&mut slot).await;
    slot.stop(Duration::from_secs(600)).await.unwrap();
    let ended = exited(&mut slot, &control).await;
    assert_eq!((ended.exit.end, ended.exit.stopped), (End::Signal { signal: 9 }, true));
}
