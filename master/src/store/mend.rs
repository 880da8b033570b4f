//! What has to be written into a store that came back older than its leader can mend commit by commit: the leader holds all that
//! lives, and the last records beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use atlas_core::cluster::{Live, Snapshot};
use atlas_core::job::{Archive, End, JobState};
use atlas_core::record::JobEvent;
use atlas_core::time::Millis;
use atlas_core::{Cause, JobId, JobSpec, JobStatus, Outcome, Record, Timestamp};

/// The way from what a store holds to what it should.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Mend {
    pub records: Vec<Record>,
    /// The store holds them as living; they ended or were deleted, and nobody remembers how.
    pub ends_lost: Vec<JobId>,
    /// They ended lately and were submitted before that, so that nobody remembers what they were. Older ones are lost as well, and
    /// cannot be counted.
    pub jobs_lost: Vec<JobId>,
}

/// From `old`, what the store holds, to `live`, what its leader does. `recent` are the last records in their order, without a gap,
/// the first of them later than anything in `old`.
pub fn mend(now: Timestamp, old: &Snapshot, live: Live, recent: &[Record]) -> Mend {
    let mut mend = Mend::default();
    let ends = last_of_each(recent);
    let mut before: BTreeMap<JobId, &JobStatus> =
        old.jobs.iter().map(|(id, _, status)| (*id, status)).collect();
    let Live { jobs, removing, nodes, granted } = live;
    let mut seen = BTreeSet::new();
    for (id, spec, status) in jobs {
        seen.insert(id);
        match before.remove(&id) {
            Some(same) if *same == status => {}
            Some(_) => mend.records.push(changed(id, status)),
            None => mend.records.push(Record::JobQueued { id, spec, status }),
        }
    }
    for (id, status) in removing {
        seen.insert(id);
        let was_there = before.remove(&id).is_some() || status.position < old.next_position;
        mend.put(id, status, was_there, ends.get(&id));
    }
    for (id, status) in before {
        seen.insert(id);
        match ends.get(&id) {
            Some(Last { status: Some(end), .. }) => mend.records.push(changed(id, end.clone())),
            Some(Last { status: None, .. }) => mend.records.push(Record::JobDeleted { id }),
            None => {
                mend.ends_lost.push(id);
                mend.records.push(changed(id, lost(now, status)));
            }
        }
    }
    for (id, last) in ends.iter().filter(|(id, _)| !seen.contains(id)) {
        match &last.status {
            Some(status) => {
                let was_there = status.position < old.next_position;
                mend.put(*id, status.clone(), was_there, Some(last));
            }
            None => mend.records.push(Record::JobDeleted { id: *id }),
        }
    }
    mend.records.extend(last_runs(recent));
    mend.records.extend(last_projects(recent));
    let kept: BTreeMap<_, _> = old.nodes.iter().map(|it| (&it.spec.name, it)).collect();
    let named: BTreeSet<_> = nodes.iter().map(|it| it.spec.name.clone()).collect();
    let removed = kept.keys().filter(|it| !named.contains(**it));
    mend.records.extend(removed.map(|it| Record::NodeRemoved((*it).clone())));
    let newer = nodes.iter().filter(|it| kept.get(&it.spec.name) != Some(it));
    mend.records.extend(newer.cloned().map(Record::NodeChanged));
    if granted != old.granted {
        mend.records.push(Record::LeaseGranted(granted.unwrap_or(Millis(0))));
    }
    mend
}

impl Mend {
    /// A job that the leader no longer holds whole.
    fn put(&mut self, id: JobId, status: JobStatus, was_there: bool, last: Option<&Last>) {
        match last.and_then(|it| it.spec.clone()) {
            _ if was_there => self.records.push(changed(id, status)),
            Some(spec) => self.records.push(Record::JobQueued { id, spec, status }),
            None => self.jobs_lost.push(id),
        }
    }
}

/// What the last records say of a job.
#[derive(Default)]
struct Last {
    /// If it was submitted in them.
    spec: Option<Arc<JobSpec>>,
    /// `None` = it was deleted.
    status: Option<JobStatus>,
}

fn last_of_each(recent: &[Record]) -> BTreeMap<JobId, Last> {
    let mut jobs: BTreeMap<JobId, Last> = BTreeMap::new();
    for record in recent {
        match record {
            Record::JobQueued { id, spec, status } => {
                let (spec, status) = (Some(spec.clone()), Some(status.clone()));
                jobs.insert(*id, Last { spec, status });
            }
            Record::JobChanged { id, status, .. } => {
                jobs.entry(*id).or_default().status = Some(status.clone());
            }
            Record::JobDeleted { id } => jobs.entry(*id).or_default().status = None,
            Record::RunChanged { .. }
            | Record::ProjectChanged { .. }
            | Record::NodeChanged(_)
            | Record::NodeRemoved(_)
            | Record::LeaseGranted(_) => {}
        }
    }
    jobs
}

/// Of each job the last run that somebody remembers. A job that lives on writes its run anew with its next event.
fn last_runs(recent: &[Record]) -> impl Iterator<Item = Record> {
    let mut runs = BTreeMap::new();
    for record in recent {
        match record {
            Record::RunChanged { id, .. } => drop(runs.insert(*id, record.clone())),
            Record::JobDeleted { id } => drop(runs.remove(id)),
            _ => {}
        }
    }
    runs.into_values()
}

