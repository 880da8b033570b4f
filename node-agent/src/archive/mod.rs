//! What is kept of a job that has ended: the rest of its log and of its spool, and the files that it changed.
//!
//! Safe to begin again at any point: a file that is there with the same length and time is not copied twice, and none has its
//! name before it is whole.

mod checkpoints;
pub mod copy;

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use atlas_core::files::{Found, LONGEST_PATH, Meta, What};
use atlas_runtime::Chain;
use atlas_runtime::backoff::{Backoff, Policy};
use atlas_runtime::storage::shipment::Left;
use atlas_runtime::storage::{Others, Owner};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::driver::Kept;
use crate::node::Node;
use crate::paths::{AttemptId, JobDir};
use crate::storage::{self, Destination, Progress};
use crate::unpack::{self, Exclude, LeftBehind, Limits, Output, OutputKind, Outputs, Snapshot};

/// The most files that are kept of one job.
const MOST_FILES: usize = 100_000;
/// Of what stays behind, so many are named to people.
const NAMED: usize = 20;
const RETRY: Policy =
    Policy { first: Duration::from_millis(500), max: Duration::from_secs(30), attempts: None };

/// What of an attempt goes to the archive while it runs. Dropped, nothing more goes there.
pub struct Tails {
    /// Hears when all of the log is there.
    pub log: oneshot::Receiver<()>,
    /// The same of what the job told of itself; or why the rest of it is not taken.
    pub spool: oneshot::Receiver<Option<String>>,
}

impl Tails {
    /// Waits for both; returns what stayed behind. An agent that shuts down archives again.
    pub async fn end(self) -> Option<String> {
        let _ = self.log.await;
        self.spool.await.ok().flatten()
    }
}

/// The archiving of one attempt.
pub struct Archive {
    pub node: Arc<Node>,
    pub id: AttemptId,
    pub dir: JobDir,
    pub kept: Kept,
    /// Ends it between two pieces of a file.
    pub cancel: CancellationToken,
    /// Of checkpoints on their way to the master.
    pub progress: Progress,
}

/// Why an archive is not complete yet, or never will be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not read {}", path.display())]
    Snapshot { path: PathBuf, source: io::Error },
    #[error("could not find the files that the job changed")]
    Look(#[source] unpack::Error),
    #[error("could not open {}", path.display())]
    Work { path: PathBuf, source: io::Error },
    #[error("could not keep the files of the job")]
    Keep(#[from] storage::Error),
    #[error("it was ended")]
    Cancelled,
}

impl Error {
    /// Another try would end the same.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Snapshot { .. } | Self::Look(_) | Self::Work { .. } => true,
            Self::Keep(error) => error.is_final(),
            Self::Cancelled => false,
        }
    }
}

