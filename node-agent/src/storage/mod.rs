//! Where what is kept of jobs goes: to the shared storage, or through the master, who does there what this node would do. Who keeps
//! something does not know which.

mod folder;
mod give_back;
mod item;
mod log;
mod remote;

use std::fs;
use std::io;
use std::path::PathBuf;

use atlas_runtime::storage::Owner;
use tokio_util::sync::CancellationToken;

use crate::paths::{AttemptId, Shared};

pub use folder::Destination;
use folder::Folder;
pub use give_back::GiveBack;
pub use log::{Log, LogFile};
pub use remote::Remote;

/// The way there.
#[derive(Clone)]
pub enum Storage {
    Mounted(Shared),
    Master(Remote),
}

/// Why something was not kept or given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Refused(String),
    #[error("the master refused it: {}", .0.message())]
    RefusedByMaster(Box<tonic::Status>),
    #[error("the master does not take or give it now: {}", .0.message())]
    Away(Box<tonic::Status>),
    #[error("the master has not answered for {0:?}")]
    Silent(std::time::Duration),
    #[error("the master said what does not belong there")]
    OutOfOrder,
    #[error("it was ended")]
    Cancelled,
}

impl Error {
    /// Another try would end the same.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::RefusedByMaster(_))
    }
}

impl Storage {
    /// The shared storage, where this node has it.
    pub fn mount(&self) -> Option<&Shared> {
        match self {
            Self::Mounted(shared) => Some(shared),
            Self::Master(_) => None,
        }
    }

    /// Makes the folder of a job, when an attempt starts and never later: a job whose folder is gone later was deleted, and nothing of
    /// it is written any more. Blocks.
    pub fn begin(&self, id: AttemptId, cancel: &CancellationToken) -> Result<(), Error> {
        match self {
            Self::Mounted(shared) => {
                let path = shared.job(id.job);
                fs::create_dir_all(&path).map_err(|source| Error::Write { path, source })
            }
            Self::Master(remote) => remote.begin_attempt(id, cancel),
        }
    }

    pub fn log(&self, id: AttemptId) -> Log {
        match self {
            Self::Mounted(shared) => Log::mounted(shared, id),
            Self::Master(remote) => Log::Master(remote.clone(), id),
        }
    }

    /// Where checkpoints go that are not there already.
    pub fn checkpoints(
        &self,
        id: AttemptId,
        owner: Owner,
        cancel: &CancellationToken,
    ) -> Option<Destination> {
        let Self::Master(remote) = self else { return None };
        let (remote, folder) = (remote.clone(), Folder::Checkpoints(owner));
        Some(Destination::master(remote, id, folder, cancel.clone()))
    }

    pub fn outputs(&self, id: AttemptId, cancel: &CancellationToken) -> Destination {
        match self {
            Self::Mounted(shared) => Destination::mounted(shared.outputs(id.job), shared.jobs()),
            Self::Master(remote) => {
                Destination::master(remote.clone(), id, Folder::Outputs, cancel.clone())
            }
        }
    }
}
