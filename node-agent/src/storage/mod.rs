//! Where what is kept of jobs goes: to the shared storage, or through the master, who does there what this node would do. Who keeps
//! something does not know which.

mod folder;
mod give_back;
mod log;
mod progress;
mod remote;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use atlas_runtime::storage::Owner;
use tokio_util::sync::CancellationToken;

use crate::paths::{AttemptId, Shared};

pub use folder::Destination;
use folder::Folder;
pub use give_back::{GiveBack, Whose};
pub use log::{Log, LogFile};
pub use progress::Progress;
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
    /// A mount point with nothing mounted is an empty folder, and nothing is written there.
    #[error("the shared storage is not there: it has no {}", path.display())]
    NotThere { path: PathBuf },
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

    /// Makes the folder of a job, when an attempt starts and when the master wants its archive, and at no other time: a job whose
    /// folder is gone was deleted, and nothing of it is written any more. Blocks.
    pub fn begin(&self, id: AttemptId, cancel: &CancellationToken) -> Result<(), Error> {
        match self {
            Self::Mounted(shared) => begin_mounted(&shared.job(id.job), &shared.jobs()),
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
        progress: &Progress,
    ) -> Option<Destination> {
        let Self::Master(remote) = self else { return None };
        let (remote, folder) = (remote.clone(), Folder::Checkpoints(owner));
        Some(Destination::master(remote, id, folder, cancel.clone(), progress.clone()))
    }

    pub fn outputs(&self, id: AttemptId, cancel: &CancellationToken) -> Destination {
        match self {
            Self::Mounted(shared) => Destination::mounted(shared.outputs(id.job), shared.jobs()),
            Self::Master(remote) => through(remote, id, Folder::Outputs, cancel),
        }
    }

    /// What the job saves while it runs.
    pub fn artifacts(&self, id: AttemptId, cancel: &CancellationToken) -> Destination {
        match self {
            Self::Mounted(shared) => Destination::mounted(shared.artifacts(id.job), shared.jobs()),
            Self::Master(remote) => through(remote, id, Folder::Artifacts, cancel),
        }
    }
}

fn through(
    remote: &Remote,
    id: AttemptId,
    folder: Folder,
    cancel: &CancellationToken,
) -> Destination {
    Destination::master(remote.clone(), id, folder, cancel.clone(), Progress::default())
}

/// The master makes the folder of all jobs; those below it are made here.
fn begin_mounted(job: &Path, jobs: &Path) -> Result<(), Error> {
    let made = match fs::create_dir(job) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let shard = job.parent().unwrap_or(jobs);
            let made = is_there(fs::create_dir(shard)).and_then(|()| fs::create_dir(job));
            if made.is_err() && !jobs.exists() {
                return Err(Error::NotThere { path: jobs.to_owned() });
            }
            made
        }
        made => made,
    };
    is_there(made).map_err(|source| Error::Write { path: job.to_owned(), source })
}

fn is_there(made: io::Result<()>) -> io::Result<()> {
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_gets_its_folder_on_the_share_and_none_where_a_share_should_be() {
        let share = tempfile::tempdir().unwrap();
        let (jobs, job) = (share.path().join("jobs"), share.path().join("jobs/45/45540b52"));
        assert!(
            matches!(begin_mounted(&job, &jobs), Err(Error::NotThere { path }) if path == jobs)
        );
        assert_eq!(fs::read_dir(share.path()).unwrap().count(), 0);
        fs::create_dir(&jobs).unwrap();
        begin_mounted(&job, &jobs).unwrap();
        begin_mounted(&job, &jobs).unwrap();
        assert!(job.is_dir());
    }
}
