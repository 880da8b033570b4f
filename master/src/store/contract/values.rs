//! Jobs, nodes and records to try a store with.

use atlas_core::job::{Archive, End, JobState, Removal, Remover, Written};
use atlas_core::node::{ExecutorKind, NodeRecord, NodeSpec};
use atlas_core::record::JobEvent;
use atlas_core::resources::Capacity;
use atlas_core::spec::{Bundle, Outputs, Sealed, Worker};
use atlas_core::{
    Attempt, Cause, Demand, JobId, JobSpec, JobStatus, Outcome, Placement, Position, Record,
    Timestamp,
};

pub fn id(number: u64) -> JobId {
    let mut bytes = [0; 16];
    let number = u32::try_from(number).unwrap();
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    JobId::from_random(bytes)
}

pub fn spec() -> JobSpec {
    JobSpec {
        project: "my-project".parse().unwrap(),
        user: "ada".into(),
        name: None,
        tags: Default::default(),
        note: String::new(),
        bundle: Bundle { id: "ab".repeat(32).parse().unwrap(), tar_size: 10240, files: 3 },
        command: vec!["main.py".into()],
        entrypoint: None,
        demand: Demand::default(),
        shm: None,
        time_limit: None,
        worker: Worker::default(),
        params: None,
        outputs: Outputs::default(),
        wait_for_capacity: false,
        fresh_requirements: false,
        git: None,
        rerun: None,
        outside: None,
        traceparent: None,
    }
}

pub fn queued(number: u64) -> Record {
    job_queued(number, number, spec())
}

pub fn job_queued(number: u64, position: u64, spec: JobSpec) -> Record {
    let status = status(position, JobState::Queued { excluded: vec![] });
    Record::JobQueued { id: id(number), spec: spec.into(), status }
}

pub fn changed(number: u64, state: JobState) -> Record {
    changed_to(number, status(number, state))
}

pub fn changed_to(number: u64, status: JobStatus) -> Record {
    Record::JobChanged { id: id(number), event: JobEvent::Started, status }
}

pub fn status(position: u64, state: JobState) -> JobStatus {
    let attempt = Attempt(state.placement().map_or(0, |it| it.attempt.0));
    let submitted = Timestamp(1_700_000_000_000 + position);
    JobStatus {
        submitted,
        position: Position(position),
        attempt,
        lost: 0,
        image: None,
        past: Vec::new(),
        imported: None,
        sealed: Sealed::default(),
        state,
    }
}

pub fn running(node: &str) -> JobState {
    JobState::Running { placement: placement(node), started: Timestamp(1_700_000_000_500) }
}

pub fn failed() -> JobState {
    done(Outcome::failed(Cause::ExitCode(3), "it said no"))
}

pub fn done(outcome: Outcome) -> JobState {
    let node = Some("a".parse().unwrap());
    JobState::done(end(outcome), node, Archive::Complete)
}

fn end(outcome: Outcome) -> End {
    let at = Timestamp(1_700_000_001_000);
    End { outcome, at, started: Some(Timestamp(1_700_000_000_500)), log_length: 5, spool_length: 0 }
}

fn placement(node: &str) -> Placement {
    let gpus = vec!["GPU-0".parse().unwrap(), "MIG-1/2".parse().unwrap()];
    Placement { node: node.parse().unwrap(), gpus, attempt: Attempt(1) }
}

/// One of each.
pub fn states() -> Vec<JobState> {
    let excluded = vec![atlas_core::job::Exclusion {
        node: "b".parse().unwrap(),
        reason: "image: there is no atlas/worker".into(),
    }];
    let stopping =
        |started| JobState::Stopping { placement: placement("a"), started, by: "ada".into() };
    let incomplete = Archive::Incomplete { reason: "over 20 GB".into() };
    vec![
        JobState::Queued { excluded: vec![] },
        JobState::Queued { excluded: excluded.clone() },
        JobState::Placed { placement: placement("a"), excluded },
        running("a"),
        stopping(None),
        stopping(Some(Timestamp(1_700_000_000_500))),
        JobState::Archiving { placement: placement("a"), end: end(Outcome::Completed) },
        done(Outcome::Completed),
        failed(),
        JobState::done(end(Outcome::Completed), None, Archive::BundleOnly),
        JobState::done(end(Outcome::Completed), None, incomplete),
        JobState::Deleting { end: end(Outcome::failed(Cause::StoppedBy("ada".into()), "")) },
    ]
}

/// Of jobs whose outputs go, or are gone; later than the golden files.
pub fn removals() -> Vec<JobState> {
    let states = |by: Remover, bytes| {
        let removal = Removal { by, at: Timestamp(1_700_000_002_000), bytes };
        [Written::Removing(removal.clone()), Written::Removed(removal)].map(|written| {
            let (end, node) = (end(Outcome::Completed), None);
            JobState::Done { end, node, archive: Archive::Complete, written }
        })
    };
    let by_rule = states(Remover::Retention("outputs 30d".into()), None);
    states(Remover::User("ada".into()), Some(7)).into_iter().chain(by_rule).collect()
}

pub fn node(name: &str, cordoned: Option<String>) -> NodeRecord {
    let spec = NodeSpec {
        name: name.parse().unwrap(),
        identity: "5e3c".into(),
        boot_id: "b007".into(),
        address: "127.0.0.1:5000".into(),
        version: "0.1.0".into(),
        executor: ExecutorKind::Process,
        capacity: Capacity { slots: 4, gpus: vec![], cpu_milli: 4000, memory: 8 << 30 },
        volumes: vec![],
    };
    NodeRecord { spec, joined: Timestamp(1_700_000_000_000), cordoned }
}
