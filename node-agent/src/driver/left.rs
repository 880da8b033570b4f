//! What an attempt has left on the disk so far, for whoever did not hear of it.

use std::fs;
use std::path::Path;

use atlas_core::Timestamp;

use crate::paths::{JobDir, LOG, SPOOL};
use crate::supervisor::{ExitFile, StartedFile};

/// Bytes in the log of a job that an agent before this one started.
pub fn log_length(dir: &JobDir) -> u64 {
    dir.open(Path::new(LOG)).and_then(|log| log.metadata()).map_or(0, |it| it.len())
}

/// Bytes that it has told of itself.
pub fn spool_length(dir: &JobDir) -> u64 {
    dir.open(Path::new(SPOOL)).and_then(|spool| spool.metadata()).map_or(0, |it| it.len())
}

/// The digest of the image that it was started in, where it has one.
pub fn image(dir: &JobDir) -> Option<String> {
    fs::read_to_string(dir.image()).ok()
}

pub async fn exit_file(dir: &JobDir) -> Option<ExitFile> {
    let control = dir.control();
    blocking(move || ExitFile::read(&control).ok().flatten()).await.flatten()
}

pub async fn started(dir: &JobDir) -> Option<Timestamp> {
    let control = dir.control();
    let file = blocking(move || StartedFile::read(&control).ok().flatten()).await.flatten()?;
    Some(Timestamp(file.at_ms))
}

/// `None` = the agent shuts down.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}
