//! `atlas get logs`

use crate::master::{Master, State, ended};
use crate::run::User;

const ONE: &str = "11111111-2222-4333-8444-555555555555";
const TWO: &str = "22222222-2222-4333-8444-555555555555";

fn two_jobs(log: &[u8]) -> State {
    let mut state = State { log: log.into(), end: Some(("completed", None)), ..State::default() };
    for id in [ONE, TWO] {
        let mut job = ended(id, "completed", None);
        job.log_bytes = Some(log.len() as u64);
        state.jobs.insert(id.into(), job);
    }
    state
}

#[tokio::test]
async fn a_log_is_what_the_job_wrote() {
    let log = b"a\nb \xff without an end";
    let master = Master::start(two_jobs(log)).await;
    let user = User::of(&master.url);
    for follow in [&[][..], &["--follow"]] {
        let run =
            user.atlas(&[&["get", "logs"], follow, &["scheduler", "1111"]].concat()).await.exits(0);
        assert_eq!(run.stdout, log);
        assert_eq!(run.stderr, "");
    }
}

#[tokio::test]
async fn why_nothing_comes_is_said_and_is_no_part_of_the_log() {
    let notice = Some("node a does not answer");
    let master = Master::start(State { notice, ..two_jobs(b"first\nlast\n") }).await;
    let user = User::of(&master.url);
    let args = ["get", "logs", "--follow", "--tail", "1", "scheduler", ONE];
    let run = user.atlas(&args).await.exits(0);
    assert_eq!(run.stdout, b"first\nlast\n");
    run.says("WARNING: node a does not answer");
    assert_eq!(master.state().log_requests[0].tail_lines, Some(1));
}

#[tokio::test]
async fn lines_of_several_jobs_are_told_apart() {
    let master = Master::start(two_jobs(b"first line\nlast")).await;
    let user = User::of(&master.url);
    let run = user.atlas(&["get", "logs", "scheduler", ONE, TWO]).await.exits(0);
    assert_eq!(
        run.out(),
        "11111111 first line\n11111111 last\n22222222 first line\n22222222 last\n"
    );
    let run = user.atlas(&["get", "logs", "--follow", "scheduler", ONE, TWO]).await.exits(0);
    let mut lines: Vec<_> = run.out().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(
        lines,
        ["11111111 first line", "11111111 last", "22222222 first line", "22222222 last"]
    );
}

#[tokio::test]
async fn lines_have_times_on_request() {
    let master = Master::start(two_jobs(b"first line\n")).await;
    let user = User::of(&master.url);
    let run = user.atlas(&["get", "logs", "--timestamps", "scheduler", ONE]).await.exits(0);
    assert_eq!(run.out(), "2026-11-20T10:00:00.000Z first line\n");
}

#[tokio::test]
async fn the_place_to_begin_travels_to_the_master() {
    let master = Master::start(two_jobs(b"0123456789")).await;
    let user = User::of(&master.url);
    let run = user.atlas(&["get", "logs", "--since", "7", "scheduler", ONE]).await.exits(0);
    assert_eq!(run.out(), "789");
    user.atlas(&["get", "logs", "--since", "2026-11-20T10:00Z", "scheduler", ONE]).await.exits(0);
    user.atlas(&["get", "logs", "--tail", "3", "scheduler", ONE]).await.exits(0);
    let state = master.state();
    let [_, time, tail] = state.log_requests.as_slice() else { panic!("{:?}", state.log_requests) };
    assert_eq!((time.since_ms, time.since_offset), (Some(1_795_168_800_000), None));
    assert_eq!((tail.tail_lines, tail.since_ms), (Some(3), None));
}

#[tokio::test]
async fn an_unknown_job_among_others_is_said_and_the_others_are_shown() {
    let master = Master::start(two_jobs(b"x\n")).await;
    let user = User::of(&master.url);
    let run = user.atlas(&["get", "logs", "scheduler", "9999", ONE]).await.exits(1);
    run.says("Atlas ERROR: there is no job 9999");
    assert_eq!(run.out(), "11111111 x\n");
    user.atlas(&["get", "logs", ONE]).await.exits(2).says("`atlas get logs scheduler 11111111-");
    user.atlas(&["get", "logs", "--since", "soon", "scheduler", ONE])
        .await
        .exits(2)
        .says("is no place in a log");
}
