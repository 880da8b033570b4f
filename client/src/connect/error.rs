//! Why the master did not do it.

use std::error::Error as _;
use std::time::Duration;

use atlas_proto::{FIELD, WANTED_SECRETS};
use tonic::{Code, Status};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{url:?} is no address of a master")]
    Address { url: String, source: tonic::transport::Error },
    #[error(
        "no Atlas master answers at {url} ({why}): start one on this machine with `atlas up`, or name another with --config \
         (`atlas info --env` lists them)"
    )]
    Unreachable { url: String, why: String },
    #[error("the master at {url} did not answer within {} s", waited.as_secs())]
    Silent { url: String, waited: Duration },
    #[error(
        "the master at {url} is of version {theirs}, which does not understand this atlas ({}): install the same one",
        env!("CARGO_PKG_VERSION")
    )]
    Version { url: String, theirs: String },
    #[error("could not read the {what} that the master sent")]
    Unreadable { what: &'static str, source: serde_json::Error },
    #[error("could not read the packed bundle")]
    Bundle { source: std::io::Error },
    /// There is no such job, node or file.
    #[error("{message}")]
    NoSuch { message: String },
    /// A submission whose job.config.yaml names secrets that were not sent.
    #[error("{message}")]
    SecretsWanted { names: Vec<String>, message: String },
    /// The master understood and does not do it.
    #[error("{message}")]
    Refused { code: Code, message: String, field: Option<String> },
    /// The master could not do it, perhaps only now.
    #[error("the master at {url} could not do it: {message}")]
    Unavailable { url: String, message: String },
}

impl Error {
    pub(super) fn of(url: &str, status: &Status) -> Self {
        let url = url.to_owned();
        // A status that the connection made, not the master.
        if let Some(source) = status.source() {
            return Self::Unreachable { url, why: root(source) };
        }
        let message = status.message().to_owned();
        match status.code() {
            Code::NotFound => Self::NoSuch { message },
            Code::Unavailable | Code::DeadlineExceeded | Code::Aborted | Code::Cancelled => {
                Self::Unavailable { url, message }
            }
            Code::InvalidArgument if status.metadata().contains_key(WANTED_SECRETS) => {
                let names = status.metadata().get(WANTED_SECRETS).and_then(|it| it.to_str().ok());
                let names = names.unwrap_or_default().split(',').map(str::to_owned).collect();
                Self::SecretsWanted { names, message }
            }
            code if message.is_empty() => {
                Self::Refused { code, message: code.description().into(), field: None }
            }
            code => {
                let field = status.metadata().get(FIELD).and_then(|it| it.to_str().ok());
                Self::Refused { code, message, field: field.map(str::to_owned) }
            }
        }
    }

    /// With the field that the message is about as an option, where it is one: `options` are pairs of both.
    #[must_use]
    pub fn in_options(self, options: &[(&str, &str)]) -> Self {
        let Self::Refused { code, message, field: Some(field) } = self else { return self };
        let option = options.iter().find(|(name, _)| *name == field);
        let message = option.map_or(message.clone(), |(_, it)| message.replacen(&field, it, 1));
        Self::Refused { code, message, field: Some(field) }
    }

    /// Whether there is no such thing, or it is in no state for that: something else should have been named.
    pub const fn is_about_what_was_named(&self) -> bool {
        matches!(self, Self::NoSuch { .. } | Self::Refused { code: Code::FailedPrecondition, .. })
    }

    /// Whether the same request may have another answer in a moment.
    pub const fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Unavailable { .. } => true,
            Self::Address { .. }
            | Self::Version { .. }
            | Self::Bundle { .. }
            | Self::Unreadable { .. }
            | Self::NoSuch { .. }
            | Self::SecretsWanted { .. }
            | Self::Refused { .. } => false,
        }
    }
}

/// The first of a chain of causes; those above it say no more than that a connection failed.
fn root(mut error: &(dyn std::error::Error + 'static)) -> String {
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
