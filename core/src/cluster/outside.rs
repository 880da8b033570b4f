//! Runs outside the scheduler: scripts on machines of their users', which tell of themselves. They hold nothing of the cluster's; it
//! keeps what they say and how they ended.

use std::sync::Arc;

use super::reports::{end, outcome};
use super::{Cluster, Job, Rejection, Step};
use crate::agent::Exit;
use crate::id::{Attempt, JobId};
use crate::job::{Archive, End, JobState, JobStatus};
use crate::outcome::{Cause, Outcome};
use crate::record::{JobEvent, Record};
use crate::spec::JobSpec;
use crate::time::{Millis, Mono, Now, Timestamp};

/// A run that was not heard for so long is over: laptops sleep at night and go on in the morning.
pub const SILENT: Millis = Millis::from_secs(24 * 3600);
/// One that was not heard for so long may not hear that it is to stop.
const ASLEEP: Millis = Millis::from_secs(60);

impl Cluster {
    pub(super) fn begin(
        &mut self,
        now: Now,
        id: JobId,
        spec: Arc<JobSpec>,
        step: &mut Step,
    ) -> Result<(), Rejection> {
        if self.knows_job(id, &spec)? {
            return Ok(());
        }
        let started = spec.outside.as_ref().map_or(now.wall, |it| it.started);
        let state = JobState::Outside { started, stop: None };
        let status = JobStatus { attempt: Attempt(1), ..self.next_status(now, state) };
        step.records.push(Record::JobQueued { id, spec: spec.clone(), status: status.clone() });
        self.jobs.insert(id, Job { spec, status });
        self.outside.insert(id, now.mono);
        Ok(())
    }

    /// It is still there.
    pub(super) fn heard(&mut self, now: Now, id: JobId) -> Result<(), Rejection> {
        let heard = self.outside.get_mut(&id).ok_or(Rejection::UnknownJob(id))?;
        *heard = now.mono;
        Ok(())
    }

    /// How it ended, as it says itself.
    pub(super) fn end_outside(
        &mut self,
        id: JobId,
        exit: &Exit,
        step: &mut Step,
    ) -> Result<(), Rejection> {
        if !self.outside.contains_key(&id) {
            return Err(Rejection::UnknownJob(id));
        }
        let state = &self.jobs[&id].status.state;
        let Some(outcome) = outcome(exit, state) else { return Ok(()) };
        let end = End { started: state.started(), ..end(exit, outcome) };
        self.over(id, end, Archive::Complete, step);
        Ok(())
    }

    /// It hears of it when it is heard next. Where nobody may hear it, it is over.
    pub(super) fn stop_outside(&mut self, now: Now, id: JobId, by: String, step: &mut Step) {
        let status = &mut self.jobs.get_mut(&id).expect("the caller looked it up").status;
        let JobState::Outside { started, stop } = &mut status.state else { return };
        if now.mono - self.outside[&id] >= ASLEEP {
            let outcome = Outcome::failed(Cause::StoppedBy(by), "its machine was not heard");
            let end = last_seen(now, *started, outcome);
            return self.over(id, end, Archive::incomplete("its machine was not heard"), step);
        }
        if stop.is_none() {
            *stop = Some(by);
            let (event, status) = (JobEvent::Stopping, status.clone());
            step.records.push(Record::JobChanged { id, event, status });
        }
    }

    /// Ends those that have said nothing for too long.
    pub(super) fn give_up_silent(&mut self, now: Now, step: &mut Step) {
        let silent = |heard: &Mono| now.mono - *heard >= SILENT;
        let ids: Vec<JobId> =
            self.outside.iter().filter(|it| silent(it.1)).map(|it| *it.0).collect();
        for id in ids {
            let JobState::Outside { started, .. } = self.jobs[&id].status.state else { continue };
            let why = format!("its machine was not heard for {} hours", SILENT.0 / 3_600_000);
            let end = last_seen(now, started, Outcome::failed(Cause::NodeLost, why.clone()));
            self.over(id, end, Archive::incomplete(why), step);
        }
    }

    fn over(&mut self, id: JobId, end: End, archive: Archive, step: &mut Step) {
        let mut status = self.jobs[&id].status.clone();
        status.end(JobState::done(end, None, archive));
        step.records.push(Record::JobChanged { id, event: JobEvent::Exited, status });
        self.outside.remove(&id);
        self.forget(id);
    }
}

/// The end of one that did not say how it ended.
fn last_seen(now: Now, started: Timestamp, outcome: Outcome) -> End {
    End { outcome, at: now.wall, started: Some(started), log_length: 0, spool_length: 0 }
}
