//! What is known of a job while it moves. A state carries exactly the data it has; a move is a method on the state before.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{Attempt, ClusterId, GpuId, NodeName, Position};
use crate::outcome::Outcome;
use crate::spec::Sealed;
use crate::time::Timestamp;

/// The durable part of a job that changes. Written whole with every change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatus {
    pub submitted: Timestamp,
    pub position: Position,
    /// Of the last placement.
    pub attempt: Attempt,
    /// Attempts that ended without the job's doing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost: u32,
    /// The digest of the image that the last attempt was started in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Of every secret that the spec names, until the job ends.
    #[serde(default, skip_serializing_if = "Sealed::is_empty")]
    pub sealed: Sealed,
    /// Who had the attempts that were given up, the last [`PAST`] of them: what they still have to say of them is theirs.
    /// While the job waits, the last one may still say how it ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<Past>,
    /// It ran and ended in another cluster. No node of this one ever had it, whatever the names of those that had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Box<Imported>>,
    pub state: JobState,
}

/// How a job of another cluster came here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Where it ran.
    pub from: ClusterId,
    pub at: Timestamp,
    pub by: String,
}

/// Attempts whose nodes are remembered; a job has few, but for one that is tried on every node of a large cluster.
pub const PAST: usize = 16;

/// An attempt that was given up, and its node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    pub attempt: Attempt,
    pub node: NodeName,
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// The way of a job: queued → placed → running → (stopping) → archiving → done → (deleting). Of a run outside the scheduler:
/// outside → done → (deleting).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum JobState {
    Queued {
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        excluded: Vec<Exclusion>,
    },
    Placed {
        placement: Placement,
        /// Kept, so that a node that failed once is not tried again.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        excluded: Vec<Exclusion>,
    },
    Running {
        placement: Placement,
        started: Timestamp,
    },
    /// It runs outside the scheduler, on a machine of its user's, and says itself how it ends.
    Outside {
        started: Timestamp,
        /// Who has asked it to stop.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stop: Option<String>,
    },
    Stopping {
        placement: Placement,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        started: Option<Timestamp>,
        by: String,
    },
    /// The outcome is final, slot and GPUs are free; what is kept of the job is on its way to the archive.
    Archiving {
        placement: Placement,
        end: End,
    },
    Done {
        end: End,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<NodeName>,
        archive: Archive,
        #[serde(default, skip_serializing_if = "Written::are_kept")]
        written: Written,
    },
    /// Being removed; the files go first, then this record.
    Deleting {
        end: End,
    },
}

/// A node with GPUs of its own for one attempt of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    pub node: NodeName,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<GpuId>,
    pub attempt: Attempt,
}

/// A node that could not start this job, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exclusion {
    pub node: NodeName,
    pub reason: String,
}

/// The end of a job's main process. Written once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    #[serde(flatten)]
    pub outcome: Outcome,
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// Bytes of log up to the end.
    #[serde(default)]
    pub log_length: u64,
    /// Bytes of tracker events up to the end.
    #[serde(default)]
    pub spool_length: u64,
}

/// How complete the archive of a finished job is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "archive", rename_all = "kebab-case")]
pub enum Archive {
    /// The job never started: there is its bundle and nothing else.
    BundleOnly,
    Complete,
    /// Something stayed behind: what, why.
    Incomplete {
        reason: String,
    },
}

/// What a job wrote, once it has ended. Its log, its series and what it was submitted with are no part of it: they stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "written", rename_all = "kebab-case")]
pub enum Written {
    #[default]
    Kept,
    /// Decided: the files go next, then it says so.
    Removing(Removal),
    Removed(Removal),
}

/// Who removed what a job wrote, and when it was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    pub by: Remover,
    pub at: Timestamp,
    /// That were there then; `None` = nobody waited for them to be counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remover {
    User(String),
    /// The rule of the job's project, as it was.
    Retention(String),
}

/// The four words that users see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    Queued,
    Running,
    Completed,
    Failed,
}

/// Beside the status: what is being done about the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    Queued,
    Starting,
    Running,
    Stopping,
    Archiving,
    Done,
}

impl JobStatus {
    /// Nothing of the job will run any more: its secrets go.
    pub fn end(&mut self, state: JobState) {
        self.sealed = Sealed::default();
        self.state = state;
    }

    /// Remembers who had the attempt that is given up now.
    pub(crate) fn give_up(&mut self, placement: &Placement) {
        if self.past.len() == PAST {
            self.past.remove(0);
        }
        let Placement { node, attempt, .. } = placement;
        self.past.push(Past { attempt: *attempt, node: node.clone() });
    }

