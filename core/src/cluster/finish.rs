//! The ways a job ends, or comes back into the queue.

use super::nodes::Node;
use super::{Cluster, Effect, Step};
use crate::id::JobId;
use crate::job::{Archive, End, Exclusion, JobState, Placement};
use crate::outcome::{Cause, Outcome};
use crate::record::{JobEvent, Record};
use crate::time::Now;

impl Cluster {
    /// A job that no node holds ends at once; there is nothing to archive but its bundle.
    pub(super) fn end_queued(&mut self, now: Now, id: JobId, outcome: Outcome, step: &mut Step) {
        let job = self.jobs.get_mut(&id).expect("the queue holds live jobs");
        self.queue.remove(job.status.position, &job.class());
        let end = End { outcome, at: now.wall, started: None, log_length: 0, spool_length: 0 };
        job.status.end(JobState::done(end, None, Archive::BundleOnly));
        step.records.push(Record::JobChanged {
            id,
            event: JobEvent::Exited,
            status: job.status.clone(),
        });
        self.forget(id);
    }

    /// The main process has ended: final. Slot and GPUs are free at once, what is kept is archived beside the next jobs.
    pub(super) fn exited(&mut self, id: JobId, placement: Placement, end: End, step: &mut Step) {
        let job = self.jobs.get_mut(&id).expect("the caller looked it up");
        let (name, did_start) = (placement.node.clone(), end.started.is_some());
        job.status.end(JobState::Archiving { placement, end });
        step.records.push(Record::JobChanged {
            id,
            event: JobEvent::Exited,
            status: job.status.clone(),
        });
        if let Some(node) = self.nodes.get_mut(&name) {
            node.running.remove(&id);
            node.archiving.insert(id);
            if did_start {
                node.strikes.clear();
            }
        }
        self.recount(&name);
        // The node waits for this word: what an attempt leaves behind that was given up must not mix with a later one's.
        let assignment = self.assignment(id).expect("it is being archived");
        step.effects.push(Effect::Assign { node: name, assignment });
    }

    /// The archive is as complete as it gets; the node may forget the job.
    pub(super) fn archived(&mut self, id: JobId, archive: Archive, step: &mut Step) {
        let job = self.jobs.get_mut(&id).expect("the caller looked it up");
        let JobState::Archiving { placement, end } = job.status.state.clone() else { return };
        job.status.state = JobState::done(end, Some(placement.node.clone()), archive);
        step.records.push(Record::JobChanged {
            id,
            event: JobEvent::Archived,
            status: job.status.clone(),
        });
        step.effects.push(release(id, &placement));
        self.detach(id, &placement.node);
        self.forget(id);
    }

    /// The attempt is gone without the job's doing: its node, its lease or its machine.
    pub(super) fn lost(&mut self, now: Now, id: JobId, why: &str, step: &mut Step) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(placement) = job.status.state.placement().cloned() else { return };
        if let JobState::Archiving { .. } = job.status.state {
            return self.archived(id, Archive::incomplete(why), step);
        }
        let started = job.status.state.started();
        let stopped_by = match &job.status.state {
            JobState::Stopping { by, .. } => Some(by.clone()),
            _ => None,
        };
        job.status.lost += 1;
        job.status.give_up(&placement);
        let outcome = match stopped_by {
            Some(by) => Some(Outcome::failed(Cause::StoppedBy(by), why)),
            None if job.status.lost >= self.policy.max_lost => Some(Outcome::failed(
                Cause::NodeLost,
                format!("{why}; this was lost attempt {}", job.status.lost),
            )),
            None => None,
        };
        let excluded = job.status.state.excluded().to_vec();
        let event = match outcome {
            Some(outcome) => {
                let end = End { outcome, at: now.wall, started, log_length: 0, spool_length: 0 };
                let archive = Archive::incomplete(why);
                let node = Some(placement.node.clone());
                job.status.end(JobState::done(end, node, archive));
                JobEvent::Exited
            }
            None => {
                job.status.state = JobState::Queued { excluded };
                self.queue.insert(job.status.position, id, job.class());
                JobEvent::Requeued
            }
        };
        let done = event == JobEvent::Exited;
        step.records.push(Record::JobChanged { id, event, status: job.status.clone() });
        self.detach(id, &placement.node);
        if done {
            self.forget(id);
        }
    }

    /// This node could not start the job: it goes back to its old position, to be tried elsewhere, or ends if there is no elsewhere.
    pub(super) fn not_started(
        &mut self,
        now: Now,
        id: JobId,
        cause: Cause,
        why: String,
        step: &mut Step,
    ) {
        let job = self.jobs.get_mut(&id).expect("the caller looked it up");
        let placement =
            job.status.state.placement().cloned().expect("only a placed job can fail to start");
        let in_trouble = self.nodes.get(&placement.node).is_some_and(Node::is_in_trouble);
        step.effects.push(release(id, &placement));
        if let JobState::Stopping { by, .. } = &job.status.state {
            let by = by.clone();
            return self.end_unstarted(
                now,
                id,
                &placement,
                Outcome::failed(Cause::StoppedBy(by), why),
                step,
            );
        }
        let mut excluded = job.status.state.excluded().to_vec();
        // Its trouble keeps jobs away for as long as it lasts, and this one may come back behind it.
        if !in_trouble {
            excluded.push(Exclusion { node: placement.node.clone(), reason: why.clone() });
        }
        job.status.give_up(&placement);
        job.status.state = JobState::Queued { excluded };
        let class = job.class();
        if !self.could_run(&class) {
            return self.end_unstarted(now, id, &placement, Outcome::failed(cause, why), step);
        }
        let status = self.jobs[&id].status.clone();
        self.queue.insert(status.position, id, class);
        step.records.push(Record::JobChanged { id, event: JobEvent::Requeued, status });
        self.detach(id, &placement.node);
    }

    fn end_unstarted(
        &mut self,
        now: Now,
        id: JobId,
        placement: &Placement,
        outcome: Outcome,
        step: &mut Step,
    ) {
        let job = self.jobs.get_mut(&id).expect("the caller looked it up");
        let end = End { outcome, at: now.wall, started: None, log_length: 0, spool_length: 0 };
        let node = Some(placement.node.clone());
        job.status.end(JobState::done(end, node, Archive::BundleOnly));
        step.records.push(Record::JobChanged {
            id,
            event: JobEvent::Exited,
            status: job.status.clone(),
        });
        self.detach(id, &placement.node);
        self.forget(id);
    }
}

fn release(job: JobId, placement: &Placement) -> Effect {
    Effect::Release { node: placement.node.clone(), job, attempt: placement.attempt }
}
