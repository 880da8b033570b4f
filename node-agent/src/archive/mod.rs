//! What is kept of a job that has ended: the rest of its log, and the files that it changed.
//!
//! Safe to begin again at any point: a file that is there with the same length and time is not copied twice, and none has its
//! name before it is whole.

mod copy;
mod tree;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use atlas_runtime::Chain;
use atlas_runtime::backoff::{Backoff, Policy};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::driver::Kept;
use crate::node::Node;
use crate::paths::{AttemptId, JobDir, Shared};
use crate::unpack::{self, Exclude, LeftBehind, Limits, Outputs, Snapshot};

/// The most files that are kept of one job.
const MOST_FILES: usize = 100_000;
/// Of what stays behind, so many are named to people.
const NAMED: usize = 20;
const RETRY: Policy =
    Policy { first: Duration::from_millis(500), max: Duration::from_secs(30), attempts: None };

/// The archiving of one attempt.
pub struct Archive {
    pub node: Arc<Node>,
    pub id: AttemptId,
    pub dir: JobDir,
    pub kept: Kept,
    /// Ends it between two pieces of a file.
    pub cancel: CancellationToken,
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
    #[error("could not write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} has {found} bytes where {written} were written", path.display())]
    Length { path: PathBuf, written: u64, found: u64 },
    #[error("it was ended")]
    Cancelled,
}

impl Archive {
    /// Returns what stayed behind, in words, when all that can be kept is kept.
    pub async fn run(self, log: oneshot::Receiver<()>) -> Option<String> {
        let Some(shared) = self.node.shared.clone() else {
            return Some("its node has no shared storage (--shared), so nothing was kept".into());
        };
        let files = self.outputs(&shared).await;
        let _ = log.await; // an agent that shuts down archives again
        files
    }

    /// Tries until the storage takes it. The master lets two jobs of a node archive at a time, and this keeps its place while the
    /// storage is away: all of them wait for the same one, so that none could go on in its stead.
    async fn outputs(&self, shared: &Shared) -> Option<String> {
        let mut backoff = Backoff::new(RETRY);
        let mut said = false;
        let job = Arc::new(Job {
            work: self.dir.work(),
            snapshot: self.dir.snapshot(),
            to: shared.outputs(self.id.job),
            shared: shared.jobs(),
            checkpoints: shared.checkpoints(self.id.job),
            exclude: self.kept.spec.outputs.exclude.clone(),
            limits: Limits {
                bytes: self
                    .kept
                    .spec
                    .outputs
                    .max_bytes
                    .map_or(self.node.settings.max_output, |it| {
                        it.min(self.node.settings.max_output)
                    }),
                files: MOST_FILES,
            },
            cancel: self.cancel.clone(),
        });
        loop {
            let job = job.clone();
            match tokio::task::spawn_blocking(move || job.keep()).await {
                Ok(Ok(left_behind)) => return left_behind,
                Ok(Err(error @ (Error::Snapshot { .. } | Error::Look(_) | Error::Work { .. }))) => {
                    return Some(Chain(&error).to_string());
                }
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
    to: PathBuf,
    shared: PathBuf,
    checkpoints: PathBuf,
    exclude: Vec<String>,
    limits: Limits,
    cancel: CancellationToken,
}

impl Job {
    fn keep(&self) -> Result<Option<String>, Error> {
        // Made for every job, kept only where one used it.
        let _ = fs::remove_dir(&self.checkpoints);
        let Some(snapshot) = self.snapshot()? else { return Ok(None) };
        let exclude = Exclude::new(&self.exclude).map_err(Error::Look)?;
        let Outputs { files, left_behind, .. } =
            unpack::changed(&self.work, &snapshot, &exclude, self.limits).map_err(Error::Look)?;
        let not_copied = copy::all(&self.work, &files, &self.to, &self.shared, &self.cancel)?;
        Ok(summary(&left_behind, &not_copied))
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

/// What stayed behind, for people.
fn summary(left_behind: &LeftBehind, not_copied: &[(PathBuf, String)]) -> Option<String> {
    let refused = left_behind.named.iter().map(|(path, why)| (path.as_path(), why.to_string()));
    let failed = not_copied.iter().map(|(path, why)| (path.as_path(), why.clone()));
    let all: Vec<(&std::path::Path, String)> = refused.chain(failed).collect();
    if all.is_empty() {
        return None;
    }
    let total = all.len() as u64 + left_behind.more;
    let names: Vec<String> =
        all.iter().take(NAMED).map(|(path, why)| format!("{} ({why})", path.display())).collect();
    let more = total - names.len() as u64;
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    Some(format!("{total} changed file(s) stayed behind: {}{more}", names.join(", ")))
}

#[cfg(test)]
mod tests;
