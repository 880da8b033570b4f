//! Redis: the store of a cluster. A commit is one script, which Redis runs as a whole; values are JSON, and every key
//! stands in `keys.rs`.

mod access;
mod fitness;
mod history;
mod keys;
mod link;
mod moving;
mod read;
mod step;
#[cfg(test)]
mod tests;
mod write;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use atlas_core::cluster::Snapshot;
use atlas_core::project::About;
use atlas_core::{BundleId, ClusterId, Epoch, JobId, ProjectName, Run};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::{
    Batch, CommitError, Error, Lead, Mark, Page, Store, StoredJob, StoredProject, StoredRun,
};
pub use access::Access;
use history::History;
use link::Link;
pub use link::is_away;
use write::Scripts;

/// A store in one database of a server.
pub struct Redis {
    link: Link,
    scripts: Scripts,
    moving: moving::Scripts,
    leading: Mutex<Option<Leading>>,
}

/// What the leader can write back.
struct Leading {
    cluster: ClusterId,
    epoch: Epoch,
    history: History,
}

impl Redis {
    /// Connects, and refuses a server that is not fit to keep a cluster. Returns what an administrator should know of it.
    pub async fn open(access: &Access) -> Result<(Self, Vec<String>), Error> {
        let store = Self::new(access.client()?)?;
        let warnings = fitness::check(&store.link).await?;
        Ok((store, warnings))
    }

    /// Connects at the first request.
    fn new(client: redis::Client) -> Result<Self, Error> {
        let leading = Mutex::new(None);
        let moving = moving::Scripts::new();
        Ok(Self { link: Link::new(client)?, scripts: Scripts::new(), moving, leading })
    }

    async fn take_the_lead(&self, above: Epoch) -> Result<Lead, Error> {
        let lead = self.scripts.lead(&self.link, above).await?;
        step::finish(&self.link).await?;
        let Lead { cluster, mark } = &lead;
        let history = History::since(mark.revision);
        *self.leading() = Some(Leading { cluster: cluster.clone(), epoch: mark.epoch, history });
        Ok(lead)
    }

    /// Writes a batch; before it, what the server lost of those before.
    async fn write(&self, batch: &Batch) -> Result<(), CommitError> {
        if let Some(leading) = self.leading().as_mut().filter(|it| it.epoch == batch.epoch) {
            leading.history.tried(Instant::now(), batch);
        }
        loop {
            match self.scripts.commit(&self.link, batch).await {
                Err(CommitError::Overtaken { found, tried })
                    if self.write_back(batch, found, tried).await? => {}
                done => return done,
            }
        }
    }

    /// True when the server was older than what it had acknowledged, and is not any more.
    async fn write_back(
        &self,
        batch: &Batch,
        found: Mark,
        tried: Mark,
    ) -> Result<bool, CommitError> {
        let Some((cluster, missing)) = self.missing(batch, found)? else { return Ok(false) };
        tracing::error!(
            "Redis at {} came back at revision {}, older than what it had acknowledged: writing {} commits again",
            self.link.place(),
            found.revision,
            missing.len()
        );
        if !self.scripts.reclaim(&self.link, &cluster, tried.epoch, found).await? {
            return Ok(false);
        }
        for batch in &missing {
            self.scripts.commit(&self.link, batch).await?;
        }
        Ok(true)
    }

    /// What a server at this mark lacks before this batch; `None` = nothing, it is another leader's.
    fn missing(
        &self,
        batch: &Batch,
        found: Mark,
    ) -> Result<Option<(ClusterId, Vec<Batch>)>, CommitError> {
        let leading = self.leading();
        let Some(leading) = leading.as_ref().filter(|it| it.epoch == batch.epoch) else {
            return Ok(None);
        };
        let history = &leading.history;
        let is_older = found.epoch < batch.epoch || found.revision < batch.after;
        if found.epoch > batch.epoch || !is_older || history.last() != batch.revision {
            return Ok(None);
        }
        let missing = if found.revision == batch.after {
            Some(Vec::new())
        } else {
            history.between(found.revision, batch.revision)
        };
        match missing {
            Some(missing) => Ok(Some((leading.cluster.clone(), missing))),
            None => {
                let error = self.link.too_old(found.revision, batch.revision);
                Err(CommitError::Older { found, recent: history.records(), error: Box::new(error) })
            }
        }
    }

    fn leading(&self) -> MutexGuard<'_, Option<Leading>> {
        self.leading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Redis {
    fn cluster(&self) -> BoxFuture<'_, Result<Option<ClusterId>, Error>> {
        read::cluster(&self.link).boxed()
    }

    fn lead_above(&self, epoch: Epoch) -> BoxFuture<'_, Result<Lead, Error>> {
        self.take_the_lead(epoch).boxed()
    }

    fn restore(&self) -> BoxFuture<'_, Result<Snapshot, Error>> {
        read::restore(&self.link).boxed()
    }

    fn commit<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<(), CommitError>> {
        self.write(batch).boxed()
    }

    fn mark(&self) -> BoxFuture<'_, Result<Mark, Error>> {
        read::mark(&self.link).boxed()
    }

    fn job(&self, id: JobId) -> BoxFuture<'_, Result<Option<StoredJob>, Error>> {
        read::job(&self.link, id).boxed()
    }

    fn jobs_with_prefix<'a>(
        &'a self,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<JobId>, Error>> {
        read::jobs_with_prefix(&self.link, prefix, limit).boxed()
    }

    fn jobs_of<'a>(&'a self, ids: &'a [JobId]) -> BoxFuture<'a, Result<Vec<StoredJob>, Error>> {
        read::jobs_of(&self.link, ids).boxed()
    }

    fn jobs<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Vec<StoredJob>, Error>> {
        read::jobs(&self.link, *page).boxed()
    }

    fn run(&self, id: JobId) -> BoxFuture<'_, Result<Option<Arc<Run>>, Error>> {
        read::run(&self.link, id).boxed()
    }

    fn runs_of<'a>(
        &'a self,
        ids: &'a [JobId],
        most: usize,
    ) -> BoxFuture<'a, Result<Vec<Option<Arc<Run>>>, Error>> {
        read::runs_of(&self.link, ids, most).boxed()
    }

    fn runs<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Vec<StoredRun>, Error>> {
        read::runs(&self.link, *page).boxed()
    }

    fn project<'a>(
        &'a self,
        name: &'a ProjectName,
    ) -> BoxFuture<'a, Result<Option<Arc<About>>, Error>> {
        read::project(&self.link, name).boxed()
    }

    fn projects(&self) -> BoxFuture<'_, Result<Vec<StoredProject>, Error>> {
        read::projects(&self.link).boxed()
    }

    fn uses_bundle(&self, bundle: BundleId) -> BoxFuture<'_, Result<bool, Error>> {
        read::uses_bundle(&self.link, bundle).boxed()
    }
}
