//! A node as one value with one door, [`Agent::handle`]: what the master wants and what runs here go in, actions come out.
//!
//! **Invariant:** nothing that runs is touched before the master of the node's own cluster has said, in a complete list, what
//! should run here.

mod fence;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::id::{Attempt, Epoch, GpuId, JobId};
use crate::outcome::Cause;
use crate::spec::JobSpec;
use crate::time::{Millis, Timestamp};

pub use fence::{Fence, Stale};

/// A job that a node should hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub job: JobId,
    pub attempt: Attempt,
    pub spec: Arc<JobSpec>,
    pub gpus: Vec<GpuId>,
    pub duty: Duty,
}

/// What the node should do about a job it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    Run,
    Stop { grace: Millis },
    Archive,
}

/// What a node says about an attempt. The last word counts; it is said again in every new session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    Starting,
    /// The first instruction of the job itself.
    Started {
        at: Timestamp,
    },
    /// The node could not start it.
    NotStarted {
        cause: Cause,
        message: String,
        /// It is the node's fault, whatever the job.
        strike: bool,
    },
    Exited(Exit),
    /// What is kept is in the archive, except what is named here.
    Archived {
        left_behind: Option<String>,
    },
    /// Gone without an exit: a restart of the machine, a supervisor that was killed.
    Lost {
        message: String,
    },
}

/// The end of a job's main process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    pub kind: ExitKind,
    /// A stop had been delivered before.
    pub stopped: bool,
    pub at: Timestamp,
    pub started: Option<Timestamp>,
    pub log_length: u64,
    pub spool_length: u64,
    pub detail: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitKind {
    Code(i32),
    Signal(i32),
    /// It never came to its first instruction, or was ended for a reason that the node knows.
    Failed(Cause),
    /// The supervisor stopped it because the lease ran out.
    LeaseEnded,
}

/// What a node holds, by job. A job that has exited is held until the master releases it, or it would be started again.
#[derive(Clone, Debug)]
pub struct Agent {
    fence: Fence,
    held: BTreeMap<JobId, Holding>,
    /// Jobs whose archive is being written; at most [`ARCHIVING`] at a time.
    archiving: usize,
}

#[derive(Clone, Debug)]
struct Holding {
    attempt: Attempt,
    report: Report,
    archive: ArchiveStage,
    stop_asked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ArchiveStage {
    NotYet,
    Waiting,
    Writing,
}

/// Archives written at the same time, beside the jobs that run.
pub const ARCHIVING: usize = 2;

/// Everything that can happen to a node.
#[derive(Clone, Debug)]
pub enum Input {
    /// The first word of a session: everything that should be held here.
    Assignments {
        epoch: Epoch,
        list: Vec<Assignment>,
    },
    Assign {
        assignment: Assignment,
    },
    Stop {
        job: JobId,
        attempt: Attempt,
        grace: Millis,
    },
    Release {
        job: JobId,
        attempt: Attempt,
    },
    /// Something happened to an attempt here.
    Local {
        job: JobId,
        attempt: Attempt,
        report: Report,
    },
}

/// What the node must do now. Each is safe to do twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Start(Assignment),
    Stop {
        job: JobId,
        attempt: Attempt,
        grace: Millis,
    },
    /// Not ours any more: end it without grace and report nothing.
    Kill {
        job: JobId,
        attempt: Attempt,
    },
    Archive {
        job: JobId,
        attempt: Attempt,
    },
    /// Forget it: remove its work directory.
    Remove {
        job: JobId,
        attempt: Attempt,
    },
    Report {
        job: JobId,
        attempt: Attempt,
        report: Report,
    },
}

impl Agent {
    /// An agent that found these attempts on its disk when it started.
    pub fn new(found: Vec<(JobId, Attempt, Report)>) -> Self {
        let mut agent = Self { fence: Fence::default(), held: BTreeMap::new(), archiving: 0 };
        for (job, attempt, report) in found {
            agent.held.insert(
                job,
                Holding { attempt, report, archive: ArchiveStage::NotYet, stop_asked: false },
            );
        }
        agent
    }

    /// What is held here, for the first message of a session.
    pub fn held(&self) -> impl Iterator<Item = (JobId, Attempt, &Report)> {
        self.held.iter().map(|(job, it)| (*job, it.attempt, &it.report))
    }

    /// The one door. An older master than the one last heard is refused.
    pub fn handle(&mut self, input: Input) -> Result<Vec<Action>, Stale> {
        let mut actions = Vec::new();
        match input {
            Input::Assignments { epoch, list } => {
                self.fence.admit(epoch)?;
                self.reconcile(list, &mut actions);
            }
            Input::Assign { assignment } => self.assign(assignment, &mut actions),
            Input::Stop { job, attempt, grace } => self.stop(job, attempt, grace, &mut actions),
            Input::Release { job, attempt } => self.release(job, attempt, &mut actions),
            Input::Local { job, attempt, report } => self.local(job, attempt, report, &mut actions),
        }
        self.archive_next(&mut actions);
        Ok(actions)
    }