impl Archive {
    /// Returns what stayed behind, in words, when all that can be kept is kept.
    pub async fn run(self, tails: Tails) -> Option<String> {
        if let Some(why) = self.folder().await {
            return Some(why);
        }
        let checkpoints = self.checkpoints().await;
        let outputs = self.outputs().await;
        let spool = tails.end().await;
        let all: Vec<String> = [outputs, checkpoints, spool].into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Somebody may have removed it from the shared storage; what is in it is wanted all the same.
    async fn folder(&self) -> Option<String> {
        let (storage, id) = (self.node.storage.clone(), self.id);
        self.insist(move |cancel| Ok(storage.begin(id, cancel).map(|()| None)?)).await
    }

    /// Checkpoints that are not on the shared storage already: the next attempt finds what this one leaves there.
    pub async fn checkpoints(&self) -> Option<String> {
        let owner = &self.node.settings.job_user;
        let owner = Owner { uid: owner.uid, gid: owner.gid };
        let (storage, id) = (self.node.storage.clone(), self.id);
        let (from, most) = (self.dir.checkpoints(), self.node.settings.max_output);
        let progress = self.progress.clone();
        self.insist(move |cancel| {
            let to = storage.checkpoints(id, owner, cancel, &progress);
            let Some(to) = to else { return Ok(None) };
            checkpoints::keep(&from, to, most, cancel)
        })
        .await
    }

    async fn outputs(&self) -> Option<String> {
        let settings = &self.node.settings;
        let asked = &self.kept.spec.outputs;
        let job = Job {
            work: self.dir.work(),
            snapshot: self.dir.snapshot(),
            checkpoints: self.node.storage.mount().map(|it| it.checkpoints(self.id.job)),
            exclude: asked.exclude.clone(),
            limits: Limits {
                bytes: asked.max_bytes.unwrap_or(u64::MAX).min(settings.max_output),
                files: MOST_FILES,
            },
        };
        let (storage, id) = (self.node.storage.clone(), self.id);
        self.insist(move |cancel| job.keep(storage.outputs(id, cancel), cancel)).await
    }

    /// Tries until the storage takes it. The master lets two jobs of a node archive at a time, and this keeps its place while the
    /// storage is away: all of them wait for the same one, so that none could go on in its stead.
    async fn insist(
        &self,
        work: impl Fn(&CancellationToken) -> Result<Option<String>, Error> + Send + Sync + 'static,
    ) -> Option<String> {
        let mut backoff = Backoff::new(RETRY);
        let mut said = false;
        let work = Arc::new(work);
        loop {
            let (work, cancel) = (work.clone(), self.cancel.clone());
            match tokio::task::spawn_blocking(move || work(&cancel)).await {
                Ok(Ok(left_behind)) => return left_behind,
                Ok(Err(error)) if error.is_final() => return Some(Chain(&error).to_string()),
                Ok(Err(error)) if !std::mem::replace(&mut said, true) => {
                    let error = Chain(&error);
                    tracing::warn!(job = %self.id, "not archived yet: {error}; trying again until it is");
                }
                Ok(Err(_)) => {}
                Err(_) => return std::future::pending().await, // the agent shuts down
            }
            tokio::time::sleep(backoff.next().expect("it never gives up")).await;
        }
    }
}

/// What the blocking part needs.
struct Job {
    work: PathBuf,
    snapshot: PathBuf,
    /// Where they are on the shared storage.
    checkpoints: Option<PathBuf>,
    exclude: Vec<String>,
    limits: Limits,
}

impl Job {
    fn keep(&self, to: Destination, cancel: &CancellationToken) -> Result<Option<String>, Error> {
        if let Some(checkpoints) = &self.checkpoints {
            // Made for every job, kept only where one used it.
            let _ = fs::remove_dir(checkpoints);
        }
        let Some(snapshot) = self.snapshot()? else { return Ok(None) };
        let exclude = Exclude::new(&self.exclude).map_err(Error::Look)?;
        let Outputs { files, left_behind, .. } =
            unpack::changed(&self.work, &snapshot, &exclude, self.limits).map_err(Error::Look)?;
        let (found, mut left) = known(&self.work, files)?;
        if !found.is_empty() {
            left.extend(copy::all(&self.work, found, to, Others::Stay, cancel)?);
        }
        left.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(summary(&left_behind, &left))
    }

    /// A job that never came to its own files has none to keep.
    fn snapshot(&self) -> Result<Option<Snapshot>, Error> {
        let failed = |source| Error::Snapshot { path: self.snapshot.clone(), source };
        match fs::read(&self.snapshot) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }
}

/// What is announced of each: length and time, and whether it is a program. And those that cannot be read or announced.
fn known(work: &Path, files: Vec<Output>) -> Result<(Vec<Found>, Vec<Left>), Error> {
    let root = File::open(work).map_err(|source| Error::Work { path: work.to_owned(), source })?;
    let (mut found, mut left) = (Vec::with_capacity(files.len()), Vec::new());
    for Output { path, kind } in files {
        if path.as_os_str().len() > LONGEST_PATH {
            let why = format!("its path is longer than {LONGEST_PATH} bytes");
            left.push(Left { path, why });
            continue;
        }
        let what = match kind {
            OutputKind::Link { target } => Ok(What::Link(target)),
            OutputKind::File { .. } => atlas_runtime::storage::open(root.as_fd(), &path)
                .and_then(|it| it.metadata())
                .map(|it| What::File(meta(&it))),
        };
        match what {
            Ok(what) => found.push(Found { path, what }),
            Err(error) => left.push(Left { path, why: copy::unreadable(&error) }),
        }
    }
    Ok((found, left))
}

fn meta(of: &fs::Metadata) -> Meta {
    Meta {
        bytes: of.len(),
        modified: (of.mtime(), u32::try_from(of.mtime_nsec()).unwrap_or_default()),
        mode: if of.permissions().mode() & 0o100 != 0 { 0o755 } else { 0o644 },
    }
}

/// What stayed behind, for people.
fn summary(left_behind: &LeftBehind, not_copied: &[Left]) -> Option<String> {
    let refused = left_behind.named.iter().map(|(path, why)| (path.as_path(), why.to_string()));
    let failed = not_copied.iter().map(|it| (it.path.as_path(), it.why.clone()));
    let all: Vec<(&Path, String)> = refused.chain(failed).collect();
    let total = all.len() as u64 + left_behind.more;
    (total > 0).then(|| format!("{total} changed file(s) stayed behind: {}", some_of(&all, total)))
}

/// The first of them by name.
fn some_of(all: &[(&Path, String)], total: u64) -> String {
    let names: Vec<String> =
        all.iter().take(NAMED).map(|(path, why)| format!("{} ({why})", path.display())).collect();
    let more = total - names.len() as u64;
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("{}{more}", names.join(", "))
}

#[cfg(test)]
mod tests;
