//! A store that keeps whole values, refuses old epochs and wrong revisions, and loses answers when it is told to.

use std::collections::BTreeMap;
use std::sync::Arc;

use atlas_core::cluster::Snapshot;
use atlas_core::node::NodeRecord;
use atlas_core::time::Millis;
use atlas_core::{Epoch, JobId, JobSpec, JobStatus, NodeName, Position, Record, Revision, Run};

#[derive(Default)]
pub struct Store {
    pub epoch: Epoch,
    pub revision: Revision,
    pub jobs: BTreeMap<JobId, (Arc<JobSpec>, JobStatus)>,
    pub runs: BTreeMap<JobId, Arc<Run>>,
    nodes: BTreeMap<NodeName, NodeRecord>,
    next_position: Position,
    granted: Option<Millis>,
}

/// A group commit on its way.
#[derive(Clone)]
pub struct Batch {
    pub epoch: Epoch,
    pub revision: Revision,
    pub records: Vec<Record>,
}

impl Store {
    /// Every older leader's commits are refused from now on.
    pub fn lead(&mut self) -> (Epoch, Revision) {
        self.epoch = self.epoch.next();
        (self.epoch, self.revision)
    }

    /// All or nothing; false = it does not follow the last one.
    pub fn commit(&mut self, batch: &Batch) -> bool {
        if batch.epoch != self.epoch || batch.revision != self.revision.next() {
            return false;
        }
        self.revision = batch.revision;
        batch.records.iter().cloned().for_each(|record| self.put(record));
        true
    }

    fn put(&mut self, record: Record) {
        match record {
            Record::JobQueued { id, spec, status } => {
                self.next_position = self.next_position.max(status.position.next());
                self.jobs.insert(id, (spec, status));
            }
            Record::JobChanged { id, status, .. } => {
                self.jobs.get_mut(&id).expect("a job is queued before it changes").1 = status;
            }
            Record::JobDeleted { id } => drop((self.jobs.remove(&id), self.runs.remove(&id))),
            Record::RunChanged { id, run } if self.jobs.contains_key(&id) => {
                self.runs.insert(id, run);
            }
            Record::NodeChanged(node) => drop(self.nodes.insert(node.spec.name.clone(), node)),
            Record::NodeRemoved(name) => drop(self.nodes.remove(&name)),
            Record::RunChanged { .. } | Record::ProjectChanged { .. } => {}
            Record::LeaseGranted(span) => self.granted = (span > Millis(0)).then_some(span),
        }
    }

    pub fn restore(&self) -> Snapshot {
        let live = self.jobs.iter().filter(|(_, (_, it))| it.is_live());
        Snapshot {
            jobs: live.map(|(id, (spec, status))| (*id, spec.clone(), status.clone())).collect(),
            nodes: self.nodes.values().cloned().collect(),
            next_position: self.next_position,
            granted: self.granted,
        }
    }
}
