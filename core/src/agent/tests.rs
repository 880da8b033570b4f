//! Rules of a node: what it hears and what happens here go in, what it does comes out.

use std::collections::BTreeMap;
use std::sync::Arc;

use expect_test::{Expect, expect};

use super::{Action, Agent, Assignment, Duty, Exit, ExitKind, Input, Report, Work};
use crate::id::{Attempt, BundleId, Epoch, JobId};
use crate::outcome::Cause;
use crate::spec::{Bundle, JobSpec};
use crate::time::{Millis, Timestamp};

/// Plays a script; a line is one input, lines of output follow it.
///
/// ```text
/// found JOB#ATTEMPT:REPORT…            the agent starts, with this on its disk
/// list [epoch=N] DUTY:JOB#ATTEMPT…     assign DUTY:JOB#ATTEMPT      stop JOB#ATTEMPT      release JOB#ATTEMPT
/// local JOB#ATTEMPT REPORT             DUTY = run stop archive
/// REPORT = starting started exited lease-ended not-started archived lost
/// ```
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "so that a test reads `expect![[…]]`")]
fn check(script: &str, expected: Expect) {
    let mut agent = Agent::new(Vec::new());
    let mut output = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        output.push_str(&format!("> {line}\n"));
        let words: Vec<&str> = line.split_whitespace().collect();
        if words[0] == "found" {
            agent = Agent::new(words[1..].iter().map(|it| found(it)).collect());
            continue;
        }
        match agent.handle(parse(&words)) {
            Ok(actions) => {
                actions.iter().for_each(|it| output.push_str(&format!("  {}\n", show(it))));
            }
            Err(stale) => output.push_str(&format!("refused: {stale}\n")),
        }
        check_agent(&agent);
    }
    expected.assert_eq(&output);
}

/// What always holds.
fn check_agent(agent: &Agent) {
    let writing = |it: &&super::Holding| it.archive == super::ArchiveStage::Writing;
    assert_eq!(agent.held.values().filter(writing).count(), agent.archiving);
    assert!(agent.archiving <= super::ARCHIVING, "too many archives at a time");
}

fn parse(words: &[&str]) -> Input {
    let last = words.last().unwrap();
    match words[0] {
        "list" => {
            let epoch = words.iter().find_map(|it| it.strip_prefix("epoch="));
            let epoch = Epoch(epoch.map_or(1, |it| it.parse().unwrap()));
            let list = words[1..].iter().filter(|it| !it.starts_with("epoch="));
            Input::Assignments { epoch, list: list.map(|it| assignment(it)).collect() }
        }
        "assign" => Input::Assign { assignment: assignment(last) },
        "stop" => {
            let (job, attempt) = of(last);
            Input::Stop { job, attempt, grace: Millis(10_000) }
        }
        "release" => {
            let (job, attempt) = of(last);
            Input::Release { job, attempt }
        }
        "local" => {
            let (job, attempt) = of(words[1]);
            Input::Local { job, attempt, report: report(last) }
        }
        other => panic!("no such word: {other}"),
    }
}

fn of(text: &str) -> (JobId, Attempt) {
    let (job, attempt) = text.split_once('#').expect("JOB#ATTEMPT");
    let mut bytes = [0; 16];
    bytes[0] = job.parse().unwrap();
    (JobId::from_random(bytes), Attempt(attempt.parse().unwrap()))
}

fn found(text: &str) -> (JobId, Attempt, Report) {
    let (attempt, report) = text.split_once(':').expect("JOB#ATTEMPT:REPORT");
    let (job, attempt) = of(attempt);
    (job, attempt, self::report(report))
}

fn report(word: &str) -> Report {
    let exited = |kind| {
        Report::Exited(Exit {
            kind,
            stopped: false,
            at: Timestamp(2),
            started: Some(Timestamp(1)),
            log_length: 0,
            spool_length: 0,
            detail: String::new(),
        })
    };
    match word {
        "starting" => Report::Starting,
        "started" => Report::Started { at: Timestamp(1) },
        "exited" => exited(ExitKind::Code(0)),
        "lease-ended" => exited(ExitKind::LeaseEnded),
        "not-started" => {
            Report::NotStarted { cause: Cause::Image, message: "no image".into(), strike: false }
        }
        "archived" => Report::Archived { left_behind: None },
        "lost" => Report::Lost { message: "gone".into() },
        other => panic!("no such report: {other}"),
    }
}

