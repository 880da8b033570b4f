//! The cluster as one value with one door, [`Cluster::handle`].
//!
//! **Invariants** (`check.rs` says them in code, every test and the simulation run it after each step):
//! 1. A job has at most one live lease. No GPU, slot, CPU or memory is given twice.
//! 2. Strict FIFO: no job starts while an earlier eligible job waits.
//! 3. An acknowledged job exists until someone who may deletes it, and ends in exactly one outcome.
//! 4. An old session or attempt changes nothing, except an exit inside its lease before a later attempt was placed.
//! 5. Every waiting job has a reason, and it is the predicate that placement evaluates.

mod check;
mod finish;
mod import;
mod jobs;
mod lease;
mod nodes;
mod open;
mod outside;
mod placement;
mod queue;
mod reports;
mod restore;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::agent::{Assignment, Exit, Report};
use crate::id::{Attempt, JobId, NodeName, Position};
use crate::job::{Archive, JobStatus, Removal, Remover, Status};
use crate::node::{NodeSpec, Troubles};
use crate::record::Record;
use crate::run::Run;
use crate::spec::{JobSpec, Sealed};
use crate::time::{Millis, Mono, Now};
use nodes::Node;

pub use check::Violation;
pub use import::Ended;
pub use jobs::Trash;
pub use restore::{Live, Snapshot};
pub use view::NodeView;

/// The live jobs, the queue and the nodes. Finished jobs have left; the store has them.
#[derive(Clone, Debug)]
pub struct Cluster {
    policy: Policy,
    jobs: BTreeMap<JobId, Job>,
    queue: queue::Queue,
    nodes: BTreeMap<NodeName, Node>,
    /// Those of them that take jobs now.
    open: open::Open,
    /// Finished jobs of which files are being removed.
    removing: BTreeMap<JobId, JobStatus>,
    /// Runs outside the scheduler, and when each was heard last.
    outside: BTreeMap<JobId, Mono>,
    /// Jobs that left lately, so that a late repetition of a submission is known as one.
    recent: jobs::Recent,
    next_position: Position,
    last_tick: Mono,
    /// Until then a node that has not come back yet counts as there.
    settling_until: Mono,
    /// A planned stop is under way: leases last this long from now on.
    stopping: Option<Millis>,
    /// Somebody removed a node since the queue was last looked at: what no other could ever run is ended.
    node_removed: bool,
    /// Nodes on which something was given back in this step; counted once, before anything is placed.
    uncounted: BTreeSet<NodeName>,
    /// The store keeps a grant by which some node may still count.
    grant_stored: bool,
}

/// What a site decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub lease: Lease,
    /// A job ends after so many lost attempts.
    pub max_lost: u32,
    /// Between SIGTERM and SIGKILL.
    pub grace: Millis,
}

/// A node's right to go on running what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// Since the last heartbeat that was heard.
    Lasts(Millis),
    /// One machine: master and node live and die together.
    UntilReboot,
}

/// A node that was not heard for so long gets no new jobs.
pub const UNREACHABLE_AFTER: Millis = Millis::from_secs(15);
/// A tick later than this means that the master itself stood still: no lease may end because of it.
pub const LATE_TICK: Millis = Millis::from_secs(5);
/// So many start failures in a row, on different jobs, cordon a node.
pub const STRIKES: usize = 3;
/// A planned stop of the master may last so long.
pub const PLANNED_STOP: Millis = Millis::from_secs(3600);
/// Jobs that no node could run are ended in portions, so that no commit grows without bound.
const ENDED_PER_STEP: usize = 1000;

