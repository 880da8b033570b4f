//! Jobs as small numbers, records, effects and reports as short lines.

use crate::agent::{Assignment, Duty, Exit, ExitKind, Report};
use crate::cluster::{Effect, Held, Input, Trash};
use crate::id::{Attempt, JobId};
use crate::job::{Archive, JobState, JobStatus, Remover, Written};
use crate::outcome::{Cause, Outcome};
use crate::record::{JobEvent, Record};
use crate::time::Timestamp;

/// The job of this number.
pub(super) fn job(number: &str) -> JobId {
    job_numbered(number.parse().expect("jobs of a scenario are numbers"))
}

pub(super) fn job_numbered(number: u8) -> JobId {
    let mut bytes = [0; 16];
    bytes[0] = number;
    JobId::from_random(bytes)
}

/// Somebody removes what a job wrote.
pub(super) fn empty(number: &str, by: String, status: impl FnOnce(JobId) -> JobStatus) -> Input {
    let job = job(number);
    let (status, by) = (Box::new(status(job)), Remover::User(by));
    Input::RemoveOutputs { job, status, by, bytes: None }
}

/// The number of this job.
pub(super) fn number(id: JobId) -> String {
    let digits = id.shard();
    u8::from_str_radix(&digits, 16).unwrap().to_string()
}