fn assignment(text: &str) -> Assignment {
    let (duty, of_text) = text.split_once(':').expect("DUTY:JOB#ATTEMPT");
    let (job, attempt) = of(of_text);
    let duty = match duty {
        "run" => Duty::Run(Work { spec: Arc::new(spec()), gpus: Vec::new() }),
        "stop" => Duty::Stop { grace: Millis(10_000) },
        "archive" => Duty::Archive,
        other => panic!("no such duty: {other}"),
    };
    Assignment { job, attempt, duty }
}

fn spec() -> JobSpec {
    JobSpec {
        project: "test".parse().unwrap(),
        user: "ada".into(),
        name: None,
        tags: BTreeMap::new(),
        note: String::new(),
        bundle: Bundle { id: BundleId::from_sha256([0; 32]), tar_size: 0, files: 0 },
        command: vec!["main.py".into()],
        entrypoint: None,
        demand: Default::default(),
        shm: None,
        worker: Default::default(),
        params: None,
        outputs: Default::default(),
        wait_for_capacity: false,
        fresh_requirements: false,
        git: None,
        traceparent: None,
    }
}

fn show(action: &Action) -> String {
    let of = |job: &JobId, attempt: &Attempt| {
        format!("{}#{attempt}", u8::from_str_radix(&job.shard(), 16).unwrap())
    };
    match action {
        Action::Start { job, attempt, .. } => format!("start {}", of(job, attempt)),
        Action::Stop { job, attempt, .. } => format!("stop {}", of(job, attempt)),
        Action::Kill { job, attempt } => format!("kill {}", of(job, attempt)),
        Action::Archive { job, attempt } => format!("archive {}", of(job, attempt)),
        Action::Remove { job, attempt } => format!("remove {}", of(job, attempt)),
        Action::Report { job, attempt, report } => {
            let word = match report {
                Report::Starting => "starting".into(),
                Report::Started { .. } => "started".into(),
                Report::NotStarted { message, .. } => format!("not started ({message})"),
                Report::Exited(exit) if exit.kind == ExitKind::LeaseEnded => "lease ended".into(),
                Report::Exited(_) => "exited".into(),
                Report::Archived { left_behind: None } => "archived".into(),
                Report::Archived { left_behind: Some(what) } => format!("archived ({what})"),
                Report::Lost { message } => format!("lost ({message})"),
            };
            format!("report {} {word}", of(job, attempt))
        }
    }
}

