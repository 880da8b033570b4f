//! The invariants, in code. Run after every step in tests and in the simulation.

use std::collections::BTreeSet;

use super::open::Open;
use super::placement::Verdict;
use super::{Cluster, Job};
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
        self.check_open()?;
        self.check_holders()?;
        self.check_outside()?;
        self.check_secrets()?;
        self.check_queue(now)
    }

    /// No GPU, slot, CPU or memory is given twice, and what is free is what is left.
    fn check_resources(&self) -> Result<(), Violation> {
        for (name, node) in &self.nodes {
            let capacity = &node.record.spec.capacity;
            let mut gpus: BTreeSet<&GpuId> = BTreeSet::new();
            let (mut slots, mut cpu, mut memory) = (0, 0, 0);
            for id in &node.running {
                let job = self
                    .jobs
                    .get(id)
                    .ok_or_else(|| Violation(format!("{name} holds {id}, which is not live")))?;
                let Some(placement) =
                    job.status.state.placement().filter(|_| job.status.state.holds_resources())
                else {
                    return Err(Violation(format!("{name} runs {id}, which does not run")));
                };
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

    /// The nodes that take jobs are listed where they belong, and no others are.
    fn check_open(&self) -> Result<(), Violation> {
        let mut open = Open::default();
        for (name, node) in &self.nodes {
            if node.listed.is_some() && node.cordon().is_some() {
                return Err(Violation(format!("{name} is cordoned and takes jobs")));
            }
            if let Some(rank) = node.rank() {
                open.insert(rank, name.clone());
            }
        }
        if open == self.open {
            Ok(())
        } else {
            Err(Violation("the list of open nodes is not what the nodes are".into()))
        }
    }

    /// A job is held by exactly the node that its state names.
    fn check_holders(&self) -> Result<(), Violation> {
        for (id, job) in &self.jobs {
            let holders: Vec<_> = self
                .nodes
                .iter()
                .filter(|(_, node)| node.running.contains(id) || node.archiving.contains(id))
                .map(|it| it.0)
                .collect();
            let expected = job.status.state.placement().map(|it| &it.node);
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

    /// Runs outside the scheduler, and no others, are waited for.
    fn check_outside(&self) -> Result<(), Violation> {
        let outside = |it: &&Job| matches!(it.status.state, JobState::Outside { .. });
        let jobs = self.jobs.iter().filter(|it| outside(&it.1)).map(|it| it.0);
        if jobs.eq(self.outside.keys()) {
            Ok(())
        } else {
            Err(Violation("those that are waited for are not the runs outside".into()))
        }
    }

    /// A job has its secrets as long as it may have to be started, and no longer.
    fn check_secrets(&self) -> Result<(), Violation> {
        for (id, job) in &self.jobs {
            let (named, sealed) = (&job.spec.worker.secrets, &job.status.sealed.0);
            let over = job.status.state.end().is_some();
            if if over { !sealed.is_empty() } else { !named.keys().eq(sealed.keys()) } {
                let (has, state) = (sealed.keys(), &job.status.state);
                return Err(Violation(format!("{id} is {state:?} and has the secrets {has:?}")));
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
        if !self.queue.is_consistent() {
            return Err(Violation("the lines of the queue are not the queue".into()));
        }
        if self.queue.is_settled()
            && let Some((_, head)) = self.queue.head()
            && let Verdict::Place(node) = self.verdict(now.mono, &self.jobs[&head].class())
        {
            return Err(Violation(format!("the head {head} waits although {node} fits")));
        }
        match queued.iter().find(|id| self.reason(now, **id).is_none()) {
            Some(id) => Err(Violation(format!("{id} waits without a reason"))),
            None => Ok(()),
        }
    }
}
