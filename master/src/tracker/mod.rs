//! The tracker: takes in the spools of jobs, which come as they are, and makes runs of them.
//!
//! A piece of a spool is read, folded into the run, its points go into a segment on the shared storage and are synced; then one
//! commit holds the run, how far the spool was read and how long the segment is; then the node is answered. So every event counts
//! exactly once, whoever dies when: what was not committed is read again, from the offset that was.
//!
//! One piece of a run is taken in at a time, runs beside each other. What is remembered of a run between two pieces is what was
//! committed last, and only of runs that are live.
//!
//! When the job has ended, its segments become one table, which others read, too.

mod adopt;
mod block;
mod compact;
mod compactor;
mod envelope;
mod points;
mod segment;
pub mod series;
mod table;
mod varint;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use atlas_core::run::{Entry, Event, Relabel, Unlabelled, lines};
use atlas_core::{Attempt, Epoch, JobId, Record, Run, Timestamp};
use atlas_runtime::tasks::Tasks;
use bytes::Bytes;
use tokio::sync::oneshot;

use crate::archive::Archive;
use crate::reactor::{self, Handle};
use crate::store::{self, Store};
use crate::turns::Turns;
use block::Block;

pub use adopt::NAME as POINTS;
pub use block::Sample;
pub use compactor::Compactor;
pub use envelope::envelope;

/// Files that are asked for at once.
pub const WANTED: usize = 100;
/// Runs that are remembered; beyond, those are forgotten of which nothing is on its way.
const REMEMBERED: usize = 1024;

/// What the tracker is made of.
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub reactor: Handle,
    pub archive: Archive,
    pub epoch: Epoch,
    /// Whose turn it is to write series.
    pub turns: Turns,
    /// Whose turn it is to make one table of them.
    pub tables: Turns,
    pub tasks: Tasks,
}

/// A cheap handle.
#[derive(Clone)]
pub struct Tracker(Arc<Inner>);

struct Inner {
    parts: Parts,
    runs: Mutex<HashMap<JobId, Arc<Slot>>>,
}

/// Whoever holds it takes in a piece. What is in it was committed last; nothing = ask the store.
type Slot = tokio::sync::Mutex<Option<Arc<Run>>>;

/// A piece of an attempt's spool.
#[derive(Clone, Debug)]
pub struct Piece {
    pub job: JobId,
    pub attempt: Attempt,
    /// Where its bytes begin.
    pub offset: u64,
    pub data: Bytes,
    /// The spool ends with it.
    pub last: bool,
    /// What became of the files that it names; `None` = they are not asked for.
    pub files: Option<Files>,
}

/// What became of files that a spool names: below the job's artifacts, or why not.
#[derive(Clone, Debug, Default)]
pub struct Files {
    pub kept: BTreeSet<String>,
    pub missing: BTreeMap<String, String>,
}

/// How far a spool came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Up to where it is part of the run, which survives any death: less than the piece's end where its last line has no end yet, less
    /// than its offset where something before it is missing.
    pub length: u64,
    /// Files that are to be kept before it goes on: the next event names the first of them.
    pub wanted: Vec<String>,
}

/// Why a piece was not taken in; nothing of it counts.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not read what is known of the run")]
    Store(#[from] store::Error),
    #[error("could not write the points of job {job}")]
    Write { job: JobId, source: io::Error },
    #[error("could not make one table of the points of job {job}")]
    Compact { job: JobId, source: io::Error },
    #[error(transparent)]
    Label(#[from] Unlabelled),
    #[error(transparent)]
    Reactor(#[from] reactor::Error),
    #[error("the master is stopping")]
    Stopping,
}

impl Tracker {
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner { parts, runs: Mutex::default() }))
    }

    /// The job is being deleted: another one may have its id later.
    pub async fn forget(&self, job: JobId) {
        let slot = self.0.slot(job);
        *slot.lock().await = None;
        self.0.runs.lock().unwrap_or_else(PoisonError::into_inner).remove(&job);
    }

    /// Changes what a run is called, between two pieces.
    pub async fn relabel(&self, job: JobId, change: Relabel) -> Result<(), Error> {
        self.0.parts.reactor.takes_changes()?;
        let inner = self.0.clone();
        let (to, answer) = oneshot::channel();
        self.0.parts.tasks.spawn("relabel", async move {
            let _ = to.send(inner.relabel(job, &change).await);
        });
        let answered = self.0.parts.reactor.unless_it_refuses(answer).await?;
        answered.map_err(|_| Error::Stopping)?
    }

    /// Does something about a run that nobody tells anything of meanwhile, and that nobody calls anything else.
    pub async fn while_untouched<T>(
        &self,
        job: JobId,
        act: impl AsyncFnOnce(&Run) -> T,
    ) -> Result<T, Error> {
        let slot = self.0.slot(job);
        let held = slot.lock().await;
        let run = match &*held {
            Some(run) => run.clone(),
            None => self.0.parts.store.run(job).await?.unwrap_or_default(),
        };
        Ok(act(&run).await)
    }

    /// Takes in what of the piece is new.
    pub async fn take_in(&self, piece: Piece) -> Result<Taken, Error> {
        let inner = self.0.clone();
        let (to, answer) = oneshot::channel();
        // Goes on when nobody waits any more: a commit that is out must be known here before the next piece is looked at.
        self.0.parts.tasks.spawn("track", async move {
            // A node that is gone asks again.
            let _ = to.send(inner.take_in(piece).await);
        });
        answer.await.map_err(|_| Error::Stopping)?
    }
}