#[test]
fn a_job_is_started_reported_archived_and_forgotten() {
    let script = "
        list
        assign run:1#1
        local 1#1 started
        local 1#1 exited
        assign archive:1#1
        local 1#1 archived
        release 1#1
    ";
    check(
        script,
        expect![[r#"
        > list
        > assign run:1#1
          start 1#1
        > local 1#1 started
          report 1#1 started
        > local 1#1 exited
          report 1#1 exited
        > assign archive:1#1
          archive 1#1
        > local 1#1 archived
          report 1#1 archived
        > release 1#1
          remove 1#1
    "#]],
    );
}

#[test]
fn nothing_is_touched_before_a_complete_list_was_heard() {
    let script = "
        found 1#1:started 2#1:exited
        assign run:3#1
        release 1#1
        stop 1#1
        local 1#1 exited
        list run:1#1
    ";
    check(
        script,
        expect![[r#"
        > found 1#1:started 2#1:exited
        > assign run:3#1
        > release 1#1
        > stop 1#1
        > local 1#1 exited
          report 1#1 exited
        > list run:1#1
          remove 2#1
    "#]],
    );
}

#[test]
fn what_the_master_does_not_list_is_killed_and_removed() {
    let script = "
        found 1#1:started 2#1:exited 3#1:starting
        list run:1#1
    ";
    check(
        script,
        expect![[r#"
        > found 1#1:started 2#1:exited 3#1:starting
        > list run:1#1
          remove 2#1
          kill 3#1
          remove 3#1
    "#]],
    );
}

#[test]
fn jobs_that_run_are_adopted_when_the_agent_starts_again() {
    let script = "
        found 1#1:started 2#1:starting
        list run:1#1 run:2#1
        list run:1#1 run:2#1
        local 2#1 started
    ";
    check(
        script,
        expect![[r#"
        > found 1#1:started 2#1:starting
        > list run:1#1 run:2#1
          start 2#1
        > list run:1#1 run:2#1
        > local 2#1 started
          report 2#1 started
    "#]],
    );
}

#[test]
fn a_job_whose_start_never_happened_is_started_after_a_restart_of_the_agent() {
    let script = "
        found 1#1:starting
        list run:1#1
        assign run:1#1
    ";
    check(
        script,
        expect![[r#"
        > found 1#1:starting
        > list run:1#1
          start 1#1
        > assign run:1#1
    "#]],
    );
}

#[test]
fn a_message_that_comes_twice_starts_nothing_twice() {
    let script = "
        list run:1#1
        assign run:1#1
        list run:1#1
        local 1#1 started
        local 1#1 started
        list run:1#1
    ";
    check(
        script,
        expect![[r#"
        > list run:1#1
          start 1#1
        > assign run:1#1
        > list run:1#1
        > local 1#1 started
          report 1#1 started
        > local 1#1 started
        > list run:1#1
    "#]],
    );
}

#[test]
fn a_job_that_has_exited_is_not_started_again() {
    let script = "
        list run:1#1
        local 1#1 started
        local 1#1 exited
        list run:1#1
        assign run:1#1
    ";
    check(
        script,
        expect![[r#"
        > list run:1#1
          start 1#1
        > local 1#1 started
          report 1#1 started
        > local 1#1 exited
          report 1#1 exited
        > list run:1#1
        > assign run:1#1
    "#]],
    );
}

#[test]
fn an_exit_found_on_the_disk_is_archived_when_the_list_says_so() {
    let script = "
        found 1#1:exited
        list archive:1#1
        list archive:1#1
        local 1#1 archived
        assign archive:1#1
    ";
    check(
        script,
        expect![[r#"
        > found 1#1:exited
        > list archive:1#1
          archive 1#1
        > list archive:1#1
        > local 1#1 archived
          report 1#1 archived
        > assign archive:1#1
          report 1#1 archived
    "#]],
    );
}

#[test]
fn nothing_is_archived_before_the_master_has_accepted_the_end() {
    let script = "
        list run:1#1
        local 1#1 exited
        list run:1#1
        assign archive:1#1
    ";
    check(
        script,
        expect![[r#"
        > list run:1#1
          start 1#1
        > local 1#1 exited
          report 1#1 exited
        > list run:1#1
        > assign archive:1#1
          archive 1#1
    "#]],
    );
}

#[test]
fn at_most_two_archives_are_written_at_a_time_and_the_first_waits_shortest() {
    let script = "
        list run:1#1 run:2#1 run:3#1 run:4#1
        local 4#1 exited
        local 3#1 exited
        local 2#1 exited
        local 1#1 exited
        assign archive:4#1
        assign archive:3#1
        assign archive:2#1
        assign archive:1#1
        local 3#1 archived
        local 4#1 archived
    ";
    check(
        script,
        expect![[r#"
        > list run:1#1 run:2#1 run:3#1 run:4#1
          start 1#1
          start 2#1
          start 3#1
          start 4#1
        > local 4#1 exited
          report 4#1 exited
        > local 3#1 exited
          report 3#1 exited
        > local 2#1 exited
          report 2#1 exited
        > local 1#1 exited
          report 1#1 exited
        > assign archive:4#1
          archive 4#1
        > assign archive:3#1
          archive 3#1
        > assign archive:2#1
        > assign archive:1#1
        > local 3#1 archived
          report 3#1 archived
          archive 2#1
        > local 4#1 archived
          report 4#1 archived
          archive 1#1
    "#]],
    );
}

#[test]
fn a_release_while_archiving_makes_room_for_the_next() {
    let script = "
        found 1#1:exited 2#1:exited 3#1:exited 4#1:exited
        list archive:1#1 archive:2#1 archive:3#1 archive:4#1
        release 3#1
        release 1#1
        local 1#1 archived
    ";
    check(
        script,
        expect![[r#"
        > found 1#1:exited 2#1:exited 3#1:exited 4#1:exited
        > list archive:1#1 archive:2#1 archive:3#1 archive:4#1
          archive 1#1
          archive 2#1
        > release 3#1
          remove 3#1
        > release 1#1
          remove 1#1
          archive 4#1
        > local 1#1 archived
    "#]],
    );
}

#[test]
fn a_stop_reaches_only_what_may_run() {
    let script = "
        list run:1#1
        stop 1#1
        local 1#1 started
        stop 1#1
        stop 1#2
        local 1#1 exited
        stop 1#1
        stop 2#1
    ";
    check(
        script,
        expect![[r#"
        > list run:1#1
          start 1#1
        > stop 1#1
          stop 1#1
        > local 1#1 started
          report 1#1 started
        > stop 1#1
          stop 1#1
        > stop 1#2
        > local 1#1 exited
          report 1#1 exited
        > stop 1#1
        > stop 2#1
    "#]],
    );
}

#[test]
fn a_stop_in_the_list_reaches_a_job_that_was_adopted() {
    let script = "
        found 1#1:started 2#1:starting 3#1:exited
        list stop:1#1 stop:2#1 stop:3#1
    ";
    check(
        script,
        expect![[r#"
        > found 1#1:started 2#1:starting 3#1:exited
        > list stop:1#1 stop:2#1 stop:3#1
          stop 1#1
          stop 2#1
    "#]],
    );
}

#[test]
fn what_was_stopped_before_it_reached_the_node_never_starts() {
    let script = "
        list stop:1#1
        list stop:1#1
    ";
    check(
        script,
        expect![[r#"
        > list stop:1#1
          report 1#1 not started (stopped before it started)
        > list stop:1#1
    "#]],
    );
}

#[test]
fn what_is_to_be_archived_but_is_gone_is_said_to_be_gone() {
    let script = "
        list archive:1#1
        assign archive:1#1
    ";
    check(
        script,
        expect![[r#"
        > list archive:1#1
          report 1#1 archived (the node no longer has anything of this job)
        > assign archive:1#1
          report 1#1 archived (the node no longer has anything of this job)
    "#]],
    );
}

#[test]
fn a_later_attempt_replaces_an_earlier_one() {
    let script = "
        found 1#1:started
        list run:1#2
        local 1#1 exited
        assign run:1#1
        release 1#1
        local 1#2 started
    ";
    check(
        script,
        expect![[r#"
        > found 1#1:started
        > list run:1#2
          kill 1#1
          remove 1#1
          start 1#2
        > local 1#1 exited
        > assign run:1#1
        > release 1#1
        > local 1#2 started
          report 1#2 started
    "#]],
    );
}

#[test]
fn an_assignment_of_a_later_attempt_ends_the_earlier_one_first() {
    let script = "
        list run:1#1
        local 1#1 started
        assign run:1#2
    ";
    check(
        script,
        expect![[r#"
        > list run:1#1
          start 1#1
        > local 1#1 started
          report 1#1 started
        > assign run:1#2
          kill 1#1
          remove 1#1
          start 1#2
    "#]],
    );
}

#[test]
fn reports_only_ever_move_on() {
    let script = "
        list run:1#1
        local 1#1 exited
        local 1#1 started
        local 1#1 lost
        local 1#1 not-started
    ";
    check(
        script,
        expect![[r#"
        > list run:1#1
          start 1#1
        > local 1#1 exited
          report 1#1 exited
        > local 1#1 started
        > local 1#1 lost
        > local 1#1 not-started
    "#]],
    );
}

#[test]
fn an_older_master_is_refused() {
    let script = "
        list epoch=2 run:1#1
        list epoch=1
        list epoch=2 run:1#1
        list epoch=3
    ";
    check(
        script,
        expect![[r#"
        > list epoch=2 run:1#1
          start 1#1
        > list epoch=1
        refused: master of epoch 1 was replaced by one of epoch 2
        > list epoch=2 run:1#1
        > list epoch=3
          kill 1#1
          remove 1#1
    "#]],
    );
}

#[test]
fn the_end_of_a_lease_is_reported_and_waits_to_be_released() {
    let script = "
        list run:1#1
        local 1#1 lease-ended
        release 1#1
    ";
    check(
        script,
        expect![[r#"
        > list run:1#1
          start 1#1
        > local 1#1 lease-ended
          report 1#1 lease ended
        > release 1#1
          remove 1#1
    "#]],
    );
}

#[test]
fn an_end_that_only_the_master_knows_is_final() {
    let script = "
        found 1#1:started
        list archive:1#1
        local 1#1 archived
    ";
    check(
        script,
        expect![[r#"
        > found 1#1:started
        > list archive:1#1
          kill 1#1
          archive 1#1
        > local 1#1 archived
          report 1#1 archived
    "#]],
    );
}

#[test]
fn news_of_what_was_released_is_nobodys() {
    let script = "
        list run:1#1
        release 1#1
        local 1#1 exited
        release 1#1
    ";
    check(
        script,
        expect![[r#"
        > list run:1#1
          start 1#1
        > release 1#1
          kill 1#1
          remove 1#1
        > local 1#1 exited
        > release 1#1
    "#]],
    );
}

#[test]
fn a_fence_lets_the_same_and_later_masters_through() {
    let mut fence = super::Fence::default();
    assert_eq!(fence.admit(Epoch(3)), Ok(()));
    assert_eq!(fence.admit(Epoch(3)), Ok(()));
    assert_eq!(fence.admit(Epoch(2)), Err(super::Stale { seen: Epoch(3), got: Epoch(2) }));
    assert_eq!(fence.admit(Epoch(4)), Ok(()));
}
