//! Rules of a node: what it hears and what happens here go in, what it does comes out.

mod ends;
mod jobs;

use std::collections::BTreeMap;
use std::sync::Arc;

use expect_test::Expect;

use super::{Action, Agent, Assignment, Duty, Exit, ExitKind, Input, Report, Work};
use crate::id::{Attempt, BundleId, Epoch, JobId};
use crate::outcome::Cause;
use crate::spec::{Bundle, JobSpec, Sealed};
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
        "started" => Report::Started { at: Timestamp(1), image: None },
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
        "run" => {
            Duty::Run(Work { spec: Arc::new(spec()), gpus: Vec::new(), sealed: Sealed::default() })
        }
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
        time_limit: None,
        worker: Default::default(),
        params: None,
        outputs: Default::default(),
        wait_for_capacity: false,
        fresh_requirements: false,
        git: None,
        rerun: None,
        outside: None,
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
fn a_fence_lets_the_same_and_later_masters_through() {
    let mut fence = super::Fence::default();
    assert_eq!(fence.admit(Epoch(3)), Ok(()));
    assert_eq!(fence.admit(Epoch(3)), Ok(()));
    assert_eq!(fence.admit(Epoch(2)), Err(super::Stale { seen: Epoch(3), got: Epoch(2) }));
    assert_eq!(fence.admit(Epoch(4)), Ok(()));
}