/// Of each project what was written last. What is older than the records is as old as the store.
fn last_projects(recent: &[Record]) -> impl Iterator<Item = Record> {
    let mut projects = BTreeMap::new();
    for record in recent {
        if let Record::ProjectChanged { name, .. } = record {
            projects.insert(name.clone(), record.clone());
        }
    }
    projects.into_values()
}

/// A store keeps values; the event is for who follows the job, and heard it then.
fn changed(id: JobId, status: JobStatus) -> Record {
    Record::JobChanged { id, event: JobEvent::Archived, status }
}

/// A job that must not run again, and of which nothing else is known.
fn lost(now: Timestamp, status: &JobStatus) -> JobStatus {
    let mut status = status.clone();
    let why = "the store came back older than the end of this job, and how it ended was lost";
    let end = End {
        outcome: Outcome::failed(Cause::Internal, why),
        at: now,
        started: status.state.started(),
        log_length: 0,
        spool_length: 0,
    };
    let node = status.state.placement().map(|it| it.node.clone());
    status.end(JobState::done(end, node, Archive::Incomplete { reason: why.into() }));
    status
}

#[cfg(test)]
mod tests {
    use atlas_core::{Position, Run};

    use super::*;
    use crate::store::contract::{changed as to, id, node, queued, running, states, written};

    fn job(number: u64, state: &JobState) -> (JobId, Arc<JobSpec>, JobStatus) {
        let [Record::JobQueued { id, spec, .. }, Record::JobChanged { status, .. }] =
            [queued(number), to(number, state.clone())]
        else {
            unreachable!("these are their kinds")
        };
        (id, spec, status)
    }

    fn told(number: u64, weight: u64) -> Record {
        Record::RunChanged { id: id(number), run: Run { weight, ..Run::default() }.into() }
    }

    fn check(
        old: &Snapshot,
        live: Live,
        recent: &[Record],
    ) -> (Vec<String>, Vec<JobId>, Vec<JobId>) {
        let Mend { records, ends_lost, jobs_lost } = mend(Timestamp(9), old, live, recent);
        let number = |id: &JobId| (1..99).find(|it| self::id(*it) == *id).unwrap();
        let word = |record: &Record| match record {
            Record::JobQueued { id, status, .. } => {
                format!("{} new: {}", number(id), status.phase().word())
            }
            Record::JobChanged { id, status, .. } => {
                format!("{}: {}", number(id), status.phase().word())
            }
            Record::JobDeleted { id } => format!("{} deleted", number(id)),
            Record::ProjectChanged { name, about } => format!("{name}: {}", about.description),
            Record::RunChanged { id, run } => format!("run of {}: {}", number(id), run.weight),
            Record::NodeChanged(node) => format!("node {}", node.spec.name),
            Record::NodeRemoved(name) => format!("no node {name}"),
            Record::LeaseGranted(span) => format!("granted {}", span.0),
        };
        (records.iter().map(word).collect(), ends_lost, jobs_lost)
    }

    #[test]
    fn what_lives_is_written_as_it_is_now_and_nothing_that_is_the_same() {
        let waits = JobState::Queued { excluded: vec![] };
        let old = Snapshot {
            jobs: vec![job(1, &running("a")), job(2, &waits)],
            nodes: vec![node("a", None), node("gone", None), node("same", None)],
            next_position: Position(3),
            granted: Some(Millis(5)),
        };
        let live = Live {
            jobs: vec![job(1, &running("a")), job(2, &running("b")), job(3, &waits)],
            nodes: vec![node("a", Some("why".into())), node("b", None), node("same", None)],
            ..Live::default()
        };
        let expected =
            ["2: running", "3 new: queued", "no node gone", "node a", "node b", "granted 0"];
        assert_eq!(check(&old, live, &[]), (expected.map(str::to_owned).into(), vec![], vec![]));
    }

    #[test]
    fn an_end_that_somebody_remembers_is_written_and_any_other_is_an_end_all_the_same() {
        let done = states().into_iter().find(|it| matches!(it, JobState::Done { .. })).unwrap();
        let old = Snapshot {
            jobs: (1..=3).map(|it| job(it, &running("a"))).collect(),
            next_position: Position(4),
            ..Snapshot::default()
        };
        let recent = [
            to(1, done.clone()),
            to(2, done.clone()),
            Record::JobDeleted { id: id(2) },
            queued(5),
            to(5, done.clone()),
            told(5, 1),
            told(6, 1),
            told(5, 2),
            written("mnist", "old"),
            written("mnist", "new"),
            to(4, done),
            queued(6),
            Record::JobDeleted { id: id(6) },
        ];
        let expected = [
            "1: done",
            "2 deleted",
            "3: done",
            "5 new: done",
            "6 deleted",
            "run of 5: 2",
            "mnist: new",
        ];
        let found = check(&old, Live::default(), &recent);
        assert_eq!(found, (expected.map(str::to_owned).into(), vec![id(3)], vec![id(4)]));
    }

    #[test]
    fn a_job_that_is_being_deleted_goes_on_being_deleted() {
        let deleting =
            states().into_iter().find(|it| matches!(it, JobState::Deleting { .. })).unwrap();
        let old = Snapshot { next_position: Position(2), ..Snapshot::default() };
        let deleting = [1, 2].map(|it| (id(it), job(it, &deleting).2)).into();
        let found = check(&old, Live { removing: deleting, ..Live::default() }, &[]);
        assert_eq!(found, (vec!["1: done".to_owned()], vec![], vec![id(2)]));
    }
}
