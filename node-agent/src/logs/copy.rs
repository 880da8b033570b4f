//! The copier: appends what a log grows by to the shared file, whose length says how far it has come.
//!
//! **Invariant:** the shared file is always a beginning of the local one, and one task alone appends to it; so a copier that
//! dies anywhere is continued by the next without a byte lost or doubled.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use atlas_runtime::Chain;
use atlas_runtime::backoff::{Backoff, Policy};
use tokio::sync::{oneshot, watch};

use super::LogState;
use crate::durable;
use crate::node::Node;
use crate::paths::{AttemptId, JobDir, LOG, LOG_INDEX, Shared};

/// A log that still grows is copied at most this often. Readers of a running job are served from the local file.
const BATCH: Duration = Duration::from_secs(1);
const BUFFER: usize = 1 << 20;
/// The shared storage is away for as long as it takes.
const RETRY: Policy =
    Policy { first: Duration::from_millis(500), max: Duration::from_secs(30), attempts: None };

/// Why a log was not copied; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not read the log {}", path.display())]
    Local { path: PathBuf, source: io::Error },
    #[error("could not append to {}", path.display())]
    Shared { path: PathBuf, source: io::Error },
    #[error("could not sync {}", path.display())]
    Sync { path: PathBuf, source: io::Error },
    #[error("{} holds {there} bytes, more than the {here} of the log it copies: somebody else wrote to it", path.display())]
    NotOurs { path: PathBuf, here: u64, there: u64 },
}

/// Starts copying. The receiver hears when the log has ended and all of it is there; who drops it ends the copying.
pub fn copy(
    node: &Arc<Node>,
    id: AttemptId,
    dir: &JobDir,
    state: watch::Receiver<LogState>,
) -> oneshot::Receiver<()> {
    let (done, is_done) = oneshot::channel();
    let Some(shared) = node.shared.clone() else {
        let _ = done.send(()); // there is nothing to wait for
        return is_done;
    };
    let mut copier = Copier { shared, id, dir: dir.clone(), state };
    let tasks = node.tasks.clone();
    node.tasks.spawn(&format!("log {id}"), async move {
        let mut done = done;
        tokio::select! {
            () = tasks.cancelled() => return,
            () = done.closed() => return,
            () = copier.run() => {}
        }
        let _ = done.send(()); // whoever waited may be gone
    });
    is_done
}

struct Copier {
    shared: Shared,
    id: AttemptId,
    dir: JobDir,
    state: watch::Receiver<LogState>,
}

impl Copier {
    async fn run(&mut self) {
        let mut copied = 0;
        loop {
            let LogState { length, ended } = *self.state.borrow_and_update();
            if length > copied || (ended && length > 0) {
                self.copy_up_to(length, ended).await;
                copied = length;
            }
            if ended || self.state.changed().await.is_err() {
                return;
            }
            // The end does not wait for the batch to fill.
            let _ = tokio::time::timeout(BATCH, self.state.wait_for(|it| it.ended)).await;
        }
    }

    /// Tries until it is done. A storage that hangs holds one thread of the blocking pool and nothing else.
    async fn copy_up_to(&self, length: u64, ended: bool) {
        let mut backoff = Backoff::new(RETRY);
        let mut said = false;
        loop {
            let (shared, id, dir) = (self.shared.clone(), self.id, self.dir.clone());
            let copied = tokio::task::spawn_blocking(move || {
                append(&shared, id, &dir, length)?;
                if ended { sync(&shared, id) } else { Ok(()) }
            });
            let copied = copied.await;
            let error = match copied {
                Ok(Ok(())) if said => {
                    tracing::info!(job = %self.id, "its log is being copied again");
                    return;
                }
                Ok(Ok(())) => return,
                Ok(Err(error)) => Chain(&error).to_string(),
                Err(_) => return, // the agent shuts down
            };
            if !std::mem::replace(&mut said, true) {
                tracing::warn!(job = %self.id, "{error}; trying again until it works, the job goes on");
            }
            tokio::time::sleep(backoff.next().expect("it never gives up")).await;
        }
    }
}

/// Appends to log and index what they lack.
fn append(shared: &Shared, id: AttemptId, dir: &JobDir, length: u64) -> Result<(), Error> {
    append_file(dir, LOG, &shared.log(id), Some(length))?;
    append_file(dir, LOG_INDEX, &shared.log_index(id), None)
}

/// The node's own copy goes when the log has ended and all of it is there.
fn sync(shared: &Shared, id: AttemptId) -> Result<(), Error> {
    let (log, index) = (shared.log(id), shared.log_index(id));
    let files = if index.exists() { vec![log.clone(), index] } else { vec![log.clone()] };
    durable::sync_below(&shared.jobs(), &files).map_err(|source| Error::Sync { path: log, source })
}