impl Default for Policy {
    fn default() -> Self {
        Self {
            lease: Lease::Lasts(Millis::from_secs(300)),
            max_lost: 3,
            grace: Millis::from_secs(10),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Job {
    spec: Arc<JobSpec>,
    status: JobStatus,
}

/// One connection of a node; numbered by the master, so that what an older one still says is known as old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Session(pub u64);

/// Everything that can happen to a cluster.
#[derive(Clone, Debug)]
pub enum Input {
    /// The caller has looked for the id among the finished jobs.
    Submit {
        id: JobId,
        spec: Arc<JobSpec>,
        /// Of every secret that the spec names.
        sealed: Sealed,
    },
    /// A run outside the scheduler; looked for like a submission.
    Begin {
        id: JobId,
        spec: Arc<JobSpec>,
    },
    /// It is still there.
    Heard {
        job: JobId,
    },
    /// How it ended, as it says itself.
    EndOutside {
        job: JobId,
        exit: Exit,
    },
    /// A job of another cluster, which ended there; the caller has looked for the id among the finished jobs. It is never live.
    Import {
        id: JobId,
        spec: Arc<JobSpec>,
        ended: Box<Ended>,
        run: Arc<Run>,
    },
    Stop {
        job: JobId,
        by: String,
    },
    /// Ends up to `limit` queued jobs.
    ClearQueue {
        by: String,
        limit: usize,
    },
    /// A finished job, as the store has it.
    Delete {
        job: JobId,
        status: Box<JobStatus>,
    },
    /// What a finished job wrote goes; all that is known of it stays. The status is as the store has it: nobody else asks to
    /// remove something of this job meanwhile.
    RemoveOutputs {
        job: JobId,
        status: Box<JobStatus>,
        by: Remover,
        bytes: Option<u64>,
    },
    /// These files of a job are gone.
    Trashed {
        job: JobId,
        what: Trash,
    },
    Join {
        spec: Box<NodeSpec>,
        session: Session,
        troubles: Troubles,
        held: Vec<Held>,
    },
    /// A node sends these after it has done what its list says, kills included, and when it counts its lease by this session's
    /// answers alone.
    Heartbeat {
        node: NodeName,
        session: Session,
    },
    Report {
        node: NodeName,
        session: Session,
        held: Held,
    },
    /// Everything that the node finds wrong with itself now.
    Troubles {
        node: NodeName,
        session: Session,
        troubles: Troubles,
    },
    /// The node's connection is gone.
    Leave {
        node: NodeName,
        session: Session,
    },
    RemoveNode {
        node: NodeName,
    },
    /// At least every [`LATE_TICK`]; once a second is a good rhythm.
    Tick,
    /// The master is about to stop on purpose.
    PlannedStop,
}

/// What a node holds of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub job: JobId,
    pub attempt: Attempt,
    pub report: Report,
}

/// `records` must be durable before any of `effects` is performed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Step {
    pub records: Vec<Record>,
    pub effects: Vec<Effect>,
}

/// What must happen outside. Each is idempotent: after a restore it may happen again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Everything that the node should hold; the first thing it hears in a session.
    Assignments {
        node: NodeName,
        session: Session,
        list: Vec<Assignment>,
    },
    Assign {
        node: NodeName,
        assignment: Assignment,
    },
    Stop {
        node: NodeName,
        job: JobId,
        attempt: Attempt,
        grace: Millis,
    },
    /// The node may forget this attempt and remove what it holds of it.
    Release {
        node: NodeName,
        job: JobId,
        attempt: Attempt,
    },
    /// The node's lease lasts this long from its last heartbeat that was answered.
    Grant {
        node: NodeName,
        span: Millis,
    },
    Trash {
        job: JobId,
        what: Trash,
    },
}

/// An input that was refused; nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("there is no job {0}")]
    UnknownJob(JobId),
    #[error("job {0} was submitted before with another content; submit with a new id")]
    SpecDiffers(JobId),
    #[error(
        "no node could ever run this job: it needs {needs}; {lack}. Add such a node, or submit with wait_for_capacity"
    )]
    FitsNoNode { needs: String, lack: String },
    #[error("job {job} is {} and cannot be stopped", status.word())]
    AlreadyEnded { job: JobId, status: Status },
    #[error("job {job} is {phase} and cannot be deleted")]
    NotFinished { job: JobId, phase: &'static str },
    #[error("job {job} is {phase}: what it wrote can be removed once it is done")]
    StillWrites { job: JobId, phase: &'static str },
    #[error("another job has the id {0} here, or had it and is being deleted")]
    IdTaken(JobId),
    #[error("there is no node {0}")]
    UnknownNode(NodeName),
    #[error(
        "another machine of the name {0} was here just now or still has jobs; start this one with a --name of its own"
    )]
    NameTaken(NodeName),
    #[error(
        "node {node} was heard from {address} and may be there still: if this machine's --data folder is a copy of that node's, \
         give it one of its own; if it is the node itself at a new address, it is let in soon"
    )]
    NodeElsewhere { node: NodeName, address: String },
    #[error("node {0} is connected; stop its agent first")]
    NodeConnected(NodeName),
    #[error("node {node} may still run {jobs} job(s) until its lease ends; stop them or wait")]
    NodeHoldsJobs { node: NodeName, jobs: usize },
    #[error("this connection of node {0} was replaced by a newer one")]
    OldSession(NodeName),
}

