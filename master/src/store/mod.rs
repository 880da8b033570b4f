//! The store port: what the master knows for good. One contract suite (`contract.rs`) runs on every implementation.
//!
//! A store keeps whole values: a record carries the new value of what changed, so a commit only ever puts and removes.

#[cfg(test)]
pub(crate) mod contract;
mod embedded;
mod mend;
mod moving;
mod redis;
mod value;

use std::sync::Arc;

use atlas_core::cluster::Snapshot;
use atlas_core::project::About;
use atlas_core::{
    BundleId, ClusterId, Epoch, JobId, JobSpec, JobStatus, Position, ProjectName, Record, Revision,
    Run,
};
use futures::future::BoxFuture;

pub use embedded::Embedded;
pub use mend::{Mend, mend};
pub use moving::{Counts, Facts, Movable, Standing, refuses_to_take_in};
pub use redis::{Access as RedisAccess, Redis};

/// State that survives the master. Reads see what was committed, and nothing else.
pub trait Store: Send + Sync + 'static {
    /// Whose it is; `None` = nobody led it yet.
    fn cluster(&self) -> BoxFuture<'_, Result<Option<ClusterId>, Error>>;

    /// Takes the lead: the epoch rises by one, and every older leader's commits are refused from then on.
    fn lead(&self) -> BoxFuture<'_, Result<Lead, Error>> {
        self.lead_above(Epoch(0))
    }

    /// The same, with an epoch above this one too: of the leaders of a newer copy of this store, which is lost.
    fn lead_above(&self, epoch: Epoch) -> BoxFuture<'_, Result<Lead, Error>>;

    /// Everything that is live, as of the last commit.
    fn restore(&self) -> BoxFuture<'_, Result<Snapshot, Error>>;

    /// All of these records or none; durable when it returns.
    fn commit<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<(), CommitError>>;

    /// Where the store stands: to find out what became of a commit whose answer was lost.
    fn mark(&self) -> BoxFuture<'_, Result<Mark, Error>>;

    fn job(&self, id: JobId) -> BoxFuture<'_, Result<Option<StoredJob>, Error>>;

    /// The jobs whose ids begin with these digits, at most `limit`.
    fn jobs_with_prefix<'a>(
        &'a self,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<JobId>, Error>>;

    /// Those of these ids that are there, in this order.
    fn jobs_of<'a>(&'a self, ids: &'a [JobId]) -> BoxFuture<'a, Result<Vec<StoredJob>, Error>>;

    /// All of them, newest first.
    fn jobs<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Vec<StoredJob>, Error>>;

    /// What a job told of itself; `None` = nothing yet, or there is no such job.
    fn run(&self, id: JobId) -> BoxFuture<'_, Result<Option<Arc<Run>>, Error>>;

    /// The same of the first of these jobs: of as many as have no more bytes than that together, and of one at least.
    fn runs_of<'a>(
        &'a self,
        ids: &'a [JobId],
        most: usize,
    ) -> BoxFuture<'a, Result<Vec<Option<Arc<Run>>>, Error>>;

    /// All runs, those of the newest jobs first.
    fn runs<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Vec<StoredRun>, Error>>;

    /// What people wrote of a project; `None` = nothing.
    fn project<'a>(
        &'a self,
        name: &'a ProjectName,
    ) -> BoxFuture<'a, Result<Option<Arc<About>>, Error>>;

    /// All projects of which anything is written, by name.
    fn projects(&self) -> BoxFuture<'_, Result<Vec<StoredProject>, Error>>;

    /// Whether any job still refers to this bundle.
    fn uses_bundle(&self, bundle: BundleId) -> BoxFuture<'_, Result<bool, Error>>;
}

/// What the leader begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lead {
    pub cluster: ClusterId,
    pub mark: Mark,
}

/// Who wrote last, and how often was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    pub epoch: Epoch,
    pub revision: Revision,
}

/// A group commit.
#[derive(Clone, Debug)]
pub struct Batch {
    pub epoch: Epoch,
    /// The revision that the store must have.
    pub after: Revision,
    /// The revision that this commit makes: the next one, or a later one when it mends a store that came back older.
    pub revision: Revision,
    pub records: Vec<Record>,
}

