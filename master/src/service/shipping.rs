//! What nodes without the shared storage have the master write and read for them. The join token is everybody's: which attempt is
//! whose is for the cluster to say.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use atlas_core::cluster::Rejection;
use atlas_core::files::Found;
use atlas_core::{JobId, JobState};
use atlas_proto::CHUNK;
use atlas_proto::convert::ship::Holder;
use atlas_runtime::storage::{self, Keeper, Owner, Shipment, log};
use bytes::Bytes;

use super::{Error, Filling, Service};
use crate::store::StoredJob;
use crate::turns::Turns;

/// Things in a checkpoint folder that are given to the next attempt.
const MOST_CHECKPOINTS: usize = 100_000;
/// An index has no more entries than its log has bytes.
const INDEX_ENTRY: u64 = 16;

/// What is shipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folder {
    Outputs,
    /// What the job saved, while it runs.
    Artifacts,
    /// And whom the jobs of the node run as.
    Checkpoints(Owner),
}

/// Whose folder is filled, by whom.
#[derive(Clone, Debug)]
pub enum Shipped {
    /// By the node that has the attempt.
    Attempt { holder: Holder, folder: Folder },
    /// Of a job that comes from another cluster and is not here yet.
    Import { job: JobId, folder: &'static str },
}

/// The two files of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFile {
    Text,
    Index,
}

impl Service {
    /// Makes the folder of a job whose attempt is about to start or to be archived, here and nowhere else: where it is gone at any
    /// other time the job was deleted.
    pub async fn begin_attempt(&self, holder: &Holder) -> Result<(), Error> {
        let job = self.held(holder).await?;
        let now = job.status.state.placement().is_some_and(|it| it.attempt == holder.attempt);
        if !now {
            return Err(not_held(holder));
        }
        let path = self.archive.job(holder.job);
        run(&self.storage.appends, "make the job's folder", move || std::fs::create_dir_all(path))
            .await
    }

    /// Appends to the log of an attempt that the node has or had; the bytes that are there.
    pub async fn append_log(
        &self,
        holder: &Holder,
        file: LogFile,
        offset: u64,
        data: Bytes,
    ) -> Result<u64, Error> {
        let job = self.held(holder).await?;
        let end = offset.saturating_add(data.len() as u64);
        if let Some(ended) = job.status.state.end()
            && job.status.attempt == holder.attempt
        {
            let most = match file {
                LogFile::Text => ended.log_length,
                LogFile::Index => ended.log_length.saturating_add(1).saturating_mul(INDEX_ENTRY),
            };
            if end > most {
                let why = format!("ends at byte {end}, and {most} bytes were announced");
                return Err(Error::invalid("data", why));
            }
        }
        let text = self.archive.log(holder.job, holder.attempt);
        let path = match file {
            LogFile::Text => text,
            LogFile::Index => text.with_extension("idx"),
        };
        let append = move || log::append(&path, offset, &data);
        let there = run(&self.storage.appends, "append to the log", append).await?;
        if there < offset {
            let why = format!("{offset} is beyond the {there} bytes that are there");
            return Err(Error::invalid("offset", why));
        }
        Ok(there)
    }

    /// What was appended survives the death of the storage's machine.
    pub async fn sync_log(&self, holder: &Holder) -> Result<(), Error> {
        self.held(holder).await?;
        let text = self.archive.log(holder.job, holder.attempt);
        let (top, index) = (self.archive.jobs(), text.with_extension("idx"));
        run(&self.storage.appends, "sync the log", move || log::sync(&top, text, index)).await
    }

    /// Begins to receive files.
    pub async fn shipment(&self, of: &Shipped) -> Result<(Filling, Shipment), Error> {
        self.may_ship(of).await?;
        let top = self.archive.jobs();
        let (filled, keeper) = match of {
            Shipped::Attempt { holder, folder } => {
                let job = self.archive.job(holder.job);
                let (to, owner) = match folder {
                    Folder::Outputs => (job.join("outputs"), None),
                    Folder::Artifacts => (job.join("artifacts"), None),
                    Folder::Checkpoints(owner) => (job.join("checkpoints"), Some(*owner)),
                };
                let keeper = match owner {
                    None => Keeper::new(to.clone(), top),
                    Some(owner) => Keeper::mirror(to.clone(), top, owner),
                };
                (to, keeper)
            }
            // One folder at a time, and none while the job becomes one of this cluster's.
            Shipped::Import { job, folder } => {
                let job = self.archive.job(*job);
                (job.clone(), Keeper::whole(job.join(folder), top))
            }
        };
        let filling = self.fillings.begin(&filled).await;
        let most = self.max_output;
        let is_new = matches!(of, Shipped::Import { .. });
        let begin = move || {
            if is_new {
                std::fs::create_dir_all(&filled).map_err(Error::io("make the job's folder"))?;
            }
            Shipment::bounded(keeper, most).map_err(Error::io("look into the archive"))
        };
        let shipment = self.fill(of, &filling, begin).await??;
        Ok((filling, shipment))
    }