    /// Whether this node has this attempt or had it.
    pub fn had(&self, attempt: Attempt, node: &NodeName) -> bool {
        if self.imported.is_some() {
            return false;
        }
        let now = self.state.placement().map(|it| (it.attempt, &it.node));
        let done = match &self.state {
            JobState::Done { node, .. } => node.as_ref().map(|it| (self.attempt, it)),
            _ => None,
        };
        let past = self.past.iter().map(|it| (it.attempt, &it.node));
        past.chain(now).chain(done).any(|it| it == (attempt, node))
    }

    /// Whether something is still to be done about it, so that a new leader must know of it.
    pub fn is_live(&self) -> bool {
        !matches!(self.state, JobState::Done { written: Written::Kept | Written::Removed(_), .. })
    }

    pub fn status(&self) -> Status {
        match &self.state {
            JobState::Queued { .. }
            | JobState::Placed { .. }
            | JobState::Stopping { started: None, .. } => Status::Queued,
            JobState::Running { .. } | JobState::Outside { .. } | JobState::Stopping { .. } => {
                Status::Running
            }
            JobState::Archiving { end, .. }
            | JobState::Done { end, .. }
            | JobState::Deleting { end } => match end.outcome {
                Outcome::Completed => Status::Completed,
                Outcome::Failed { .. } => Status::Failed,
            },
        }
    }

    pub fn phase(&self) -> Phase {
        match &self.state {
            JobState::Queued { .. } => Phase::Queued,
            JobState::Placed { .. } => Phase::Starting,
            JobState::Running { .. } | JobState::Outside { stop: None, .. } => Phase::Running,
            JobState::Outside { stop: Some(_), .. } | JobState::Stopping { .. } => Phase::Stopping,
            JobState::Archiving { .. } => Phase::Archiving,
            JobState::Done { .. } | JobState::Deleting { .. } => Phase::Done,
        }
    }
}

impl JobState {
    /// The end of all that is done for a job, unless somebody asks to remove something of it.
    pub fn done(end: End, node: Option<NodeName>, archive: Archive) -> Self {
        Self::Done { end, node, archive, written: Written::Kept }
    }

    /// Where the job is or was last on a node that still holds something of it.
    pub fn placement(&self) -> Option<&Placement> {
        match self {
            Self::Placed { placement, .. }
            | Self::Running { placement, .. }
            | Self::Stopping { placement, .. }
            | Self::Archiving { placement, .. } => Some(placement),
            Self::Queued { .. }
            | Self::Outside { .. }
            | Self::Done { .. }
            | Self::Deleting { .. } => None,
        }
    }

    /// Whether slot, GPUs, CPU and memory are taken by this job.
    pub fn holds_resources(&self) -> bool {
        matches!(self, Self::Placed { .. } | Self::Running { .. } | Self::Stopping { .. })
    }

    pub fn end(&self) -> Option<&End> {
        match self {
            Self::Archiving { end, .. } | Self::Done { end, .. } | Self::Deleting { end } => {
                Some(end)
            }
            Self::Queued { .. }
            | Self::Placed { .. }
            | Self::Running { .. }
            | Self::Outside { .. }
            | Self::Stopping { .. } => None,
        }
    }

    /// Who removed what it wrote, as soon as that is decided.
    pub fn removal(&self) -> Option<&Removal> {
        match self {
            Self::Done { written: Written::Removing(it) | Written::Removed(it), .. } => Some(it),
            _ => None,
        }
    }

    pub fn started(&self) -> Option<Timestamp> {
        match self {
            Self::Running { started, .. } | Self::Outside { started, .. } => Some(*started),
            Self::Stopping { started, .. } => *started,
            Self::Archiving { end, .. } | Self::Done { end, .. } | Self::Deleting { end } => {
                end.started
            }
            Self::Queued { .. } | Self::Placed { .. } => None,
        }
    }

    pub fn excluded(&self) -> &[Exclusion] {
        match self {
            Self::Queued { excluded, .. } | Self::Placed { excluded, .. } => excluded,
            _ => &[],
        }
    }
}

impl Written {
    pub fn are_kept(&self) -> bool {
        matches!(self, Self::Kept)
    }
}

impl fmt::Display for Remover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => f.write_str(name),
            Self::Retention(rule) => write!(f, "the retention of its project ({rule})"),
        }
    }
}

impl Status {
    pub const ALL: [Self; 4] = [Self::Queued, Self::Running, Self::Completed, Self::Failed];

    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

impl Phase {
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Starting, Self::Running, Self::Stopping, Self::Archiving, Self::Done];

    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Archiving => "archiving",
            Self::Done => "done",
        }
    }
}
