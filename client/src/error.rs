//! Why a command could not do its work, and the code it then ends with.

use std::io;

use crate::exit::Exit;
use crate::{bundle, config, connect, fetch, spool, transfer, up};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line, or something of this machine that it names, is wrong.
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    #[error(transparent)]
    Master(#[from] connect::Error),
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    #[error(transparent)]
    Transfer(#[from] transfer::Error),
    #[error(transparent)]
    Up(#[from] up::Error),
    #[error(transparent)]
    Spool(#[from] spool::Error),
    #[error("could not write to stdout")]
    Output(#[source] io::Error),
    #[error("could not {what}")]
    Io { what: String, source: io::Error },
}

impl Error {
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// `could not {what}`
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// What a command ends with that is not about one job's outcome.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Config(_) | Self::Bundle(_) => Exit::USAGE,
            Self::Master(error) if error.is_about_what_was_named() => Exit::NO_SUCH,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::BROKEN_PIPE,
            Self::Spool(error) if error.is_about_what_was_named() => Exit::NO_SUCH,
            Self::Up(error) => error.exit(),
            Self::Master(_)
            | Self::Fetch(_)
            | Self::Transfer(_)
            | Self::Spool(_)
            | Self::Output(_)
            | Self::Io { .. } => Exit::UNABLE,
        }
    }

    /// The same for `submit` and `wait`, where 1 would be a job's own code.
    pub fn exit_of_job_command(&self) -> Exit {
        match self.exit() {
            Exit::NO_SUCH => Exit::UNABLE,
            other => other,
        }
    }
}
