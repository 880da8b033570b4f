//! A node as one value with one door, [`Agent::handle`]: what the master wants and what runs here go in, actions come out.
//!
//! **Invariant:** nothing that runs is touched before the master of the node's own cluster has said, in a complete list, what
//! should run here.

mod fence;
mod lease;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::id::{Attempt, Epoch, GpuId, JobId};
use crate::outcome::Cause;
use crate::spec::{JobSpec, Sealed};
use crate::time::{Millis, Timestamp};

pub use fence::{Fence, Stale};
pub use lease::{LeaseClock, MARGIN};

/// A job that a node should hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub job: JobId,
    pub attempt: Attempt,
    pub duty: Duty,
}

/// What the node should do about a job it holds. Only who has to start it needs to know what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Duty {
    Run(Work),
    Stop { grace: Millis },
    Archive,
}

/// What is to be run, and on which GPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    pub spec: Arc<JobSpec>,
    pub gpus: Vec<GpuId>,
    /// Opened on the way to the node, which keeps none of it.
    pub sealed: Sealed,
}

/// What a node says about an attempt. The last word counts; it is said again in every new session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    Starting,
    /// The first instruction of the job itself.
    Started {
        at: Timestamp,
        /// What of the image's name was true then: by which it can be had again.
        image: Option<String>,
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
    /// It never came to its first instruction, was ended for a reason that the node knows, or nobody saw how it ended.
    Failed(Cause),
    /// The supervisor stopped it because the lease ran out.
    LeaseEnded,
}

/// What a node holds, by job. A job that has exited is held until the master releases it, or it would be started again.
#[derive(Clone, Debug)]
pub struct Agent {
    fence: Fence,
    /// A complete list was heard; before that nothing is touched.
    listed: bool,
    held: BTreeMap<JobId, Holding>,
    /// Whose archive is to be written when there is room, first come first served; some may have been released since.
    to_archive: VecDeque<(JobId, Attempt)>,
    /// Archives being written; at most [`ARCHIVING`].
    archiving: usize,
}

#[derive(Clone, Debug)]
struct Holding {
    attempt: Attempt,
    report: Report,
    /// [`Action::Start`] was given, by this agent.
    begun: bool,
    archive: ArchiveStage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ArchiveStage {
    /// The master has not accepted the end yet.
    NotYet,
    Waiting,
    Writing,
    Written,
}

impl Holding {
    fn new(attempt: Attempt, report: Report) -> Self {
        Self { attempt, report, begun: false, archive: ArchiveStage::NotYet }
    }

    fn may_run(&self) -> bool {
        matches!(self.report, Report::Starting | Report::Started { .. })
    }
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

/// What the node must do now, in this order. Each is safe to do twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing to do where it was begun already, also by an agent before this one.
    Start {
        job: JobId,
        attempt: Attempt,
        work: Work,
    },
    /// What has no process yet is given up and reported as not started.
    Stop {
        job: JobId,
        attempt: Attempt,
        grace: Millis,
    },
    /// Not ours any more: end it without grace, report nothing, and be sure that it is gone before anything else is done.
    Kill {
        job: JobId,
        attempt: Attempt,
    },
    /// The master has accepted the end of this attempt.
    Archive {
        job: JobId,
        attempt: Attempt,
    },
    /// Forget it: give up its archive if that is being written, remove its work directory.
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
    /// An agent that found these attempts on its disk when it started. An assignment that came to no start, or one whose
    /// supervisor still prepares, is [`Report::Starting`]; what was under way when the machine restarted is [`Report::Lost`].
    pub fn new(found: Vec<(JobId, Attempt, Report)>) -> Self {
        let held =
            found.into_iter().map(|(job, attempt, report)| (job, Holding::new(attempt, report)));
        Self {
            fence: Fence::default(),
            listed: false,
            held: held.collect(),
            to_archive: VecDeque::new(),
            archiving: 0,
        }
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
                self.listed = true;
                self.reconcile(list, &mut actions);
            }
            Input::Local { job, attempt, report } => self.local(job, attempt, report, &mut actions),
            Input::Assign { .. } | Input::Stop { .. } | Input::Release { .. } if !self.listed => {}
            Input::Assign { assignment } => self.assign(assignment, &mut actions),
            Input::Stop { job, attempt, grace } => self.stop(job, attempt, grace, &mut actions),
            Input::Release { job, attempt } => self.release(job, attempt, &mut actions),
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
        let Assignment { job, attempt, duty } = assignment;
        match self.held.get(&job) {
            Some(it) if it.attempt > attempt => {}
            Some(it) if it.attempt == attempt => self.remind(job, attempt, duty, actions),
            Some(it) => {
                let old = it.attempt;
                self.release(job, old, actions);
                self.take_on(job, attempt, duty, actions);
            }
            None => self.take_on(job, attempt, duty, actions),
        }
    }

