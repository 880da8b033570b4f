//! Why a request was not done; one table per protocol turns it into a status.

use std::path::PathBuf;

use atlas_core::cluster::Rejection;
use atlas_core::project::Refused;
use atlas_core::run::Unlabelled;
use atlas_core::{Attempt, JobId, NodeName, Timestamp};

use atlas_runtime::Chain;

use crate::{bundles, projects, proxy, reactor, runs, store, tracker};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{field}: {why}")]
    Invalid { field: String, why: String },
    #[error("there is no job {0}")]
    NoJob(String),
    #[error(
        "there is no job {text:?}: it is neither a job's id nor {fewest} or more of its first digits"
    )]
    NotAnId { text: String, fewest: usize },
    #[error("{prefix} is the beginning of several jobs: {}; give more digits", list(jobs))]
    Ambiguous { prefix: String, jobs: Vec<JobId> },
    #[error("project {project} has no note {number}")]
    NoNote { project: String, number: u64 },
    #[error("there is no project {0:?}: no job is in it")]
    NoProject(String),
    #[error("job {0} is queued and has not produced any logs")]
    NoLogYet(JobId),
    #[error("job {job} has logged no metric {key:?}{}", of_rank(*rank))]
    NoSuchMetric { job: JobId, key: String, rank: Option<u32> },
    #[error("there is nothing at {path:?} in job {job}")]
    NoSuchPath { job: JobId, path: String },
    #[error(
        "what job {job} wrote was removed on {} by {by}; its log, parameters, metrics and source are kept",
        super::outputs::date(*at)
    )]
    Removed { job: JobId, by: String, at: Timestamp },
    #[error("{path:?} in job {job} is a {what}, and only files are read one by one")]
    NotAFile { job: JobId, path: String, what: &'static str },
    #[error("job {0} was submitted with another content; submit with a new id")]
    SpecDiffers(JobId),
    #[error("job {job} is here already with another {field}: it is not the one that is imported")]
    ImportDiffers { job: JobId, field: &'static str },
    #[error(
        "worker.secrets: no value came for {}; whoever submits sends it, from its own environment",
        .0.join(", ")
    )]
    SecretsWanted(Vec<String>),
    #[error("bundle {0} is not there; upload it first")]
    NoBundle(atlas_core::BundleId),
    #[error(
        "job {0} is no run outside the scheduler that goes on: only such a one tells of itself this way"
    )]
    NotOutside(JobId),
    #[error("job {0} does not run: only a job that does keeps files this way")]
    NotRunning(JobId),
    #[error("the bundle of job {0} is gone from the shared storage: submit its folder again")]
    BundleGone(JobId),
    #[error("attempt {attempt} of job {job} is not for node {node} to speak of now")]
    NotHeld { node: NodeName, job: JobId, attempt: Attempt },
    #[error(
        "the checkpoint folder of job {job} holds more than {most} files and folders, or some too deep within each other: a node without the shared storage cannot be given them; let the job remove some"
    )]
    TooManyCheckpoints { job: JobId, most: usize },
    #[error(
        "the master may not read {}, which an earlier attempt left: its owner can change that, or a node with the shared storage goes on with the job",
        path.display()
    )]
    UnreadableCheckpoint { path: PathBuf, source: std::io::Error },
    #[error("node {0}, which held it, was removed")]
    NodeGone(NodeName),
    #[error(transparent)]
    Unauthenticated(#[from] super::Unauthenticated),
    #[error(
        "this master is not known as {0:?}: ask it by its address, or start it with --allowed-hosts {0} (`allowed_hosts`, ATLAS_ALLOWED_HOSTS) if that is a name of its own"
    )]
    OtherHost(String),
    #[error(
        "a page of {0} may change nothing here; start the master with --allowed-hosts and that name (`allowed_hosts`, ATLAS_ALLOWED_HOSTS) if it may"
    )]
    OtherOrigin(String),
    #[error(transparent)]
    Denied(#[from] atlas_core::access::Denied),
    #[error(transparent)]
    Rejected(Rejection),
    /// Nothing can be changed now. Whoever asked hears it at once, and not after retries.
    #[error("{0}")]
    StoreAway(String),
    #[error("{0}")]
    Unavailable(String),
    #[error(transparent)]
    Bundle(#[from] bundles::Error),
    #[error(transparent)]
    Proxy(#[from] proxy::Error),
    #[error("could not read the job's state")]
    Store(#[from] store::Error),
    #[error("could not {what}")]
    Io { what: String, source: std::io::Error },
}

impl Error {
    pub fn invalid(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), why: why.into() }
    }

    /// A look-up for something that was to be changed.
    pub fn unchanged(error: store::Error) -> Self {
        if error.is_away() {
            let why = Chain(&error);
            Self::StoreAway(format!(
                "the master's store is away ({why}); nothing was changed, try again later"
            ))
        } else {
            Self::Store(error)
        }
    }

    /// That a checkpoint cannot be read does not pass, as other troubles of the storage do.
    pub fn of_checkpoint(self, path: PathBuf) -> Self {
        match self {
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Self::UnreadableCheckpoint { path, source }
            }
            other => other,
        }
    }

    /// `field` is the part of the request that the change was in.
    pub fn of_project(error: projects::Error, project: &str, field: &str) -> Self {
        match error {
            projects::Error::Store(error) => Self::unchanged(error),
            projects::Error::Reactor(error) => error.into(),
            projects::Error::Refused(Refused::NoNote(number)) => {
                Self::NoNote { project: project.into(), number }
            }
            projects::Error::Refused(why) => Self::invalid(field, why.to_string()),
        }
    }

    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

impl From<tracker::Error> for Error {
    fn from(error: tracker::Error) -> Self {
        match error {
            tracker::Error::Store(error) => Self::Store(error),
            tracker::Error::Label(Unlabelled { field, why }) => Self::invalid(field, why),
            tracker::Error::Reactor(error) => error.into(),
            tracker::Error::Write { .. }
            | tracker::Error::Compact { .. }
            | tracker::Error::Stopping => Self::Unavailable(Chain(&error).to_string()),
        }
    }
}

impl From<reactor::Error> for Error {
    fn from(error: reactor::Error) -> Self {
        match error {
            reactor::Error::Rejected(rejection) => Self::Rejected(rejection),
            reactor::Error::StoreRefuses(_) | reactor::Error::Unsettled(_) => {
                Self::StoreAway(error.to_string())
            }
            reactor::Error::Stopping => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<runs::Error> for Error {
    fn from(error: runs::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

fn of_rank(rank: Option<u32>) -> String {
    rank.map_or_else(String::new, |it| format!(" from rank {it}"))
}

fn list(jobs: &[JobId]) -> String {
    jobs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn only_a_checkpoint_of_another_owner_stays_unreadable() {
        let of = |kind: ErrorKind| Error::io("open")(kind.into()).of_checkpoint("a".into());
        let denied = of(ErrorKind::PermissionDenied);
        assert!(matches!(denied, Error::UnreadableCheckpoint { .. }));
        assert_eq!(crate::grpc::status(&denied).code(), tonic::Code::PermissionDenied);
        assert!(matches!(of(ErrorKind::StaleNetworkFileHandle), Error::Io { .. }));
    }
}