impl Inner {
    async fn take_in(&self, piece: Piece) -> Result<Taken, Error> {
        let (job, attempt, last) = (piece.job, piece.attempt, piece.last);
        let slot = self.slot(job);
        let mut held = slot.lock().await;
        // Taken out: when anything fails from here on, the store is asked again.
        let run = match held.take() {
            Some(run) => run,
            None => self.parts.store.run(job).await?.unwrap_or_default(),
        };
        let known = run.offset(attempt);
        let Some(new) = run.unread(attempt, piece.offset, piece.data.len()) else {
            *held = Some(run).filter(|_| !last);
            return Ok(Taken { length: known, wanted: Vec::new() });
        };
        let new = Piece { offset: known, data: piece.data.slice(new..), ..piece };
        let (archive, epoch) = (self.parts.archive.clone(), self.parts.epoch);
        let now = reactor::now().wall;
        let before = run.clone();
        let folded = self.parts.turns.run(move || fold(&archive, epoch, now, before, &new)).await;
        let folded = folded.map_err(|_| Error::Stopping)?;
        let (folded, wanted) = folded.map_err(|source| Error::Write { job, source })?;
        let Some(run) = folded else {
            *held = Some(run);
            return Ok(Taken { length: known, wanted });
        };
        let length = run.offset(attempt);
        self.parts.reactor.keep(vec![Record::RunChanged { id: job, run: run.clone() }]).await?;
        *held = Some(run).filter(|_| !last);
        Ok(Taken { length, wanted })
    }

    async fn relabel(&self, job: JobId, change: &Relabel) -> Result<(), Error> {
        let slot = self.slot(job);
        let mut held = slot.lock().await;
        let (run, was_held) = match held.take() {
            Some(run) => (run, true),
            None => (self.parts.store.run(job).await?.unwrap_or_default(), false),
        };
        let mut run = Arc::unwrap_or_clone(run);
        let relabelled = run.relabel(change);
        let run = Arc::new(run);
        if relabelled.is_ok() {
            self.parts.reactor.keep(vec![Record::RunChanged { id: job, run: run.clone() }]).await?;
        }
        *held = Some(run).filter(|_| was_held);
        Ok(relabelled?)
    }

    fn slot(&self, job: JobId) -> Arc<Slot> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if runs.len() >= REMEMBERED && !runs.contains_key(&job) {
            runs.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        runs.entry(job).or_default().clone()
    }
}

/// The run with the events of this piece, whose points are in a segment then; and the files that are wanted before the next one.
/// `None` = no event was taken. Blocks.
fn fold(
    archive: &Archive,
    epoch: Epoch,
    now: Timestamp,
    run: Arc<Run>,
    piece: &Piece,
) -> io::Result<(Option<Arc<Run>>, Vec<String>)> {
    let Piece { job, attempt, data, last, files, .. } = piece;
    let mut run = Arc::unwrap_or_clone(run);
    let mut block = Block::default();
    let mut wanted = Vec::new();
    let consumed = run.read(*attempt, data, *last, parse, |run, entry| {
        match standing(&entry, files.as_ref()) {
            Standing::Fine => {}
            Standing::Missing { key, why } => {
                run.left.over(Some(key), why, 1);
                return ControlFlow::Continue(());
            }
            Standing::Wanted => {
                wanted.push(path_of(&entry).unwrap_or_default().to_owned());
                return ControlFlow::Break(());
            }
        }
        if let Some(point) = run.take(*attempt, now, entry) {
            block.add(point);
        }
        ControlFlow::Continue(())
    });
    if !wanted.is_empty() {
        wanted = wanted_from(&data[consumed..]);
    }
    if consumed == 0 {
        return Ok((None, wanted));
    }
    if let Some(block) = block.encode() {
        let segment = run.attempts.entry(*attempt).or_default().segment_of(epoch);
        let path = archive.segment(*job, *attempt, epoch);
        segment::append(&archive.jobs(), &path, segment.bytes, &block)?;
        segment.bytes += block.len() as u64;
    }
    Ok((Some(Arc::new(run)), wanted))
}

/// Whether an event can be taken.
enum Standing<'a> {
    Fine,
    /// Its file could not be kept.
    Missing {
        key: &'a str,
        why: &'a str,
    },
    /// Its file is to be kept before.
    Wanted,
}

fn standing<'a>(entry: &'a Entry<'_>, files: Option<&'a Files>) -> Standing<'a> {
    let (Event::Artifact { key, path, .. }, Some(files)) = (&entry.event, files) else {
        return Standing::Fine;
    };
    match files.missing.get(path) {
        Some(why) => Standing::Missing { key, why },
        None if files.kept.contains(path) => Standing::Fine,
        None => Standing::Wanted,
    }
}

fn path_of<'a>(entry: &'a Entry<'_>) -> Option<&'a str> {
    match &entry.event {
        Event::Artifact { path, .. } => Some(path),
        _ => None,
    }
}

/// The first files that this names, each once, in the order of the lines.
fn wanted_from(rest: &[u8]) -> Vec<String> {
    let mut wanted: Vec<String> = Vec::new();
    lines::read(rest, false, true, parse, |entry| {
        if let Some(path) = path_of(&entry)
            && !wanted.iter().any(|it| it == path)
        {
            wanted.push(path.to_owned());
        }
        if wanted.len() < WANTED { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    wanted
}

/// One event, as it stands in a spool.
fn parse(line: &[u8]) -> Option<Entry<'_>> {
    serde_json::from_slice(line).ok()
}
