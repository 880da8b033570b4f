//! Why a job did not start, and what that means for it: another node is tried, or it ends.

use std::io;
use std::path::PathBuf;

use atlas_core::agent::{Exit, ExitKind, Report};
use atlas_core::{Cause, JobId, Timestamp};
use atlas_runtime::Chain;
use atlas_runtime::clock::Wall;

use super::{bundle, rule, volumes};
use crate::{driver, executor, logs, storage, supervisor, unpack, venv};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Nothing(#[from] rule::Nothing),
    #[error(
        "no python on this node: install one, name one by worker.python, or give a command that needs none"
    )]
    NoPython,
    #[error(transparent)]
    Volume(#[from] volumes::Error),
    #[error(transparent)]
    Fetch(#[from] bundle::Error),
    #[error("could not open the bundle {}", path.display())]
    Bundle { path: PathBuf, source: io::Error },
    #[error("could not unpack the bundle")]
    Unpack(#[source] unpack::Error),
    #[error("could not read requirements.txt")]
    Requirements { source: io::Error },
    #[error(transparent)]
    Venv(#[from] venv::Error),
    #[error("could not make {} on the node's disk", path.display())]
    Disk { path: PathBuf, source: io::Error },
    #[error("could not get at what is kept of the job")]
    Storage(#[source] storage::Error),
    #[error(transparent)]
    Kept(#[from] driver::KeptError),
    #[error(transparent)]
    Log(#[from] logs::PreludeError),
    #[error("could not prepare the supervisor")]
    Supervisor(#[from] supervisor::Error),
    #[error(transparent)]
    Executor(#[from] executor::Error),
    #[error(
        "the master could not open the job's secret {name}: its key is another than when the job was submitted; submit the job again"
    )]
    Secret { name: String },
    #[error("job {of}, from whose checkpoints this one was to go on, has none any more")]
    ResumedGone { of: JobId },
    #[error("stopped before it started")]
    Cancelled,
}

impl Error {
    /// What the master is told. `log_length`: what was written to the job's log so far.
    pub fn report(&self, log_length: u64) -> Report {
        let message = Chain(self).to_string();
        let (cause, strike) = match self {
            Self::Nothing(_) => (Cause::Rejected, false),
            Self::Volume(volumes::Error::Look { source, .. }) => {
                (Cause::Rejected, is_of_the_node(source))
            }
            // Every job of the node would meet it.
            Self::Volume(volumes::Error::Default(_)) => (Cause::Internal, true),
            Self::Volume(_) => (Cause::Rejected, false),
            Self::Fetch(_) | Self::Bundle { .. } => (Cause::Bundle, true),
            Self::Unpack(error) => (Cause::Bundle, !error.is_of_the_bundle()),
            Self::Requirements { .. } => (Cause::Requirements, false),
            // What pip said is in the log, and the log must be kept.
            Self::Venv(venv::Error::Failed(_)) => {
                return exited(Cause::Requirements, message, log_length);
            }
            // No other node would hear another value.
            Self::ResumedGone { .. } => return exited(Cause::Rejected, message, log_length),
            Self::Secret { .. } => return exited(Cause::Internal, message, log_length),
            Self::Venv(venv::Error::NoPython) => (Cause::Requirements, false),
            Self::Venv(venv::Error::Unpack(error)) => (Cause::Bundle, !error.is_of_the_bundle()),
            Self::Executor(error) | Self::Venv(venv::Error::Executor(error)) => {
                let executor::Verdict { cause, strike } = error.verdict();
                (cause, strike)
            }
            Self::Venv(
                venv::Error::Disk { .. } | venv::Error::Supervisor(_) | venv::Error::Log(_),
            ) => (Cause::Internal, true),
            Self::Venv(venv::Error::Cancelled) => (Cause::Internal, false),
            Self::Cancelled => (Cause::Internal, false),
            // Of this job, or of an attempt that is not this node's any more.
            Self::Storage(error) if error.is_final() => (Cause::Internal, false),
            Self::NoPython
            | Self::Disk { .. }
            | Self::Storage(_)
            | Self::Kept(_)
            | Self::Log(_)
            | Self::Supervisor(_) => (Cause::Internal, true),
        };
        Report::NotStarted { cause, message, strike }
    }
}

/// The job ends here: what its log says must be kept.
fn exited(cause: Cause, detail: String, log_length: u64) -> Report {
    Report::Exited(Exit {
        kind: ExitKind::Failed(cause),
        stopped: false,
        at: Timestamp(Wall::now()),
        started: None,
        log_length,
        spool_length: 0,
        detail,
    })
}

/// A path that may not be entered, or is no folder, is the job's mistake; a disk that does not answer is the node's.
fn is_of_the_node(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory)
}
