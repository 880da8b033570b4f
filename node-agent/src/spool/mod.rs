//! What a job tells of itself, on its way from its spool to the master, which alone reads it. Here it is bytes.
//!
//! **Invariant:** the master says up to where the spool is part of the run for good, and shipping goes on from there: so an agent
//! or a master that dies anywhere costs no event and doubles none.

mod artifacts;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use atlas_proto::wire;
use atlas_runtime::Chain;
use bytes::Bytes;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::archive;
use crate::insist::Insist;
use crate::node::Node;
use crate::paths::{AttemptId, JobDir, SPOOL};
use crate::storage;
use artifacts::Brought;

/// How often a spool is looked at: for so long its bytes gather.
const EVERY: Duration = Duration::from_millis(500);
/// The most bytes that go at once; the longest line fits several times.
const PIECE: usize = 512 << 10;

/// Why a spool was not shipped.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("could not read what the job told of itself in {}", path.display())]
    Local { path: PathBuf, source: io::Error },
    #[error("the master does not take what job {id} told of itself")]
    Ship { id: AttemptId, source: storage::Error },
    #[error("could not keep what job {id} saved")]
    Bring { id: AttemptId, source: archive::Error },
    #[error(
        "the spool of job {id} has {here} bytes, fewer than the {there} that were shipped: the job changed it"
    )]
    Changed { id: AttemptId, here: u64, there: u64 },
}

impl Error {
    /// Another try would end the same.
    fn is_final(&self) -> bool {
        match self {
            Self::Local { .. } | Self::Changed { .. } => true,
            Self::Ship { source, .. } => source.is_final(),
            Self::Bring { source, .. } => source.is_final(),
        }
    }
}

/// Starts shipping. `end` is the length of the spool once it grows no more. The receiver hears when all of it was taken, or why the
/// rest is not; who drops it ends the shipping.
pub fn ship(
    node: &Arc<Node>,
    id: AttemptId,
    dir: &JobDir,
    mut end: watch::Receiver<Option<u64>>,
) -> oneshot::Receiver<Option<String>> {
    let (mut done, is_done) = oneshot::channel();
    let cancel = CancellationToken::new();
    let way = Way { node: node.clone(), cancel: cancel.clone(), room: node.settings.max_output };
    let shipper = Shipper::new(id, dir.clone(), way);
    let tasks = node.tasks.clone();
    node.tasks.spawn(&format!("spool {id}"), async move {
        let _stop = cancel.drop_guard();
        let left_behind = tokio::select! {
            () = tasks.cancelled() => return,
            () = done.closed() => return,
            left_behind = run(shipper, &mut end) => left_behind,
        };
        let _ = done.send(left_behind); // whoever waited may be gone
    });
    is_done
}

/// Ships until the end. Returns what stays behind, in words.
async fn run(mut shipper: Shipper<Way>, end: &mut watch::Receiver<Option<u64>>) -> Option<String> {
    let mut insist = Insist::new();
    loop {
        // Bytes gather meanwhile; the end does not wait for more.
        let _ = tokio::time::timeout(EVERY, end.wait_for(Option::is_some)).await;
        let ends = *end.borrow_and_update();
        if ends == Some(0) {
            return None; // as of most short jobs: nothing to look for
        }
        let id = shipper.id;
        let work = move || (shipper.ship(ends), shipper);
        // Only a panic, which is logged, or the end of the agent keeps it from coming back.
        let Ok((shipped, back)) = tokio::task::spawn_blocking(work).await else {
            return std::future::pending().await;
        };
        shipper = back;
        match shipped {
            Ok(()) if ends.is_some() => return None,
            Ok(()) => insist = Insist::new(),
            Err(error) if error.is_final() => {
                let why = Chain(&error).to_string();
                tracing::warn!(job = %id, "{why}; the rest of it is not kept");
                return Some(why);
            }
            Err(error) => insist.wait(format!("job {id}"), &error).await,
        }
    }
}

/// A piece of a spool.
struct Piece {
    id: AttemptId,
    offset: u64,
    data: Vec<u8>,
    last: bool,
    /// What became of the files that were wanted before it.
    brought: Brought,
}

/// Up to where the spool is part of the run, and the files that are wanted before it goes on.
struct Taken {
    length: u64,
    wanted: Vec<String>,
}

/// Who takes pieces in, and keeps files.
trait Taker {
    fn take(&self, piece: Piece) -> Result<Taken, storage::Error>;

    fn bring(
        &mut self,
        id: AttemptId,
        dir: &JobDir,
        wanted: Vec<String>,
    ) -> Result<Brought, archive::Error>;
}

