//! What the master offers, once. gRPC and HTTP only translate.
//!
//! Every mutating call passes `core::access::allow` here, and nowhere else.

mod bundles;
mod changes;
mod error;
mod events;
mod file;
mod files;
mod filling;
mod incoming;
mod jobs;
mod labels;
mod listing;
mod logs;
mod nodes;
mod outputs;
mod outside;
mod projects;
mod queue;
mod runs;
mod shipping;
mod submit;
mod synced;
#[cfg(test)]
pub(crate) mod tests;
mod tokens;
mod tracking;
mod transfer;
mod usage;
mod wanted;

use std::sync::Arc;

use atlas_core::{ClusterId, JobId, JobStatus};
use atlas_runtime::tasks::Tasks;

use crate::age::Age;
use crate::archive::Archive;
use crate::bundles::Bundles;
use crate::edge::keys::Keys;
use crate::projects::Projects;
use crate::proxy::{Host, Proxy};
use crate::reactor::{Feed, Handle};
use crate::runs::Runs;
use crate::store::{Store, StoredJob};
use crate::tracker::Tracker;
use crate::turns::Storage;
use crate::usage::Measured;

pub use bundles::Upload;
pub use error::Error;
pub use events::{Event, Interest};
pub use file::Opened;
pub use files::Files;
pub use filling::{Filling, Fillings};
pub use incoming::Received;
pub use listing::{JobPage, ListedJob, Listing};
pub use outside::{Brought, Ended, Heard};
pub use projects::{Described, Outliving};
pub use queue::Waiting;
pub use runs::ToldRun;
pub use shipping::{Folder, LogFile, Shipped, Source};
pub use submit::Submitted;
pub use synced::{SyncedFile, Version, digest};
pub use tokens::Unauthenticated;
pub use tracking::Series;
pub use transfer::{Incoming, Outgoing};
pub use usage::{By, Group, Usage, Wanted as WantedUsage};

/// The fewest digits of a job's id that name it.
const FEWEST_DIGITS: usize = 4;

/// The one service layer.
pub struct Service {
    pub reactor: Handle,
    pub store: Arc<dyn Store>,
    pub feed: Feed,
    pub runs: Runs,
    pub bundles: Arc<Bundles>,
    pub archive: Archive,
    pub proxy: Proxy,
    pub keys: Keys,
    /// What a node finds in the shared storage, if it is ours.
    pub share_mark: String,
    pub cluster: ClusterId,
    pub age: Age,
    pub max_bundle: u64,
    /// What a node without the shared storage may ship of a job.
    pub max_output: u64,
    /// Whose turn it is to touch the shared storage.
    pub storage: Storage,
    /// Which of its folders are being filled.
    pub fillings: Fillings,
    /// What jobs occupy, as far as somebody asked.
    pub measured: Arc<Measured>,
    /// Whoever holds it has something of a finished job removed: what the store says of the job holds until that is decided.
    pub removals: tokio::sync::Mutex<()>,
    pub tracker: Tracker,
    pub projects: Projects,
    pub tasks: Tasks,
}

impl Service {
    /// The job of this id or unique prefix.
    pub async fn find(&self, text: &str) -> Result<StoredJob, Error> {
        let id = match text.parse() {
            Ok(id) => id,
            Err(_) => self.unique(text).await?,
        };
        self.store.job(id).await?.ok_or_else(|| Error::NoJob(text.into()))
    }

    async fn unique(&self, text: &str) -> Result<JobId, Error> {
        let prefix = text.to_ascii_lowercase();
        let digits = prefix.bytes().filter(u8::is_ascii_hexdigit).count();
        if !prefix.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-') || digits < FEWEST_DIGITS
        {
            return Err(Error::NotAnId { text: text.into(), fewest: FEWEST_DIGITS });
        }
        match self.store.jobs_with_prefix(&prefix, 5).await?.as_slice() {
            [] => Err(Error::NoJob(text.into())),
            [one] => Ok(*one),
            several => Err(Error::Ambiguous { prefix: text.into(), jobs: several.to_vec() }),
        }
    }

    /// The node that holds something of this job now.
    async fn host(&self, id: JobId, status: &JobStatus) -> Result<Option<Host>, Error> {
        let Some(placement) = status.state.placement() else { return Ok(None) };
        let nodes = self.reactor.nodes().await?;
        let node = nodes.into_iter().find(|it| it.record.spec.name == placement.node);
        let Some(node) = node else { return Err(Error::NodeGone(placement.node.clone())) };
        let (node, address) = (placement.node.clone(), node.record.spec.address);
        Ok(Some(Host { node, address, job: id, attempt: placement.attempt }))
    }
}