impl Cluster {
    /// A cluster without jobs or nodes.
    pub fn new(policy: Policy, now: Now) -> Self {
        Self {
            policy,
            jobs: BTreeMap::new(),
            queue: queue::Queue::default(),
            nodes: BTreeMap::new(),
            open: open::Open::default(),
            removing: BTreeMap::new(),
            outside: BTreeMap::new(),
            recent: jobs::Recent::default(),
            next_position: Position(1),
            last_tick: now.mono,
            settling_until: now.mono,
            stopping: None,
            node_removed: false,
            uncounted: BTreeSet::new(),
            grant_stored: false,
        }
    }

    /// The one door. What was refused has changed nothing.
    pub fn handle(&mut self, now: Now, input: Input) -> Result<Step, Rejection> {
        let mut step = Step::default();
        match input {
            Input::Submit { id, spec, sealed } => self.submit(now, id, spec, sealed, &mut step)?,
            Input::Begin { id, spec } => self.begin(now, id, spec, &mut step)?,
            Input::Heard { job } => self.heard(now, job)?,
            Input::EndOutside { job, exit } => self.end_outside(job, &exit, &mut step)?,
            Input::Import { id, spec, ended, run } => {
                self.import(now, id, spec, *ended, run, &mut step)?;
            }
            Input::Stop { job, by } => self.stop(now, job, by, &mut step)?,
            Input::ClearQueue { by, limit } => self.clear_queue(now, &by, limit, &mut step),
            Input::Delete { job, status } => self.delete(job, *status, &mut step)?,
            Input::RemoveOutputs { job, status, by, bytes } => {
                self.remove_outputs(job, *status, Removal { by, at: now.wall, bytes }, &mut step)?;
            }
            Input::Trashed { job, what } => self.trashed(job, what, &mut step),
            Input::Join { spec, session, troubles, held } => {
                self.join(now, *spec, session, troubles, held, &mut step)?;
            }
            // Makes no record, so that it may pass while a commit is out.
            Input::Heartbeat { node, session } => {
                return self.heartbeat(now, &node, session).map(|()| step);
            }
            Input::Report { node, session, held } => {
                self.connected(&node, session)?;
                self.report(now, &node, held, &mut step);
            }
            Input::Troubles { node, session, troubles } => {
                self.troubled(&node, session, troubles)?;
            }
            Input::Leave { node, session } => self.leave(&node, session),
            Input::RemoveNode { node } => self.remove_node(now, &node, &mut step)?,
            Input::Tick => self.tick(now, &mut step),
            Input::PlannedStop => self.planned_stop(now, &mut step),
        }
        self.count_anew();
        self.place(now, &mut step);
        Ok(step)
    }

    /// A live job. One that has ended is in the store alone.
    pub fn job(&self, id: JobId) -> Option<(&Arc<JobSpec>, &JobStatus)> {
        self.jobs.get(&id).map(|job| (&job.spec, &job.status))
    }

    pub fn live_jobs(&self) -> usize {
        self.jobs.len()
    }

    /// Queued jobs, the ones that are set aside included.
    pub fn queued_jobs(&self) -> usize {
        self.queue.len()
    }

    /// The job leaves with its last record.
    fn forget(&mut self, id: JobId) {
        self.jobs.remove(&id);
        self.recent.push(id, jobs::Left::Ended);
    }
}

impl Archive {
    fn incomplete(reason: impl Into<String>) -> Self {
        Self::Incomplete { reason: reason.into() }
    }
}