/// Ids in a message as numbers.
pub(super) fn short(text: &str) -> String {
    let word = |word: &str| {
        let trimmed = word.trim_end_matches(|it: char| it.is_ascii_punctuation());
        match trimmed.parse::<JobId>() {
            Ok(id) => format!("{}{}", number(id), &word[trimmed.len()..]),
            Err(_) => word.to_owned(),
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

pub(super) fn held(attempt: &str, report: &str) -> Held {
    let (id, attempt) = attempt.split_once('#').expect("JOB#ATTEMPT");
    Held { job: job(id), attempt: Attempt(attempt.parse().unwrap()), report: self::report(report) }
}

fn report(word: &str) -> Report {
    match word {
        "starting" => Report::Starting,
        "started" => Report::Started { at: Timestamp(1), image: None },
        "not-started" => not_started(false),
        "not-started-strike" => not_started(true),
        "archived" => Report::Archived { left_behind: None },
        "archived-partly" => Report::Archived { left_behind: Some("too big".into()) },
        "lost" => Report::Lost { message: "its supervisor is gone".into() },
        other => Report::Exited(exit(other)),
    }
}

fn not_started(strike: bool) -> Report {
    Report::NotStarted { cause: Cause::Image, message: "no such image".into(), strike }
}

pub(super) fn exit(word: &str) -> Exit {
    let (kind, stopped) = match word.strip_suffix("-stopped") {
        Some(kind) => (kind, true),
        None => (word, false),
    };
    let kind = match kind.rsplit_once('-') {
        Some(("code", code)) => ExitKind::Code(code.parse().unwrap()),
        Some(("signal", signal)) => ExitKind::Signal(signal.parse().unwrap()),
        Some(("failed", "requirements")) => ExitKind::Failed(Cause::Requirements),
        Some(("lease", "ended")) => ExitKind::LeaseEnded,
        _ => panic!("no such report: {word}"),
    };
    Exit {
        kind,
        stopped,
        at: Timestamp(2),
        started: Some(Timestamp(1)),
        log_length: 10,
        spool_length: 0,
        detail: String::new(),
    }
}

pub(super) fn record(record: &Record) -> String {
    match record {
        Record::JobQueued { id, status, .. } => {
            let what = if status.state.started().is_some() { "begun" } else { "queued" };
            format!("  {} {what} at {}", number(*id), status.position)
        }
        Record::JobChanged { id, event, status } => {
            format!("  {} {}", number(*id), change(*event, status))
        }
        Record::JobDeleted { id } => format!("  {} deleted", number(*id)),
        Record::NodeChanged(node) => match &node.cordoned {
            None => format!("  node {}", node.spec.name),
            Some(why) => format!("  node {} cordoned: {why}", node.spec.name),
        },
        Record::NodeRemoved(name) => format!("  node {name} removed"),
        Record::RunChanged { id, .. } => format!("  run {id}"),
        Record::ProjectChanged { name, .. } => format!("  project {name}"),
        Record::LeaseGranted(span) => format!("  granted {span}"),
    }
}

fn change(event: JobEvent, status: &JobStatus) -> String {
    match (event, &status.state) {
        (JobEvent::Placed, JobState::Placed { placement, .. }) => {
            let gpus: Vec<_> = placement.gpus.iter().map(ToString::to_string).collect();
            format!("placed on {}#{} {}", placement.node, placement.attempt, gpus.join(","))
                .trim_end()
                .to_owned()
        }
        (JobEvent::Requeued, JobState::Queued { excluded, .. }) => {
            let excluded: Vec<_> =
                excluded.iter().map(|it| format!(" not-on {}", it.node)).collect();
            format!("requeued lost={}{}", status.lost, excluded.concat())
        }
        (JobEvent::Exited, JobState::Archiving { end, .. }) => {
            format!("ended: {}", outcome(&end.outcome))
        }
        (JobEvent::Exited, JobState::Done { end, archive, .. }) => {
            format!("ended: {}; archive {}", outcome(&end.outcome), self::archive(archive))
        }
        (JobEvent::Archived, JobState::Done { archive, .. }) => {
            format!("done: archive {}", self::archive(archive))
        }
        (JobEvent::Started, _) => "started".into(),
        (
            JobEvent::Stopping,
            JobState::Stopping { by, .. } | JobState::Outside { stop: Some(by), .. },
        ) => format!("stopping by {by}"),
        (JobEvent::Removing, JobState::Done { written: Written::Removing(it), .. }) => {
            format!("{} removes its outputs", it.by)
        }
        (JobEvent::Removed, JobState::Done { written: Written::Removed(it), .. }) => {
            format!("{} removed its outputs", it.by)
        }
        (JobEvent::Deleting, JobState::Deleting { .. }) => "deleting".into(),
        (event, state) => panic!("{event:?} does not go with {state:?}"),
    }
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Completed => "completed".into(),
        Outcome::Failed { cause, detail } if detail.is_empty() => cause.to_string(),
        Outcome::Failed { cause, detail } => format!("{cause} ({detail})"),
    }
}

fn archive(archive: &Archive) -> String {
    match archive {
        Archive::BundleOnly => "of the bundle only".into(),
        Archive::Complete => "complete".into(),
        Archive::Incomplete { reason } => format!("incomplete ({reason})"),
    }
}

pub(super) fn effect(effect: &Effect) -> String {
    let of = |job: &JobId, attempt: &Attempt| format!("{}#{attempt}", number(*job));
    match effect {
        Effect::Assignments { node, session, list } => {
            let list: Vec<_> = list.iter().map(assignment).collect();
            format!("  {node} <- session {}: [{}]", session.0, list.join(", "))
        }
        Effect::Assign { node, assignment: it } => format!("  {node} <- {}", assignment(it)),
        Effect::Stop { node, job, attempt, .. } => format!("  {node} <- stop {}", of(job, attempt)),
        Effect::Release { node, job, attempt } => {
            format!("  {node} <- release {}", of(job, attempt))
        }
        Effect::Grant { node, span } => format!("  {node} <- lease of {span}"),
        Effect::Trash { job, what: Trash::Everything } => format!("  trash {}", number(*job)),
        Effect::Trash { job, what: Trash::Outputs } => {
            format!("  trash outputs of {}", number(*job))
        }
    }
}

fn assignment(it: &Assignment) -> String {
    let duty = match it.duty {
        Duty::Run(_) => "run",
        Duty::Stop { .. } => "stop",
        Duty::Archive => "archive",
    };
    format!("{duty} {}#{}", number(it.job), it.attempt)
}
