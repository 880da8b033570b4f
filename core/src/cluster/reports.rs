//! What nodes say about the attempts they hold. Safe to hear twice, late, or from an attempt that is over.

use super::{Cluster, Effect, Held, STRIKES, Step};
use crate::agent::{Exit, ExitKind, Report};
use crate::id::{JobId, NodeName};
use crate::job::{Archive, End, JobState, Placement};
use crate::outcome::{Cause, Outcome};
use crate::record::{JobEvent, Record};
use crate::time::Now;

/// Bytes of a node's own words about one attempt.
const LONGEST_MESSAGE: usize = 4096;

impl Cluster {
    /// Whether the node of this name joined with this identity.
    pub fn knows(&self, name: &NodeName, identity: &str) -> bool {
        self.nodes.get(name).is_some_and(|it| it.record.spec.identity == identity)
    }

    pub(super) fn report(&mut self, now: Now, name: &NodeName, held: Held, step: &mut Step) {
        let Held { job: id, attempt, mut report } = held;
        cut(&mut report);
        let forget = Effect::Release { node: name.clone(), job: id, attempt };
        let Some(job) = self.jobs.get(&id) else {
            step.effects.push(forget);
            return;
        };
        let current = job
            .status
            .state
            .placement()
            .filter(|it| it.node == *name && it.attempt == attempt)
            .cloned();
        match (current, report) {
            (Some(placement), report) => self.current(now, id, placement, report, step),
            // It was given up, but nobody else has it yet, and it ended inside its lease: that is the truth.
            (None, Report::Exited(exit)) if self.may_still_count(id, name, attempt, &exit) => {
                self.late_exit(id, name, &exit, step);
            }
            // Killed by the node when it hears the list of what it should hold.
            (None, Report::Starting | Report::Started { .. }) => {}
            (None, _) => step.effects.push(forget),
        }
    }

    fn current(
        &mut self,
        now: Now,
        id: JobId,
        placement: Placement,
        report: Report,
        step: &mut Step,
    ) {
        match report {
            Report::Starting => {}
            Report::Started { at, image } => self.started(id, at, image, step),
            Report::NotStarted { cause, message, strike } => {
                if self.jobs[&id].status.state.holds_resources() {
                    let node = placement.node;
                    self.not_started(now, id, cause, message.clone(), step);
                    if strike {
                        self.strike(&node, id, &message, step);
                    }
                }
            }
            Report::Exited(exit) => {
                if !self.jobs[&id].status.state.holds_resources() {
                    return; // heard before
                }
                match outcome(&exit, &self.jobs[&id].status.state) {
                    Some(outcome) => self.exited(id, placement, end(&exit, outcome), step),
                    None => {
                        self.release_lost(now, id, &placement, "the node's lease ended", step);
                    }
                }
            }
            // Its end was never heard, so there is nothing to go by but that it is gone.
            Report::Archived { .. } if self.jobs[&id].status.state.holds_resources() => {
                self.release_lost(
                    now,
                    id,
                    &placement,
                    "the node archived it without reporting its end",
                    step,
                );
            }
            Report::Archived { left_behind } => {
                let archive = left_behind.map_or(Archive::Complete, Archive::incomplete);
                self.archived(id, archive, step);
            }
            Report::Lost { message } => self.release_lost(now, id, &placement, &message, step),
        }
    }

    fn release_lost(&mut self, now: Now, id: JobId, of: &Placement, why: &str, step: &mut Step) {
        if self.jobs[&id].status.state.holds_resources() {
            let (node, attempt) = (of.node.clone(), of.attempt);
            step.effects.push(Effect::Release { node, job: id, attempt });
        }
        self.lost(now, id, why, step);
    }

    fn started(&mut self, id: JobId, at: crate::Timestamp, image: Option<String>, step: &mut Step) {
        let job = self.jobs.get_mut(&id).expect("the caller looked it up");
        let node = match &mut job.status.state {
            JobState::Placed { placement, .. } => {
                let placement = placement.clone();
                let node = placement.node.clone();
                job.status.state = JobState::Running { placement, started: at };
                node
            }
            JobState::Stopping { started: started @ None, placement, .. } => {
                *started = Some(at);
                placement.node.clone()
            }
            _ => return,
        };
        job.status.image = image;
        step.records.push(Record::JobChanged {
            id,
            event: JobEvent::Started,
            status: job.status.clone(),
        });
        if let Some(node) = self.nodes.get_mut(&node) {
            node.strikes.clear();
        }
    }

