//! Time limits: kept without the agent, from the first instruction of the job.

use std::time::{Duration, Instant};

use atlas_node::supervisor::{End, ExitFile, RunFile, StartedFile, Step, boottime_now};

use crate::harness::{Ended, Fixture, command, eventually, exited, is_alive, number, sh, spoke};

const LONG: Duration = Duration::from_secs(600);

fn limited(script: &str, time_limit_ms: u64, grace_ms: u64) -> RunFile {
    RunFile { grace_ms, time_limit_ms: Some(time_limit_ms), ..sh(script) }
}

fn log(ended: &Ended) -> String {
    String::from_utf8_lossy(&ended.log).into_owned()
}

#[tokio::test]
async fn a_job_that_ignores_sigterm_is_killed_after_limit_and_grace() {
    let mut fixture = Fixture::new();
    let script = "trap '' TERM; setsid sh -c 'echo CHILD=$$; while :; do sleep 1; done' & wait; while :; do sleep 1; done";
    let control = fixture.job(&limited(script, 3000, 300));
    let mut slot = fixture.slot().await;
    slot.run(&control).await.unwrap();
    let ended = exited(&mut slot, &control).await;
    let ran = boottime_now() - StartedFile::read(&control).unwrap().unwrap().boot_ms;
    assert!(ran >= 3300, "{ran}");
    assert_eq!(ended.exit.end, End::Signal { signal: 9 });
    assert_eq!((ended.exit.timed_out, ended.exit.stopped), (true, false));
    let said = "atlas: the job has run for its time limit of 3s: it gets SIGTERM, and SIGKILL after 300ms\n";
    assert!(log(&ended).contains(said), "{}", log(&ended));
    assert!(!is_alive(number(&ended.log, "CHILD")));
}

#[tokio::test]
async fn a_job_that_exits_0_at_its_time_limit_ran_into_it() {
    let mut fixture = Fixture::new();
    let script = "trap 'echo saved; exit 0' TERM; echo up; while :; do sleep 0.05; done";
    let ended = fixture.run(&limited(script, 3000, 600_000)).await;
    assert_eq!((&ended.exit.end, ended.exit.timed_out), (&End::Code { code: 0 }, true));
    assert!(log(&ended).ends_with("saved\n"), "{}", log(&ended));
}

#[tokio::test]
async fn a_job_that_ends_in_time_keeps_its_own_end() {
    let mut fixture = Fixture::new();
    for (script, end) in
        [("exit 3", End::Code { code: 3 }), ("kill -9 $$", End::Signal { signal: 9 })]
    {
        let ended = fixture.run(&limited(script, 600_000, 10)).await;
        assert_eq!((ended.exit.end, ended.exit.timed_out), (end, false), "{script}");
        assert_eq!(String::from_utf8_lossy(&ended.log), "");
    }
}

#[tokio::test]
async fn a_time_limit_needs_no_agent() {
    let mut fixture = Fixture::new();
    let control =
        fixture.job(&limited("trap '' TERM; echo SELF=$$; while :; do sleep 1; done", 1500, 100));
    let mut slot = fixture.slot().await;
    slot.run(&control).await.unwrap();
    spoke(&mut slot).await;
    drop(slot);
    eventually("the job ends", || ExitFile::read(&control).unwrap().is_some()).await;
    let exit = ExitFile::read(&control).unwrap().unwrap();
    assert_eq!((exit.end, exit.timed_out), (End::Signal { signal: 9 }, true));
    assert!(!is_alive(number(&std::fs::read(control.join("log")).unwrap(), "SELF")));
}

#[tokio::test]
async fn what_ends_a_job_first_is_why_it_ended() {
    let mut fixture = Fixture::new();
    let stubborn = "trap '' TERM; echo up; while :; do sleep 0.1; done";
    // A stop whose grace goes on when the limit comes.
    let control = fixture.job(&limited(stubborn, 6000, 600_000));
    let mut slot = fixture.slot().await;
    slot.run(&control).await.unwrap();
    spoke(&mut slot).await;
    slot.stop(Duration::from_millis(8000)).await.unwrap();
    let ended = exited(&mut slot, &control).await;
    assert_eq!((ended.exit.stopped, ended.exit.timed_out), (true, false));
    assert!(!log(&ended).contains("time limit"), "{}", log(&ended));

    // A stop during the grace of the limit hastens it.
    let begun = Instant::now();
    let script = "trap 'echo heard' TERM; echo up; while :; do sleep 0.05; done";
    let control = fixture.job(&limited(script, 3000, 600_000));
    slot.run(&control).await.unwrap();
    eventually("the limit is over", || {
        std::fs::read_to_string(control.join("log")).unwrap_or_default().contains("heard")
    })
    .await;
    slot.stop(Duration::from_millis(100)).await.unwrap();
    let ended = exited(&mut slot, &control).await;
    assert_eq!((ended.exit.stopped, ended.exit.timed_out), (false, true));
    assert!(begun.elapsed() < LONG);
}

#[tokio::test]
async fn a_time_limit_counts_from_the_jobs_own_command_and_wakes_one_that_is_suspended() {
    let mut fixture = Fixture::new();
    let mut run = limited("trap 'exit 4' TERM; echo up; kill -STOP $$; exit 5", 3000, 600_000);
    let cause = atlas_node::supervisor::Cause::Requirements;
    run.prepare = vec![Step { command: command(&["sleep", "3.5"]), cause }];
    let ended = fixture.run(&run).await;
    assert_eq!((&ended.exit.end, ended.exit.timed_out), (&End::Code { code: 4 }, true));
    assert!(log(&ended).starts_with("up\n"), "{}", log(&ended));
}
