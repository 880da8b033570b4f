//! From the store back to a cluster. Every lease is full from then on, and whatever effect may be outstanding happens again.

use std::sync::Arc;

use super::{Cluster, Effect, Job, Lease, Link, Node, Policy};
use crate::id::{JobId, Position};
use crate::job::{JobState, JobStatus};
use crate::node::NodeRecord;
use crate::resources::Free;
use crate::spec::JobSpec;
use crate::time::{Millis, Now};

/// What a store gives back: live jobs, jobs that are being deleted, nodes.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub jobs: Vec<(JobId, Arc<JobSpec>, JobStatus)>,
    pub nodes: Vec<NodeRecord>,
    /// The next position that was never given.
    pub next_position: Position,
    /// Of a planned stop.
    pub granted: Option<Millis>,
}

impl Cluster {
    /// A cluster as it was at the last commit. Assignments are not among the effects: each node hears its list when it comes back.
    pub fn restore(policy: Policy, now: Now, snapshot: Snapshot) -> (Self, Vec<Effect>) {
        let Snapshot { jobs, nodes, next_position, granted } = snapshot;
        let mut cluster = Self::new(policy, now);
        cluster.next_position = next_position.max(Position(1));
        let lease_until = cluster.lease_from(now.mono).max(now.mono + granted.unwrap_or_default());
        cluster.settling_until = match policy.lease {
            Lease::Lasts(_) => lease_until,
            Lease::UntilReboot => now.mono + Millis::from_secs(300),
        };
        for record in nodes {
            let node = Node {
                link: Link::Away,
                heard: now.mono,
                lease_until,
                free: Free::default(),
                jobs: Default::default(),
                strikes: Default::default(),
                record,
            };
            cluster.nodes.insert(node.record.spec.name.clone(), node);
        }
        let mut effects = Vec::new();
        for (id, spec, status) in jobs {
            match &status.state {
                JobState::Deleting { .. } => {
                    effects.push(Effect::Trash { job: id });
                    cluster.deleting.insert(id, status);
                    continue;
                }
                JobState::Done { .. } => continue,
                JobState::Queued { .. } => cluster.queue.insert(status.position, id),
                _ => {}
            }
            if let Some(placement) = status.state.placement()
                && let Some(node) = cluster.nodes.get_mut(&placement.node)
            {
                node.jobs.insert(id);
            }
            cluster.jobs.insert(id, Job { spec, status });
        }
        let names: Vec<_> = cluster.nodes.keys().cloned().collect();
        for name in &names {
            cluster.recount(name);
        }
        (cluster, effects)
    }
}
