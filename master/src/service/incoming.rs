//! Files that come by themselves, in pieces, from a job that runs or a run outside the scheduler: what the latter saved, and what
//! is shown while it is written.

use std::io;
use std::path::{Path, PathBuf};

use atlas_core::access::{By, Denied, Verb, allow};
use atlas_core::run::stays_below;
use atlas_core::{Identity, JobId, JobState};
use atlas_runtime::storage::incoming::{self, Announced, Come};
use atlas_runtime::storage::{Held, is_part};
use bytes::Bytes;

use super::filling::Alone;
use super::{Error, Service};
use crate::store::StoredJob;

/// The folder of a job for what it saved.
pub(super) const ARTIFACTS: &str = "artifacts";
/// And for what TensorBoard shows.
const TENSORBOARD: &str = "tensorboard";
/// Files and folders of one such folder.
const MOST: usize = 100_000;

/// How far a file has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes that are there.
    pub offset: u64,
    /// It has its name.
    pub whole: bool,
}

impl Service {
    /// Takes in a piece of a file that a run outside the scheduler saved.
    pub async fn put_artifact(
        &self,
        who: &Identity,
        run: &str,
        file: Announced,
        offset: u64,
        data: Bytes,
    ) -> Result<Received, Error> {
        let (job, _) = self.heard(who, run).await?;
        below("path", &file.path)?;
        self.receive(job, ARTIFACTS, file, offset, data).await
    }

    /// Makes a folder that a run outside the scheduler saved, for it may be empty.
    pub async fn put_artifact_folder(
        &self,
        who: &Identity,
        run: &str,
        path: PathBuf,
    ) -> Result<(), Error> {
        let (job, _) = self.heard(who, run).await?;
        below("path", &path)?;
        let to = self.archive.job(job).join(ARTIFACTS);
        let most = self.max_output;
        self.alone(&to.clone(), self.goes_on(job), "make the folder", move || {
            has_room(&to, most, 0)?;
            Ok(incoming::make_folder(&to, &path)?)
        })
        .await
    }

    /// Appends to a file that TensorBoard reads. Returns the bytes that are there.
    pub async fn append_tensorboard(
        &self,
        who: &Identity,
        job: &str,
        path: PathBuf,
        (offset, anew): (u64, bool),
        data: Bytes,
    ) -> Result<u64, Error> {
        let job = self.running(who, job).await?;
        below("path", &path)?;
        let to = self.archive.job(job).join(TENSORBOARD);
        let most = self.max_output;
        self.alone(&to.clone(), self.goes_on(job), "append to the file", move || {
            has_room(&to, most, data.len() as u64)?;
            Ok(incoming::append(&to, &path, offset, &data, anew)?)
        })
        .await
    }

    /// Takes in a piece of a file into a folder of a job.
    pub(super) async fn receive(
        &self,
        job: JobId,
        folder: &str,
        file: Announced,
        offset: u64,
        data: Bytes,
    ) -> Result<Received, Error> {
        let to = self.archive.job(job).join(folder);
        let (top, most, bytes) = (self.archive.jobs(), self.max_output, file.bytes);
        let come = self
            .alone(&to.clone(), self.goes_on(job), "keep the file", move || {
                has_room(&to, most, if offset == 0 { bytes } else { data.len() as u64 })?;
                Ok(incoming::take(&to, &top, &file, offset, &data)?)
            })
            .await?;
        match come {
            Come::Whole => Ok(Received { offset: bytes, whole: true }),
            Come::UpTo(offset) => Ok(Received { offset, whole: false }),
            Come::Differs => {
                let why = "is not that of the bytes that came: send the file again";
                Err(Error::invalid("sha256", why))
            }
        }
    }

    /// A job or run that goes on, of which somebody may keep something.
    pub(super) async fn running(&self, who: &Identity, job: &str) -> Result<JobId, Error> {
        allow(who, Verb::Change)?;
        let job = self.find(job).await?;
        if let By::Job { job: own, .. } = who.by
            && own != job.id
        {
            // It has the rights of its submitter, who has no reason to write into another job from here.
            return Err(Error::Denied(Denied { who: format!("job {own}"), verb: Verb::Change }));
        }
        if goes_on(&job) { Ok(job.id) } else { Err(Error::NotRunning(job.id)) }
    }

    /// Of a job that has ended meanwhile nothing more is kept: what it wrote may be gone already.
    pub(super) async fn goes_on(&self, job: JobId) -> Result<(), Error> {
        let stored = self.store.job(job).await?;
        if stored.is_some_and(|it| goes_on(&it)) { Ok(()) } else { Err(Error::NotRunning(job)) }
    }

    /// A piece of work in a folder of a job that nobody else writes to meanwhile, if it still may be done when its turn has come.
    pub(super) async fn alone<T: Send + 'static>(
        &self,
        folder: &Path,
        still: impl Future<Output = Result<(), Error>>,
        what: &str,
        work: impl FnOnce() -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, Error> {
        let alone = self.alone_in(folder).await;
        let turn = self.storage.shipments.turn().await;
        still.await?;
        let work = move || {
            let _alone = alone; // also when nobody waits for the work any more
            work()
        };
        let done = turn.run(work).await;
        match done.map_err(|it| Error::Unavailable(it.to_string()))? {
            Ok(done) => Ok(done),
            Err(Failed::Invalid(field, why)) => Err(Error::invalid(field, why)),
            // Whoever asks for what cannot be is told so; the storage's own troubles have numbers.
            Err(Failed::Storage(error))
                if error.kind() == io::ErrorKind::InvalidInput
                    && error.raw_os_error().is_none() =>
            {
                Err(Error::invalid("path", error.to_string()))
            }
            Err(Failed::Storage(error)) if atlas_runtime::storage::is_of_the_file(&error) => {
                Err(Error::invalid("path", format!("the shared storage does not take it: {error}")))
            }
            Err(Failed::Storage(error)) => Err(Error::io(what)(error)),
        }
    }

    /// Whoever works there ends first.
    pub(crate) async fn alone_in(&self, folder: &Path) -> Alone {
        loop {
            // Somebody else may begin between the two.
            if let Some(alone) = self.fillings.begin(folder).await.alone().await {
                return alone;
            }
        }
    }
}

fn goes_on(job: &StoredJob) -> bool {
    let state = &job.status.state;
    state.holds_resources() || matches!(state, JobState::Outside { .. })
}

/// Why a piece of work was not done.
pub(super) enum Failed {
    /// A field and what is wrong with it.
    Invalid(&'static str, String),
    Storage(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Storage(error)
    }
}

/// Whether so many bytes more may come into a folder. What was begun counts.
pub(super) fn has_room(folder: &Path, most: u64, bytes: u64) -> Result<(), Failed> {
    let held = Held::look(folder, MOST)?;
    if held.things() > MOST {
        return Err(Failed::Invalid("path", format!("the job keeps more than {MOST} such files")));
    }
    if held.bytes().saturating_add(bytes) > most {
        let why =
            "with what the job keeps there, they are more than --max-output of the master allows";
        return Err(Failed::Invalid("bytes", why.into()));
    }
    Ok(())
}

/// Refuses a path that leads elsewhere, or has a name that we give to what is on its way.
pub(super) fn below(field: &str, path: &Path) -> Result<(), Error> {
    let text = path.to_str().unwrap_or_default();
    let is_ours = text.split('/').any(|it| is_part(it.as_bytes()));
    if stays_below(text) && !is_ours {
        Ok(())
    } else {
        Err(Error::invalid(field, "is too long, or leads out of its folder"))
    }
}
