//! Jobs of other clusters, which ended there. They come as they are and are never live: nothing of queue, nodes and leases knows them.

use std::sync::Arc;

use super::jobs::Left;
use super::{Cluster, Rejection, Step};
use crate::id::{Attempt, ClusterId, JobId, NodeName};
use crate::job::{Archive, End, Imported, JobState, JobStatus, Removal, Written};
use crate::record::Record;
use crate::run::Run;
use crate::spec::JobSpec;
use crate::time::{Now, Timestamp};

/// How a job stands that has ended, in whatever cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub submitted: Timestamp,
    /// The last one.
    pub attempt: Attempt,
    /// Attempts that ended without the job's doing.
    pub lost: u32,
    /// The digest of the image that the last attempt was started in.
    pub image: Option<String>,
    pub end: End,
    pub node: Option<NodeName>,
    pub archive: Archive,
    /// Of what it wrote.
    pub removed: Option<Removal>,
    /// Where it ran.
    pub from: ClusterId,
    /// Who brings it here.
    pub by: String,
}

impl Cluster {
    /// Job and run in one commit: it is all there, or not there.
    pub(super) fn import(
        &mut self,
        now: Now,
        id: JobId,
        spec: Arc<JobSpec>,
        ended: Ended,
        run: Arc<Run>,
        step: &mut Step,
    ) -> Result<(), Rejection> {
        let is_here = self.jobs.contains_key(&id)
            || self.removing.contains_key(&id)
            || self.recent.has_ended(id);
        if is_here {
            return Err(Rejection::IdTaken(id));
        }
        let Ended { submitted, attempt, lost, image, end, node, archive, removed, from, by } =
            ended;
        let written = removed.map_or(Written::Kept, Written::Removed);
        let state = JobState::Done { end, node, archive, written };
        let imported = Some(Box::new(Imported { from, at: now.wall, by }));
        let new = self.next_status(now, state);
        let status = JobStatus { submitted, attempt, lost, image, imported, ..new };
        step.records.push(Record::JobQueued { id, spec, status });
        step.records.push(Record::RunChanged { id, run });
        self.recent.push(id, Left::Ended);
        Ok(())
    }
}
