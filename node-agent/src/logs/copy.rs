//! The copier: appends what a log grows by to what is kept of it, whose length says how far it has come.
//!
//! **Invariant:** what is kept is always a beginning of the local file, and one task alone appends to it; so a copier that dies
//! anywhere is continued by the next without a byte lost or doubled.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use atlas_runtime::Chain;
use atlas_runtime::backoff::{Backoff, Policy};
use tokio::sync::{oneshot, watch};

use super::LogState;
use crate::node::Node;
use crate::paths::{AttemptId, JobDir, LOG, LOG_INDEX};
use crate::storage::{self, Log, LogFile};

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
    #[error("could not keep the log of {id}")]
    Keep { id: AttemptId, source: storage::Error },
    #[error(
        "what is kept of the log of {id} has {there} bytes, more than the {here} of the log itself: somebody else wrote to it"
    )]
    NotOurs { id: AttemptId, here: u64, there: u64 },
}

/// Starts copying. The receiver hears when the log has ended and all of it is there; who drops it ends the copying.
pub fn copy(
    node: &Arc<Node>,
    id: AttemptId,
    dir: &JobDir,
    state: watch::Receiver<LogState>,
) -> oneshot::Receiver<()> {
    let (mut done, is_done) = oneshot::channel();
    let to = node.storage.log(id);
    let mut copier = Copier { source: Source { id, dir: dir.clone(), to }, state };
    let tasks = node.tasks.clone();
    node.tasks.spawn(&format!("log {id}"), async move {
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
    source: Source,
    state: watch::Receiver<LogState>,
}

/// How a try ended.
enum Tried {
    Done,
    /// The log is nobody's any more.
    NotWanted,
}

impl Copier {
    async fn run(&mut self) {
        let mut copied = 0;
        loop {
            let LogState { length, ended } = *self.state.borrow_and_update();
            if length > copied || (ended && length > 0) {
                if let Tried::NotWanted = self.copy_up_to(length, ended).await {
                    return;
                }
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
    async fn copy_up_to(&self, length: u64, ended: bool) -> Tried {
        let mut backoff = Backoff::new(RETRY);
        let mut said = false;
        let id = self.source.id;
        loop {
            let source = self.source.clone();
            let copied = tokio::task::spawn_blocking(move || {
                source.append(length)?;
                if ended { source.sync() } else { Ok(()) }
            });
            let error = match copied.await {
                Ok(Ok(())) if said => {
                    tracing::info!(job = %id, "its log is being copied again");
                    return Tried::Done;
                }
                Ok(Ok(())) => return Tried::Done,
                Ok(Err(error)) => error,
                Err(_) => return Tried::NotWanted, // the agent shuts down
            };
            let refused = matches!(&error, Error::Keep { source, .. } if source.is_final());
            let error = Chain(&error).to_string();
            if refused {
                tracing::warn!(job = %id, "{error}; the rest of it is not kept");
                return Tried::NotWanted;
            }
            if !std::mem::replace(&mut said, true) {
                tracing::warn!(job = %id, "{error}; trying again until it works, the job goes on");
            }
            tokio::time::sleep(backoff.next().expect("it never gives up")).await;
        }
    }
}

/// A log on the node's own disk, and where it goes.
#[derive(Clone)]
struct Source {
    id: AttemptId,
    dir: JobDir,
    to: Log,
}

impl Source {
    /// Appends to log and index what they lack.
    fn append(&self, length: u64) -> Result<(), Error> {
        self.append_file(LogFile::Text, Some(length))?;
        self.append_file(LogFile::Index, None)
    }

    fn sync(&self) -> Result<(), Error> {
        self.to.sync().map_err(|source| Error::Keep { id: self.id, source })
    }

    /// Without a length: all that there is, and nothing if there is no file.
    fn append_file(&self, which: LogFile, length: Option<u64>) -> Result<(), Error> {
        let id = self.id;
        let name = match which {
            LogFile::Text => LOG,
            LogFile::Index => LOG_INDEX,
        };
        let local = |source| Error::Local { path: self.dir.path().join(name), source };
        let keep = |source| Error::Keep { id, source };
        let file = match self.dir.open(Path::new(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && length.is_none() => {
                return Ok(());
            }
            Err(error) => return Err(local(error)),
        };
        let here = file.metadata().map_err(local)?.len();
        let length = length.unwrap_or(here);
        let mut there = self.to.length(which).map_err(keep)?;
        if there > here {
            return Err(Error::NotOurs { id, here, there });
        }
        while there < length {
            let most = usize::try_from(length - there).unwrap_or(BUFFER).min(BUFFER);
            let mut data = vec![0; most];
            let count = file.read_at(&mut data, there).map_err(local)?;
            if count == 0 {
                let short =
                    io::Error::new(io::ErrorKind::UnexpectedEof, "it is shorter than it was");
                return Err(local(short));
            }
            data.truncate(count);
            there = self.to.append(which, there, data).map_err(keep)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;

    use super::*;
    use crate::paths::{Data, Shared};
    use crate::storage::Storage;

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

        fn source(&self) -> Source {
            let to = Storage::Mounted(self.shared.clone()).log(self.id);
            Source { id: self.id, dir: self.dir.clone(), to }
        }

        fn copy(&self, length: u64) -> Result<String, Error> {
            self.source().append(length)?;
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
        assert!(matches!(world.copy(10), Err(Error::Keep { .. })));
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
        world.source().sync().unwrap();
        fs::write(world.dir.log_index(), [7; 16]).unwrap();
        world.copy(1).unwrap();
        world.source().sync().unwrap();
        fs::remove_file(world.shared.log(world.id)).unwrap();
        assert!(matches!(world.source().sync(), Err(Error::Keep { .. })));
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
