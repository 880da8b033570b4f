//! From the store back to a cluster. Every lease is full from then on, and whatever effect may be outstanding happens again.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::nodes::Node;
use super::{Cluster, Effect, Job, Lease, PLANNED_STOP, Policy, Trash};
use crate::id::{JobId, Position};
use crate::job::{JobState, JobStatus, Written};
use crate::node::NodeRecord;
use crate::spec::JobSpec;
use crate::time::{Millis, Now};

/// Where leases do not end, nodes that were known are waited for so long after a restore.
const SETTLING: Millis = Millis::from_secs(300);

/// What a store gives back: live jobs, jobs of which something is being removed, nodes.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub jobs: Vec<(JobId, Arc<JobSpec>, JobStatus)>,
    pub nodes: Vec<NodeRecord>,
    /// The next position that was never given.
    pub next_position: Position,
    /// Of a planned stop.
    pub granted: Option<Millis>,
}

/// What a store must hold so that a restore gives this cluster again.
#[derive(Clone, Debug, Default)]
pub struct Live {
    pub jobs: Vec<(JobId, Arc<JobSpec>, JobStatus)>,
    /// Their specs are in the store alone.
    pub removing: BTreeMap<JobId, JobStatus>,
    pub nodes: Vec<NodeRecord>,
    pub granted: Option<Millis>,
}

impl Cluster {
    /// All that lives, decided but not yet kept included.
    pub fn live(&self) -> Live {
        let span = match self.policy.lease {
            Lease::Lasts(span) => span.max(PLANNED_STOP),
            Lease::UntilReboot => PLANNED_STOP,
        };
        let job = |(id, job): (&JobId, &Job)| (*id, job.spec.clone(), job.status.clone());
        Live {
            jobs: self.jobs.iter().map(job).collect(),
            removing: self.removing.clone(),
            nodes: self.nodes.values().map(|it| it.record.clone()).collect(),
            granted: self.grant_stored.then_some(span),
        }
    }

    /// A cluster as it was at the last commit. Assignments are not among the effects: each node hears its list when it comes back.
    pub fn restore(policy: Policy, now: Now, snapshot: Snapshot) -> (Self, Vec<Effect>) {
        let Snapshot { mut jobs, nodes, next_position, granted } = snapshot;
        let mut cluster = Self::new(policy, now);
        cluster.next_position = next_position.max(Position(1));
        let granted = granted.unwrap_or_default();
        let lease_until = cluster.lease_from(now.mono).max(now.mono + granted);
        cluster.grant_stored = granted > Millis(0);
        cluster.settling_until = match policy.lease {
            Lease::Lasts(span) => now.mono + span,
            Lease::UntilReboot => now.mono + SETTLING,
        };
        for record in nodes {
            let mut node = Node::new(record, now.mono, lease_until);
            node.granted = cluster.grant_stored;
            cluster.nodes.insert(node.record.spec.name.clone(), node);
        }
        let mut effects = Vec::new();
        let mut live = Vec::with_capacity(jobs.len());
        // In order, because a tree grows fastest at its end.
        jobs.sort_unstable_by_key(|(_, _, status)| status.position);
        for (id, spec, status) in jobs {
            match &status.state {
                JobState::Deleting { .. } => {
                    effects.push(Effect::Trash { job: id, what: Trash::Everything });
                    cluster.removing.insert(id, status);
                    continue;
                }
                JobState::Done { written: Written::Removing(_), .. } => {
                    effects.push(Effect::Trash { job: id, what: Trash::Outputs });
                    cluster.removing.insert(id, status);
                    continue;
                }
                JobState::Done { .. } => continue,
                _ => {}
            }
            let job = Job { spec, status };
            cluster.put_back(id, &job);
            live.push((id, job));
        }
        cluster.jobs = live.into_iter().collect();
        cluster.uncounted = cluster.nodes.keys().cloned().collect();
        cluster.count_anew();
        (cluster, effects)
    }

    /// Where the job stood: in the queue, or on its node.
    fn put_back(&mut self, id: JobId, job: &Job) {
        let state = &job.status.state;
        if let JobState::Outside { .. } = state {
            self.outside.insert(id, self.last_tick);
        }
        if let JobState::Queued { .. } = state {
            return self.queue.insert(job.status.position, id, job.class());
        }
        if let Some(placement) = state.placement()
            && let Some(node) = self.nodes.get_mut(&placement.node)
        {
            let set = if state.holds_resources() { &mut node.running } else { &mut node.archiving };
            set.insert(id);
        }
    }
}