impl Batch {
    /// Of a leader whose last commit was this one.
    pub fn next(last: Mark, records: Vec<Record>) -> Self {
        let Mark { epoch, revision } = last;
        Self { epoch, after: revision, revision: revision.next(), records }
    }

    /// Where the store stands once this is kept.
    pub fn mark(&self) -> Mark {
        Mark { epoch: self.epoch, revision: self.revision }
    }

    /// What the next job gets at least, once this is kept.
    fn next_position(&self) -> Position {
        let queued = self.records.iter().filter_map(|record| match record {
            Record::JobQueued { status, .. } => Some(status.position.next()),
            _ => None,
        });
        queued.max().unwrap_or_default()
    }
}

/// A job as it was last committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredJob {
    pub id: JobId,
    pub spec: Arc<JobSpec>,
    pub status: JobStatus,
}

/// A run as it was last committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRun {
    pub id: JobId,
    /// Of its job.
    pub position: Position,
    pub run: Arc<Run>,
}

/// What people wrote of a project, as it was last committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredProject {
    pub name: ProjectName,
    pub about: Arc<About>,
}

impl StoredProject {
    fn read(name: &str, about: &str) -> Result<Self, Error> {
        let key = || format!("what was written of project {name:?}");
        let wrong = |error: atlas_core::id::Invalid| Error::Decode {
            key: key(),
            source: serde::de::Error::custom(error),
        };
        Ok(Self { name: name.parse().map_err(wrong)?, about: value::decode(key, about)? })
    }
}

/// A part of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Only jobs of a lower position: the last one of the page before.
    pub before: Option<Position>,
    pub limit: usize,
}

/// A read or a write that did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not {what} in the store at {place}")]
    Io { what: &'static str, place: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{key} in the store cannot be read; it was written by another version or damaged")]
    Decode { key: String, source: serde_json::Error },
    #[error(
        "the store at {place} has layout {found}, this program knows up to {known}; use a newer version of Atlas"
    )]
    TooNew { place: String, found: u32, known: u32 },
    #[error("Redis at {place} cannot be used with this {field}: {why}")]
    Setting {
        field: &'static str,
        place: String,
        why: &'static str,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("Redis at {place} cannot be used: {why}")]
    Unfit { place: String, why: String },
    #[error(
        "the cluster in the store at {place} was moved to {to}: start the master on that, or move it back with `atlas-master migrate`"
    )]
    GivenAway { place: String, to: String },
    #[error(
        "the move of a cluster from {from} to the store at {place} was not finished: run `atlas-master migrate` again, which begins anew"
    )]
    Unfinished { place: String, from: String },
    #[error("the store at {place} cannot take the cluster in: {why}")]
    Taken { place: String, why: String },
    #[error(
        "somebody led the store at {place} meanwhile (epoch {}, revision {}): stop every master of this cluster, then run it again",
        found.epoch, found.revision
    )]
    Led { place: String, found: Mark },
    #[error(
        "the store at {place} came back at revision {found}, and {known} is next: older than what was acknowledged"
    )]
    TooOld { place: String, found: Revision, known: Revision },
}

impl Error {
    /// Whether the store is not there, or not yet: trying again later is all there is to do.
    pub fn is_away(&self) -> bool {
        let Self::Io { source, .. } = self else { return false };
        source.downcast_ref::<::redis::RedisError>().is_some_and(redis::is_away)
    }
}

/// What became of a commit that did not work.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing was written; the same batch may be tried again.
    #[error("the store refuses to write")]
    Refused(#[source] Error),
    /// It may or may not have been written: ask for the mark.
    #[error("the store did not say whether it wrote")]
    Unknown(#[source] Error),
    /// The store came back at `found`, older than what this leader had kept there, and it does not remember all commits in
    /// between; `recent` are the records of those that it does remember. Nothing was written.
    #[error("{error}")]
    Older { found: Mark, recent: Vec<Record>, error: Box<Error> },
    /// Another master leads, or this batch does not follow the last one.
    #[error("the store stands at epoch {}, revision {}; this commit was for epoch {}, revision {}", found.epoch, found.revision, tried.epoch, tried.revision)]
    Overtaken { found: Mark, tried: Mark },
    /// Memory and store differ: a job queued twice, or changed that was never queued. Nothing was written and never will be;
    /// restore instead.
    #[error("this commit does not fit what the store holds: {0}")]
    Contradiction(String),
}
