//! How jobs run here: under a slot's supervisor on the machine itself, or under a supervisor in a container. From the moment
//! a supervisor has a job, both are the same.

mod process;

use std::collections::BTreeMap;
use std::path::PathBuf;

use atlas_core::node::ExecutorKind;
use atlas_core::{Cause, JobSpec};
use tokio_util::sync::CancellationToken;

use crate::logs::Prelude;
use crate::node::Node;
use crate::paths::{AttemptId, JobDir};
use crate::slot::{self, Event, Slot};
use crate::start::{Files, Launch, Places};
use crate::supervisor::ExitFile;

pub use process::Process;

/// The executor of this node.
pub enum Executor {
    Process(Process),
}

/// What a job's environment is built on.
#[derive(Clone, Debug)]
pub struct Base {
    pub env: BTreeMap<String, String>,
    /// The image's own.
    pub entrypoint: Vec<String>,
    /// The interpreter for commands that want one.
    pub python: Option<String>,
}

/// A job that a supervisor has, and the connection to it.
pub struct Supervised {
    pub slot: Slot,
    /// The answer to the job, where it was an event already.
    first: Option<Event>,
    place: Place,
}

enum Place {
    Slot,
}

/// What can be said of a job whose supervisor is gone.
pub struct Fate {
    pub message: String,
    pub out_of_memory: bool,
}

/// Why a job could not be started or found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Supervisor(#[from] slot::Error),
    #[error("the supervisor refused the job: {0}")]
    Refused(String),
    #[error("the supervisor ended before it took the job")]
    Gone,
}

/// What a failed start means for the job.
pub enum Verdict {
    /// It ends with this cause.
    Ends(Cause),
    /// It is tried on another node; a strike is this node's fault whatever the job.
    Elsewhere { cause: Cause, strike: bool },
}

impl Error {
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Supervisor(_) | Self::Refused(_) | Self::Gone => {
                Verdict::Elsewhere { cause: Cause::Internal, strike: true }
            }
        }
    }
}

impl Executor {
    pub fn kind(&self) -> ExecutorKind {
        match self {
            Self::Process(_) => ExecutorKind::Process,
        }
    }

    /// What the job's environment is built on. Takes as long as pulling an image does.
    pub async fn base(
        &self,
        spec: &JobSpec,
        _log: &mut Prelude,
        _cancel: &CancellationToken,
    ) -> Result<Base, Error> {
        match self {
            Self::Process(process) => Ok(process.base(spec)),
        }
    }

    /// Paths as the job sees them.
    pub fn places(&self, dir: &JobDir, files: &Files) -> Places {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        match self {
            Self::Process(_) => Places {
                home: text(dir.home()),
                tmp: text(dir.tmp()),
                spool: text(dir.spool().join("events")),
                checkpoints: text(files.checkpoints.clone()),
            },
        }
    }

    /// The job's directory as it sees it.
    pub fn work(&self, dir: &JobDir) -> PathBuf {
        match self {
            Self::Process(_) => dir.work(),
        }
    }

    /// Hands a job whose `run.json` is written to a supervisor.
    pub async fn launch(&self, launch: Launch<'_>) -> Result<Supervised, Error> {
        match self {
            Self::Process(process) => process.launch(launch.dir).await,
        }
    }

    /// Finds the jobs that supervisors run already.
    pub async fn adopt(&self, dirs: &[(AttemptId, JobDir)]) -> BTreeMap<AttemptId, Supervised> {
        match self {
            Self::Process(process) => process.adopt(dirs).await,
        }
    }

    /// Whether a job that ended while no agent watched had run out of memory.
    pub async fn ran_out_of_memory(&self, _id: AttemptId, _exit: &ExitFile) -> bool {
        match self {
            Self::Process(_) => false,
        }
    }

    /// A job that was started has no supervisor: what may be left of it is ended.
    pub async fn abandoned(&self, _id: AttemptId, dir: &JobDir) -> Fate {
        match self {
            Self::Process(_) => process::abandoned(dir).await,
        }
    }

    /// Nothing of the attempt is needed any more.
    pub async fn forget(&self, _id: AttemptId) {
        match self {
            Self::Process(_) => {}
        }
    }
}

impl Supervised {
    /// What happens next to the job.
    pub async fn next(&mut self) -> Event {
        match self.first.take() {
            Some(event) => event,
            None => self.slot.next().await,
        }
    }

    /// The job has ended. Returns whether it ran out of memory.
    pub async fn release(self, node: &Node, _exit: &ExitFile) -> bool {
        match (self.place, &node.executor) {
            (Place::Slot, Executor::Process(process)) => {
                process.give_back(self.slot);
                false
            }
        }
    }
}