    /// A piece of work in a folder that is being filled, if it still is the asker's to fill when its turn has come: the job may have
    /// been placed anew since the shipment began.
    pub async fn fill<T: Send + 'static>(
        &self,
        of: &Shipped,
        filling: &Filling,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let superseded = || Error::Unavailable("somebody has begun to ship it anew".into());
        let alone = filling.alone().await.ok_or_else(superseded)?;
        let turn = self.storage.shipments.turn().await;
        self.may_ship(of).await?;
        let work = move || {
            let _alone = alone; // also when nobody waits for the work any more
            work()
        };
        turn.run(work).await.map_err(|it| Error::Unavailable(it.to_string()))
    }

    async fn may_ship(&self, of: &Shipped) -> Result<(), Error> {
        match of {
            Shipped::Attempt { holder, folder } => self.ships(holder, *folder).await,
            Shipped::Import { job, folder: _ } => match self.store.job(*job).await? {
                None => Ok(()),
                Some(_) => Err(Error::Rejected(Rejection::IdTaken(*job))),
            },
        }
    }

    /// Refuses what is not the node's to ship, now.
    async fn ships(&self, holder: &Holder, folder: Folder) -> Result<(), Error> {
        let job = self.held(holder).await?;
        let state = &job.status.state;
        let ships = match (folder, state) {
            (Folder::Outputs, JobState::Archiving { .. }) => true,
            // Given up, but nobody else has begun with them.
            (Folder::Checkpoints(_), JobState::Queued { .. }) => true,
            (Folder::Checkpoints(_) | Folder::Artifacts, _) => state.placement().is_some(),
            (Folder::Outputs, _) => false,
        };
        let now = job.status.attempt;
        let is_its_own = ships && now == holder.attempt;
        // The next one is the same node's, which does not begin it before this one has handed over.
        let is_before_its_own = matches!(
            (folder, state),
            (Folder::Checkpoints(_), JobState::Placed { placement, .. })
                if placement.node == holder.node && now == holder.attempt.next()
        );
        if is_its_own || is_before_its_own { Ok(()) } else { Err(not_held(holder)) }
    }

    /// What is in the checkpoint folder, for an attempt that is about to start; or in that of the job that it goes on from.
    pub async fn checkpoints(
        &self,
        holder: &Holder,
        of_resumed: bool,
    ) -> Result<(PathBuf, Vec<Found>), Error> {
        let job = self.starting(holder).await?;
        let of = match (of_resumed, job.spec.resumes()) {
            (false, _) => job.id,
            (true, Some(resumed)) => resumed,
            (true, None) => return Err(not_held(holder)),
        };
        self.kept_checkpoints(of).await
    }

    /// Where they are, and all of them.
    pub(super) async fn kept_checkpoints(&self, of: JobId) -> Result<(PathBuf, Vec<Found>), Error> {
        let path = self.archive.job(of).join("checkpoints");
        let root = path.clone();
        let list = move || storage::list(&root, MOST_CHECKPOINTS);
        let listed = run(&self.storage.fetches, "list the checkpoints", list).await;
        let listed = listed.map_err(|it| it.of_checkpoint(path.clone()))?;
        if !listed.is_all() {
            return Err(Error::TooManyCheckpoints { job: of, most: MOST_CHECKPOINTS });
        }
        Ok((path, listed.found))
    }

    /// A file below a folder that a job wrote to.
    pub async fn open_below(&self, root: &Path, path: &Path) -> Result<Source, Error> {
        let (root, path) = (root.to_owned(), path.to_owned());
        let named = root.join(&path);
        let open = move || storage::open(File::open(root)?.as_fd(), &path);
        let opened = run(&self.storage.fetches, "open the checkpoint", open).await;
        opened.map(Source::whole).map_err(|it| it.of_checkpoint(named))
    }

    /// The next bytes of a file; none at its end.
    pub async fn piece(&self, from: Source, offset: u64) -> Result<(Source, Bytes), Error> {
        let read = move || {
            let left = usize::try_from(from.end.saturating_sub(offset)).unwrap_or(CHUNK);
            let mut data = vec![0; left.min(CHUNK)];
            let read = from.file.read_at(&mut data, offset)?;
            data.truncate(read);
            Ok((from, Bytes::from(data)))
        };
        run(&self.storage.fetches, "read the file", read).await
    }

    /// The job, if the node of this identity has this attempt or had it.
    pub(super) async fn held(&self, holder: &Holder) -> Result<StoredJob, Error> {
        let Holder { node, identity, job, attempt } = holder;
        if !self.reactor.knows(node.clone(), identity.clone()).await? {
            return Err(not_held(holder));
        }
        let job = self.store.job(*job).await?.ok_or_else(|| Error::NoJob(job.to_string()))?;
        let deleting = matches!(job.status.state, JobState::Deleting { .. });
        if job.status.had(*attempt, node) && !deleting { Ok(job) } else { Err(not_held(holder)) }
    }

    async fn starting(&self, holder: &Holder) -> Result<StoredJob, Error> {
        let job = self.held(holder).await?;
        let now = job.status.state.holds_resources() && job.status.attempt == holder.attempt;
        if now { Ok(job) } else { Err(not_held(holder)) }
    }
}

/// A file that is being read, between two pieces.
pub struct Source {
    pub(super) file: File,
    /// Nothing from here on is sent.
    pub(super) end: u64,
}

impl Source {
    fn whole(file: File) -> Self {
        Self { file, end: u64::MAX }
    }
}

fn not_held(holder: &Holder) -> Error {
    let Holder { node, job, attempt, .. } = holder;
    Error::NotHeld { node: node.clone(), job: *job, attempt: *attempt }
}

pub(super) async fn run<T: Send + 'static>(
    turns: &Turns,
    what: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let done = turns.run(work).await.map_err(|it| Error::Unavailable(it.to_string()))?;
    done.map_err(Error::io(what))
}
