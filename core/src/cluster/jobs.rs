//! What users do with jobs: submit, stop, clear the queue, delete.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::{Cluster, Effect, Job, Rejection, Step};
use crate::id::JobId;
use crate::job::{JobState, JobStatus, Phase, Removal, Written};
use crate::outcome::{Cause, Outcome};
use crate::record::{JobEvent, Record};
use crate::spec::{JobSpec, Sealed};
use crate::time::Now;

/// Which files of a finished job are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trash {
    /// The job is being deleted.
    Everything,
    /// What it wrote.
    Outputs,
}

impl Cluster {
    pub(super) fn submit(
        &mut self,
        now: Now,
        id: JobId,
        spec: Arc<JobSpec>,
        sealed: Sealed,
        step: &mut Step,
    ) -> Result<(), Rejection> {
        if self.knows_job(id, &spec)? {
            return Ok(());
        }
        self.refuse_impossible(&spec)?;
        let state = JobState::Queued { excluded: Vec::new() };
        let status = JobStatus { sealed, ..self.next_status(now, state) };
        step.records.push(Record::JobQueued { id, spec: spec.clone(), status: status.clone() });
        let (position, job) = (status.position, Job { spec, status });
        self.queue.insert(position, id, job.class());
        self.jobs.insert(id, job);
        Ok(())
    }

    /// Whether it was taken before, with this content.
    pub(super) fn knows_job(&self, id: JobId, spec: &JobSpec) -> Result<bool, Rejection> {
        match self.jobs.get(&id) {
            Some(job) if job.spec.same_job(spec) => Ok(true),
            Some(_) => Err(Rejection::SpecDiffers(id)),
            None => Ok(self.recent.contains(id) || self.removing.contains_key(&id)),
        }
    }

    /// Of a new job.
    pub(super) fn next_status(&mut self, now: Now, state: JobState) -> JobStatus {
        let position = self.next_position;
        self.next_position = position.next();
        JobStatus {
            submitted: now.wall,
            position,
            attempt: Default::default(),
            lost: 0,
            image: None,
            sealed: Sealed::default(),
            past: Vec::new(),
            imported: None,
            state,
        }
    }

    pub(super) fn stop(
        &mut self,
        now: Now,
        id: JobId,
        by: String,
        step: &mut Step,
    ) -> Result<(), Rejection> {
        let job = self.jobs.get_mut(&id).ok_or(Rejection::UnknownJob(id))?;
        let (placement, started) = match &job.status.state {
            JobState::Queued { .. } => {
                self.end_queued(now, id, Outcome::failed(Cause::StoppedBy(by), ""), step);
                return Ok(());
            }
            JobState::Outside { .. } => {
                self.stop_outside(now, id, by, step);
                return Ok(());
            }
            JobState::Placed { placement, .. } => (placement.clone(), None),
            JobState::Running { placement, started } => (placement.clone(), Some(*started)),
            JobState::Stopping { .. } => return Ok(()),
            JobState::Archiving { .. } | JobState::Done { .. } | JobState::Deleting { .. } => {
                return Err(Rejection::AlreadyEnded { job: id, status: job.status.status() });
            }
        };
        step.effects.push(Effect::Stop {
            node: placement.node.clone(),
            job: id,
            attempt: placement.attempt,
            grace: self.policy.grace,
        });
        job.status.state = JobState::Stopping { placement, started, by };
        step.records.push(Record::JobChanged {
            id,
            event: JobEvent::Stopping,
            status: job.status.clone(),
        });
        Ok(())
    }

    pub(super) fn clear_queue(&mut self, now: Now, by: &str, limit: usize, step: &mut Step) {
        let waiting: Vec<JobId> = self.queue.iter().take(limit).map(|(_, id)| id).collect();
        for id in waiting {
            self.end_queued(
                now,
                id,
                Outcome::failed(Cause::StoppedBy(by.into()), "the queue was cleared"),
                step,
            );
        }
    }

    pub(super) fn delete(
        &mut self,
        id: JobId,
        mut status: JobStatus,
        step: &mut Step,
    ) -> Result<(), Rejection> {
        let refuse = |phase: Phase| Err(Rejection::NotFinished { job: id, phase: phase.word() });
        if let Some(job) = self.jobs.get(&id) {
            return refuse(job.status.phase());
        }
        let end = match &status.state {
            JobState::Done { end, .. } => end.clone(),
            // Asked for before; the files may still be there, or all of it was done just now.
            JobState::Deleting { .. } if !self.removing.contains_key(&id) => return Ok(()),
            JobState::Deleting { end } => end.clone(),
            _ => return refuse(status.phase()),
        };
        status.state = JobState::Deleting { end };
        self.removing.insert(id, status.clone());
        step.records.push(Record::JobChanged { id, event: JobEvent::Deleting, status });
        step.effects.push(Effect::Trash { job: id, what: Trash::Everything });
        Ok(())
    }

    pub(super) fn remove_outputs(
        &mut self,
        id: JobId,
        mut status: JobStatus,
        removal: Removal,
        step: &mut Step,
    ) -> Result<(), Rejection> {
        if let Some(JobState::Deleting { .. }) = self.removing.get(&id).map(|it| &it.state) {
            return Err(Rejection::UnknownJob(id));
        }
        let phase = self.jobs.get(&id).map_or(status.phase(), |it| it.status.phase());
        let JobState::Done { written, .. } = &mut status.state else {
            return Err(Rejection::StillWrites { job: id, phase: phase.word() });
        };
        let effect = Effect::Trash { job: id, what: Trash::Outputs };
        match written {
            // It was done just now, or could not be done: then it is tried again.
            Written::Removing(_) if self.removing.contains_key(&id) => step.effects.push(effect),
            Written::Removing(_) | Written::Removed(_) => {}
            Written::Kept => {
                *written = Written::Removing(removal);
                self.removing.insert(id, status.clone());
                step.records.push(Record::JobChanged { id, event: JobEvent::Removing, status });
                step.effects.push(effect);
            }
        }
        Ok(())
    }

    /// What was decided later counts: of a job that is being deleted by now, its outputs alone are not all.
    pub(super) fn trashed(&mut self, id: JobId, what: Trash, step: &mut Step) {
        let Some(mut status) = self.removing.get(&id).cloned() else { return };
        match (what, &mut status.state) {
            (Trash::Everything, JobState::Deleting { .. }) => {
                self.recent.push(id, Left::Deleted);
                step.records.push(Record::JobDeleted { id });
            }
            (Trash::Outputs, JobState::Done { written, .. }) => {
                if let Written::Removing(removal) = written {
                    *written = Written::Removed(removal.clone());
                }
                step.records.push(Record::JobChanged { id, event: JobEvent::Removed, status });
            }
            _ => return,
        }
        self.removing.remove(&id);
    }
}

/// The last jobs that left. Their number is bounded.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    order: VecDeque<JobId>,
    known: BTreeMap<JobId, Left>,
}

/// What the store has of a job that left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Ended,
    Deleted,
}

impl Recent {
    const MOST: usize = 10_000;

    pub fn push(&mut self, id: JobId, left: Left) {
        if self.order.len() == Self::MOST {
            let oldest = self.order.pop_front().expect("it is full");
            self.known.remove(&oldest);
        }
        if self.known.insert(id, left).is_none() {
            self.order.push_back(id);
        }
    }

    pub fn contains(&self, id: JobId) -> bool {
        self.known.contains_key(&id)
    }

    /// Whether the store has it.
    pub fn has_ended(&self, id: JobId) -> bool {
        self.known.get(&id) == Some(&Left::Ended)
    }
}