    /// Compare what should be held with what is: start, restart, lost message and reboot are this one path.
    fn reconcile(&mut self, list: Vec<Assignment>, actions: &mut Vec<Action>) {
        let wanted: BTreeMap<JobId, Attempt> = list.iter().map(|it| (it.job, it.attempt)).collect();
        let unwanted: Vec<(JobId, Attempt)> = self
            .held
            .iter()
            .filter(|(job, it)| wanted.get(job) != Some(&it.attempt))
            .map(|(job, it)| (*job, it.attempt))
            .collect();
        for (job, attempt) in unwanted {
            self.release(job, attempt, actions);
        }
        for assignment in list {
            self.assign(assignment, actions);
        }
    }

    fn assign(&mut self, assignment: Assignment, actions: &mut Vec<Action>) {
        let Assignment { job, attempt, duty, .. } = assignment;
        match self.held.get_mut(&job) {
            Some(it) if it.attempt > attempt => return,
            Some(it) if it.attempt < attempt => {
                let old = it.attempt;
                self.release(job, old, actions);
            }
            Some(it) => {
                if let (Duty::Archive, ArchiveStage::NotYet, Report::Exited(_)) =
                    (duty, it.archive, &it.report)
                {
                    it.archive = ArchiveStage::Waiting;
                }
                if let Duty::Stop { grace } = duty {
                    self.stop(job, attempt, grace, actions);
                }
                return;
            }
            None => {}
        }
        let report = match duty {
            Duty::Run => {
                actions.push(Action::Start(assignment));
                Report::Starting
            }
            // It never reached this node, and now it need not.
            Duty::Stop { .. } => Report::NotStarted {
                cause: Cause::Internal,
                message: "stopped before it started".into(),
                strike: false,
            },
            Duty::Archive => Report::Archived {
                left_behind: Some("the node no longer has anything of this job".into()),
            },
        };
        if report != Report::Starting {
            actions.push(Action::Report { job, attempt, report: report.clone() });
        }
        self.held.insert(
            job,
            Holding { attempt, report, archive: ArchiveStage::NotYet, stop_asked: false },
        );
    }

    fn stop(&mut self, job: JobId, attempt: Attempt, grace: Millis, actions: &mut Vec<Action>) {
        let Some(it) = self.held.get_mut(&job).filter(|it| it.attempt == attempt) else { return };
        if matches!(it.report, Report::Starting | Report::Started { .. }) {
            it.stop_asked = true;
            actions.push(Action::Stop { job, attempt, grace });
        }
    }

    fn release(&mut self, job: JobId, attempt: Attempt, actions: &mut Vec<Action>) {
        let Some(it) = self.held.get(&job).filter(|it| it.attempt == attempt) else { return };
        if matches!(it.report, Report::Starting | Report::Started { .. }) {
            actions.push(Action::Kill { job, attempt });
        }
        if it.archive == ArchiveStage::Writing {
            self.archiving -= 1;
        }
        self.held.remove(&job);
        actions.push(Action::Remove { job, attempt });
    }

    fn local(&mut self, job: JobId, attempt: Attempt, report: Report, actions: &mut Vec<Action>) {
        let Some(it) = self.held.get_mut(&job).filter(|it| it.attempt == attempt) else { return };
        if rank(&report) <= rank(&it.report) {
            return; // nothing new, or told out of order
        }
        match &report {
            Report::Exited(exit) if exit.kind != ExitKind::LeaseEnded => {
                it.archive = ArchiveStage::Waiting;
            }
            Report::Archived { .. } => {
                if it.archive == ArchiveStage::Writing {
                    self.archiving -= 1;
                }
                it.archive = ArchiveStage::NotYet;
            }
            _ => {}
        }
        it.report = report.clone();
        actions.push(Action::Report { job, attempt, report });
    }

    fn archive_next(&mut self, actions: &mut Vec<Action>) {
        for (job, it) in &mut self.held {
            if self.archiving == ARCHIVING {
                return;
            }
            if it.archive == ArchiveStage::Waiting {
                it.archive = ArchiveStage::Writing;
                self.archiving += 1;
                actions.push(Action::Archive { job: *job, attempt: it.attempt });
            }
        }
    }
}

/// Reports of one attempt only ever move on.
fn rank(report: &Report) -> u8 {
    match report {
        Report::Starting => 0,
        Report::Started { .. } => 1,
        Report::NotStarted { .. } | Report::Exited(_) | Report::Lost { .. } => 2,
        Report::Archived { .. } => 3,
    }
}