/// Without a length: all that there is, and nothing if there is no file.
fn append_file(dir: &JobDir, name: &str, to: &Path, length: Option<u64>) -> Result<(), Error> {
    let local = |source| Error::Local { path: dir.path().join(name), source };
    let away = |source| Error::Shared { path: to.to_owned(), source };
    let mut from = match dir.open(Path::new(name)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound && length.is_none() => return Ok(()),
        Err(error) => return Err(local(error)),
    };
    let here = from.metadata().map_err(local)?.len();
    let length = length.unwrap_or(here);
    let mut file = create(to).map_err(away)?;
    let there = file.metadata().map_err(away)?.len();
    if there > here {
        return Err(Error::NotOurs { path: to.to_owned(), here, there });
    }
    from.seek(SeekFrom::Start(there)).map_err(local)?;
    let mut left = length.saturating_sub(there);
    let mut buffer = vec![0; BUFFER.min(usize::try_from(left).unwrap_or(BUFFER))];
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = from.read(&mut buffer[..most]).map_err(local)?;
        if count == 0 {
            let short = io::Error::new(io::ErrorKind::UnexpectedEof, "it is shorter than it was");
            return Err(local(short));
        }
        file.write_all(&buffer[..count]).map_err(away)?;
        left -= count as u64;
    }
    Ok(())
}

/// Makes the folder of the logs, but not the job's: where that is gone, the job was deleted or the storage is away.
fn create(path: &Path) -> io::Result<File> {
    let open = || OpenOptions::new().append(true).create(true).open(path);
    match (open(), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
            match fs::create_dir(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                _ => open(),
            }
        }
        (opened, _) => opened,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Data;

    struct World {
        folder: tempfile::TempDir,
        id: AttemptId,
        dir: JobDir,
        shared: Shared,
    }

    impl World {
        fn new(log: &[u8]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let id = "45540b52-ffe2-44ab-9838-db467d3499c0.1".parse().unwrap();
            let dir = Data::new(folder.path().join("data")).job(id);
            fs::create_dir_all(dir.control()).unwrap();
            fs::write(dir.log(), log).unwrap();
            let shared = Shared::new(folder.path().join("shared"));
            fs::create_dir_all(shared.job(id.job)).unwrap();
            Self { folder, id, dir, shared }
        }

        fn copy(&self, length: u64) -> Result<String, Error> {
            append(&self.shared, self.id, &self.dir, length)?;
            Ok(fs::read_to_string(self.shared.log(self.id)).unwrap())
        }
    }

    #[test]
    fn a_copy_goes_on_where_the_last_one_ended() {
        let world = World::new(b"one two three");
        assert_eq!(world.copy(3).unwrap(), "one");
        assert_eq!(world.copy(3).unwrap(), "one");
        // As a copier leaves it that was killed in the middle of a write.
        OpenOptions::new()
            .append(true)
            .open(world.shared.log(world.id))
            .unwrap()
            .write_all(b" tw")
            .unwrap();
        assert_eq!(world.copy(13).unwrap(), "one two three");
    }

    #[test]
    fn the_folder_of_a_job_that_was_deleted_does_not_come_back() {
        let world = World::new(b"late words");
        let folder = world.shared.job(world.id.job);
        fs::remove_dir_all(&folder).unwrap();
        assert!(matches!(world.copy(10), Err(Error::Shared { .. })));
        assert!(!folder.exists(), "it is there again");
    }

    #[test]
    fn the_index_travels_with_its_log() {
        let world = World::new(b"x");
        fs::write(world.dir.log_index(), [7; 16]).unwrap();
        world.copy(1).unwrap();
        assert_eq!(fs::read(world.shared.log_index(world.id)).unwrap(), [7; 16]);
    }

    #[test]
    fn a_log_is_synced_with_its_index_and_without() {
        let world = World::new(b"x");
        world.copy(1).unwrap();
        sync(&world.shared, world.id).unwrap();
        fs::write(world.dir.log_index(), [7; 16]).unwrap();
        world.copy(1).unwrap();
        sync(&world.shared, world.id).unwrap();
        fs::remove_file(world.shared.log(world.id)).unwrap();
        assert!(matches!(sync(&world.shared, world.id), Err(Error::Sync { .. })));
    }

    #[test]
    fn a_shared_file_that_is_longer_than_the_log_is_not_touched() {
        let world = World::new(b"short");
        fs::create_dir_all(world.shared.log(world.id).parent().unwrap()).unwrap();
        fs::write(world.shared.log(world.id), "somebody else's").unwrap();
        assert!(matches!(world.copy(5), Err(Error::NotOurs { here: 5, there: 15, .. })));
    }

    #[test]
    fn a_link_in_the_place_of_the_log_is_not_followed() {
        let world = World::new(b"x");
        let secret = world.folder.path().join("secret");
        fs::write(&secret, "secret").unwrap();
        fs::remove_file(world.dir.log()).unwrap();
        std::os::unix::fs::symlink(&secret, world.dir.log()).unwrap();
        assert!(matches!(world.copy(6), Err(Error::Local { .. })));
    }
}