/// The node's way to the master and to the archive.
struct Way {
    node: Arc<Node>,
    cancel: CancellationToken,
    /// Bytes that the job may still save.
    room: u64,
}

impl Taker for Way {
    fn take(&self, piece: Piece) -> Result<Taken, storage::Error> {
        let Piece { id, offset, data, last, brought: Brought { kept, missing } } = piece;
        let missing = missing.into_iter().map(|(path, why)| wire::MissingFile { path, why });
        let reply = self.node.master.append_spool(wire::AppendSpoolRequest {
            holder: Some(self.node.master.holder(id)),
            offset,
            data: Bytes::from(data),
            last,
            kept,
            missing: missing.collect(),
        })?;
        let wire::AppendSpoolReply { length, wanted } = reply;
        Ok(Taken { length, wanted })
    }

    fn bring(
        &mut self,
        id: AttemptId,
        dir: &JobDir,
        wanted: Vec<String>,
    ) -> Result<Brought, archive::Error> {
        let to = self.node.storage.artifacts(id, &self.cancel);
        artifacts::bring(&dir.spool(), wanted, to, &mut self.room, &self.cancel)
    }
}

/// A spool, and how far it has come. All of it blocks.
struct Shipper<T> {
    id: AttemptId,
    dir: JobDir,
    to: T,
    /// Bytes that were taken; `None` = to be asked.
    there: Option<u64>,
    /// Its length when it was looked at last.
    seen: u64,
}

impl<T: Taker> Shipper<T> {
    fn new(id: AttemptId, dir: JobDir, to: T) -> Self {
        Self { id, dir, to, there: None, seen: 0 }
    }

    /// Ships what there is, up to the end of its last line; and all of it when it has come to its end.
    fn ship(&mut self, end: Option<u64>) -> Result<(), Error> {
        let file = match self.dir.open(Path::new(SPOOL)) {
            Ok(file) => file,
            // The job may make it yet, or put something else there.
            Err(_) if end.is_none_or(|it| it == 0) => return Ok(()),
            Err(error) => return Err(self.local(error)),
        };
        let length = file.metadata().map_err(|it| self.local(it))?.len();
        let here = end.map_or(length, |it| it.min(length));
        if here == 0 || (here == self.seen && end.is_none()) {
            return Ok(());
        }
        self.up_to(&file, here, end.is_some())?;
        self.seen = here;
        Ok(())
    }

    fn up_to(&mut self, file: &File, here: u64, ended: bool) -> Result<(), Error> {
        let id = self.id;
        let mut there = match self.there {
            Some(there) => there,
            None => self.take(0, Vec::new(), false, Brought::default())?.length,
        };
        if there > here {
            return Err(Error::Changed { id, here, there });
        }
        let mut brought = Brought::default();
        let mut said = false; // that it ends
        while there < here {
            let most = usize::try_from(here - there).unwrap_or(PIECE).min(PIECE);
            let mut data = vec![0; most];
            let count = file.read_at(&mut data, there).map_err(|it| self.local(it))?;
            data.truncate(count);
            let reaches = there + count as u64;
            let was_brought = brought != Brought::default();
            let last = ended && reaches == here;
            let Taken { length, wanted } = self.take(there, data, last, brought)?;
            let stands = length == there;
            brought = if wanted.is_empty() { Brought::default() } else { self.bring(wanted)? };
            let waits = brought == Brought::default();
            if stands && waits && !ended {
                break; // its last line has no end yet
            }
            if length > reaches || (stands && (waits || was_brought)) {
                let source = storage::Error::OutOfOrder;
                return Err(Error::Ship { id, source });
            }
            there = length;
            said = last;
        }
        if ended && !said {
            self.take(there, Vec::new(), true, Brought::default())?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        offset: u64,
        data: Vec<u8>,
        last: bool,
        brought: Brought,
    ) -> Result<Taken, Error> {
        let id = self.id;
        self.there = None; // until it is known again
        let taken = self.to.take(Piece { id, offset, data, last, brought });
        let taken = taken.map_err(|source| Error::Ship { id, source })?;
        self.there = Some(taken.length);
        Ok(taken)
    }

    fn bring(&mut self, wanted: Vec<String>) -> Result<Brought, Error> {
        let id = self.id;
        let brought = self.to.bring(id, &self.dir, wanted);
        let brought = brought.map_err(|source| Error::Bring { id, source })?;
        for (path, why) in &brought.missing {
            tracing::warn!(job = %id, "what it saved as {path:?} is not kept: {why}");
        }
        Ok(brought)
    }

    fn local(&self, source: io::Error) -> Error {
        Error::Local { path: self.dir.path().join(SPOOL), source }
    }
}

#[cfg(test)]
mod tests;