    fn may_still_count(
        &self,
        id: JobId,
        name: &NodeName,
        attempt: crate::Attempt,
        exit: &Exit,
    ) -> bool {
        let status = &self.jobs[&id].status;
        matches!(status.state, JobState::Queued { .. })
            && status.past.last().is_some_and(|it| (it.attempt, &it.node) == (attempt, name))
            && exit.kind != ExitKind::LeaseEnded
    }

    /// The exit of an attempt that was given up: the job leaves the queue with it, and its node archives it.
    fn late_exit(&mut self, id: JobId, name: &NodeName, exit: &Exit, step: &mut Step) {
        let job = &self.jobs[&id];
        let Some(outcome) = outcome(exit, &job.status.state) else { return };
        self.queue.remove(job.status.position, &job.class());
        let placement =
            Placement { node: name.clone(), gpus: Vec::new(), attempt: job.status.attempt };
        self.exited(id, placement, end(exit, outcome), step);
    }

    /// A node that cannot start jobs must not eat the queue.
    fn strike(&mut self, name: &NodeName, id: JobId, why: &str, step: &mut Step) {
        let Some(node) = self.nodes.get_mut(name).filter(|it| !it.is_in_trouble()) else { return };
        node.strikes.insert(id);
        if node.strikes.len() >= STRIKES && node.record.cordoned.is_none() {
            node.record.cordoned =
                Some(format!("{STRIKES} jobs in a row could not start here; the last: {why}"));
            step.records.push(Record::NodeChanged(node.record.clone()));
            self.list(name);
            self.queue.reconsider();
        }
    }
}

/// What a node says becomes part of records and of every listing, so it has an end.
fn cut(report: &mut Report) {
    let text = match report {
        Report::NotStarted { message, .. } | Report::Lost { message } => message,
        Report::Exited(exit) => &mut exit.detail,
        Report::Archived { left_behind: Some(text) } => text,
        Report::Started { image: Some(digest), .. } => digest,
        Report::Archived { left_behind: None }
        | Report::Starting
        | Report::Started { image: None, .. } => return,
    };
    *text = clip(std::mem::take(text));
}

/// Words that are shown in every listing have an end.
pub(super) fn clip(mut text: String) -> String {
    if text.len() > LONGEST_MESSAGE {
        text.truncate(text.floor_char_boundary(LONGEST_MESSAGE));
        text.push('…');
    }
    text
}

pub(super) fn end(exit: &Exit, outcome: Outcome) -> End {
    let Exit { at, started, log_length, spool_length, .. } = *exit;
    End { outcome, at, started, log_length, spool_length }
}

/// What the end of a process means for its job; `None` = the attempt was lost, not the job.
pub(super) fn outcome(exit: &Exit, state: &JobState) -> Option<Outcome> {
    if exit.stopped
        && let JobState::Stopping { by, .. } | JobState::Outside { stop: Some(by), .. } = state
    {
        return Some(Outcome::failed(Cause::StoppedBy(by.clone()), exit.detail.clone()));
    }
    let cause = match &exit.kind {
        // Somebody made the request that was delivered; the record of who is gone.
        ExitKind::Code(_) | ExitKind::Signal(_) | ExitKind::Failed(Cause::Unknown)
            if exit.stopped =>
        {
            Cause::StoppedBy("unknown".into())
        }
        ExitKind::Code(0) => return Some(Outcome::Completed),
        ExitKind::Code(code) => Cause::ExitCode(*code),
        ExitKind::Signal(signal) => Cause::Signal(*signal),
        ExitKind::Failed(cause) => cause.clone(),
        ExitKind::LeaseEnded => return None,
    };
    Some(Outcome::failed(cause, exit.detail.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let mut report = Report::Lost { message: "ä".repeat(10_000) };
        cut(&mut report);
        assert_eq!(report, Report::Lost { message: "ä".repeat(2048) + "…" });
        let mut report = Report::Lost { message: "gone".into() };
        cut(&mut report);
        assert_eq!(report, Report::Lost { message: "gone".into() });
    }
}