    /// An attempt that is not known here.
    fn take_on(&mut self, job: JobId, attempt: Attempt, duty: Duty, actions: &mut Vec<Action>) {
        let report = match duty {
            Duty::Run(work) => {
                actions.push(Action::Start { job, attempt, work });
                let holding = Holding { begun: true, ..Holding::new(attempt, Report::Starting) };
                self.held.insert(job, holding);
                return;
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
        self.held.insert(job, Holding::new(attempt, report.clone()));
        actions.push(Action::Report { job, attempt, report });
    }

    /// The duty of an attempt that is held already.
    fn remind(&mut self, job: JobId, attempt: Attempt, duty: Duty, actions: &mut Vec<Action>) {
        let Some(it) = self.held.get_mut(&job) else { return };
        match duty {
            // The agent that took it on may not have come so far as to start it.
            Duty::Run(work) if it.report == Report::Starting && !it.begun => {
                it.begun = true;
                actions.push(Action::Start { job, attempt, work });
            }
            Duty::Run(_) => {}
            Duty::Stop { grace } => self.stop(job, attempt, grace, actions),
            Duty::Archive => match &it.report {
                report @ Report::Archived { .. } => {
                    let report = report.clone();
                    actions.push(Action::Report { job, attempt, report });
                }
                _ if it.archive == ArchiveStage::NotYet => {
                    // The master knows an end that this agent does not: only a disk that forgot can be the reason.
                    if it.may_run() {
                        actions.push(Action::Kill { job, attempt });
                    }
                    it.archive = ArchiveStage::Waiting;
                    self.to_archive.push_back((job, attempt));
                }
                _ => {}
            },
        }
    }

    fn stop(&mut self, job: JobId, attempt: Attempt, grace: Millis, actions: &mut Vec<Action>) {
        let Some(it) = self.held.get(&job).filter(|it| it.attempt == attempt) else { return };
        if it.may_run() {
            actions.push(Action::Stop { job, attempt, grace });
        }
    }

    fn release(&mut self, job: JobId, attempt: Attempt, actions: &mut Vec<Action>) {
        let Some(it) = self.held.get(&job).filter(|it| it.attempt == attempt) else { return };
        if it.may_run() {
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
        if let Report::Archived { .. } = report {
            if it.archive == ArchiveStage::Writing {
                self.archiving -= 1;
            }
            it.archive = ArchiveStage::Written;
        }
        it.report = report.clone();
        actions.push(Action::Report { job, attempt, report });
    }

    fn archive_next(&mut self, actions: &mut Vec<Action>) {
        while self.archiving < ARCHIVING {
            let Some((job, attempt)) = self.to_archive.pop_front() else { return };
            let waits =
                |it: &&mut Holding| it.attempt == attempt && it.archive == ArchiveStage::Waiting;
            if let Some(it) = self.held.get_mut(&job).filter(waits) {
                it.archive = ArchiveStage::Writing;
                self.archiving += 1;
                actions.push(Action::Archive { job, attempt });
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
