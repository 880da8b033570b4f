//! The invariants, in code. Run after every step in tests and in the simulation.

use std::collections::BTreeSet;

use super::Cluster;
use crate::id::{GpuId, JobId};
use crate::job::JobState;
use crate::time::Now;

/// An invariant that does not hold; a defect of the core.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(String);

impl Cluster {
    /// Says the first invariant that does not hold.
    pub fn check(&self, now: Now) -> Result<(), Violation> {
        self.check_resources()?;
        self.check_holders()?;
        self.check_queue(now)
    }

    /// No GPU, slot, CPU or memory is given twice, and what is free is what is left.
    fn check_resources(&self) -> Result<(), Violation> {
        for (name, node) in &self.nodes {
            let capacity = &node.record.spec.capacity;
            let mut gpus: BTreeSet<&GpuId> = BTreeSet::new();
            let (mut slots, mut cpu, mut memory) = (0, 0, 0);
            for id in &node.jobs {
                let job = self
                    .jobs
                    .get(id)
                    .ok_or_else(|| Violation(format!("{name} holds {id}, which is not live")))?;
                if !job.status.state.holds_resources() {
                    continue;
                }
                let placement =
                    job.status.state.placement().expect("a job that holds resources is placed");
                for gpu in &placement.gpus {
                    if !gpus.insert(gpu) {
                        return Err(Violation(format!("{gpu} of {name} is given twice")));
                    }
                }
                slots += 1;
                cpu += job.spec.demand.cpu_milli;
                memory += job.spec.demand.memory;
            }
            let free = &node.free;
            if free.gpus.iter().any(|gpu| gpus.contains(gpu)) {
                return Err(Violation(format!("a GPU of {name} is both free and given")));
            }
            let left = (
                capacity.slots.saturating_sub(slots),
                capacity.cpu_milli.saturating_sub(cpu),
                capacity.memory.saturating_sub(memory),
            );
            if left != (free.slots, free.cpu_milli, free.memory) {
                return Err(Violation(format!("what is free on {name} was not counted right")));
            }
        }
        Ok(())
    }

    /// A job is held by exactly the node that its state names.
    fn check_holders(&self) -> Result<(), Violation> {
        for (id, job) in &self.jobs {
            let holders: Vec<_> = self
                .nodes
                .iter()
                .filter(|(_, node)| node.jobs.contains(id))
                .map(|it| it.0)
                .collect();
            let expected = job
                .status
                .state
                .placement()
                .map(|it| &it.node)
                .filter(|it| self.nodes.contains_key(it));
            if holders != Vec::from_iter(expected) {
                return Err(Violation(format!(
                    "{id} is {:?} but held by {holders:?}",
                    job.status.state
                )));
            }
            if matches!(job.status.state, JobState::Done { .. } | JobState::Deleting { .. }) {
                return Err(Violation(format!("{id} has ended but is live")));
            }
        }
        Ok(())
    }

    /// Queued jobs and nothing else are in the queue, the head does not fit anywhere, and each has a reason.
    fn check_queue(&self, now: Now) -> Result<(), Violation> {
        let queued: BTreeSet<JobId> = self
            .jobs
            .iter()
            .filter(|(_, job)| matches!(job.status.state, JobState::Queued { .. }))
            .map(|(id, _)| *id)
            .collect();
        let in_queue: BTreeSet<JobId> = self.queue.iter().map(|(_, id)| id).collect();
        if queued != in_queue {
            return Err(Violation("the queue is not the set of queued jobs".into()));
        }
        if let Some((_, head)) = self.queue.head()
            && let super::placement::Verdict::Place(node) =
                self.verdict(now.mono, &self.jobs[&head])
        {
            return Err(Violation(format!("the head {head} waits although {node} fits")));
        }
        match queued.iter().find(|id| self.reason(now, **id).is_none()) {
            Some(id) => Err(Violation(format!("{id} waits without a reason"))),
            None => Ok(()),
        }
    }
}
