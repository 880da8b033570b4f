//! What the attempts before this one kept in the job's checkpoint folder, or the job that it goes on from, given back through the
//! master. It goes on where it was cut.

use std::path::PathBuf;

use atlas_core::files::{Found, Meta, What};
use atlas_proto::convert::ship::bytes_of;
use atlas_proto::wire::{self, checkpoint_part};
use atlas_runtime::storage::{Keeper, Owner};
use tokio_util::sync::CancellationToken;

use super::folder::parse;
use super::{Error, Remote};
use crate::options::JobUser;
use crate::paths::{AttemptId, JobDir};

/// Whose checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Of the attempts before.
    Own,
    /// Of the job that this one goes on from.
    Resumed,
}

/// One folder on its way back.
pub struct GiveBack {
    remote: Remote,
    id: AttemptId,
    whose: Whose,
    to: PathBuf,
    keeper: Keeper,
    cancel: CancellationToken,
    /// The last thing that came whole.
    after: PathBuf,
    file: Option<Begun>,
}

/// The file that is being written.
struct Begun {
    path: PathBuf,
    meta: Meta,
    written: u64,
}

impl GiveBack {
    pub fn new(
        remote: &Remote,
        id: AttemptId,
        whose: Whose,
        dir: &JobDir,
        user: &JobUser,
        cancel: CancellationToken,
    ) -> Self {
        let owner = Owner { uid: user.uid, gid: user.gid };
        let to = match whose {
            Whose::Own => dir.checkpoints_part(),
            Whose::Resumed => dir.resume_part(),
        };
        let keeper = Keeper::mirror(to.clone(), dir.path().to_owned(), owner);
        let (remote, after) = (remote.clone(), PathBuf::new());
        Self { remote, id, whose, to, keeper, cancel, after, file: None }
    }

    /// Goes on to the end. After an error it may be tried again. Blocks.
    pub fn run(&mut self) -> Result<(), Error> {
        let begun = self.file.as_ref().map(|it| (it.meta.into(), it.written));
        let (file, offset) = begun.unzip();
        let request = self.remote.signed(wire::FetchCheckpointsRequest {
            holder: Some(self.remote.holder(self.id)),
            after: bytes_of(&self.after),
            offset: offset.unwrap_or_default(),
            file,
            of_resumed: self.whose == Whose::Resumed,
        });
        let mut client = self.remote.client();
        let parts = self.remote.wait(&self.cancel, client.fetch_checkpoints(request))?;
        let mut parts = parts.into_inner();
        let mut first = true;
        while let Some(part) = self.remote.wait(&self.cancel, parts.message())? {
            match part.part.ok_or(Error::OutOfOrder)? {
                checkpoint_part::Part::Item(wire::CheckpointItem { item, offset }) => {
                    // The first is what is gone on with, or what there is now in its place.
                    if std::mem::take(&mut first) {
                        self.file = None;
                    }
                    self.complete()?;
                    self.item(parse(item.ok_or(Error::OutOfOrder)?)?, offset)?;
                }
                checkpoint_part::Part::Data(data) => self.data(&data)?,
            }
        }
        self.complete()
    }

    fn item(&mut self, Found { path, what }: Found, offset: u64) -> Result<(), Error> {
        let done = match what {
            What::Link(target) => self.keeper.link(&path, &target),
            What::Folder { mode } => self.keeper.folder(&path, mode),
            What::File(meta) => {
                let opened = self.keeper.open(&path, &meta, offset);
                opened.map_err(|source| Error::Write { path: self.to.join(&path), source })?;
                self.file = Some(Begun { path, meta, written: offset });
                return Ok(());
            }
        };
        done.map_err(|source| Error::Write { path: self.to.join(&path), source })?;
        self.after = path;
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> Result<(), Error> {
        let begun = self.file.as_mut().ok_or(Error::OutOfOrder)?;
        let written = self.keeper.write(data);
        written.map_err(|source| Error::Write { path: self.to.join(&begun.path), source })?;
        begun.written += data.len() as u64;
        Ok(())
    }

    /// The file that came before is whole, or was cut on the storage while it was read.
    fn complete(&mut self) -> Result<(), Error> {
        let Some(Begun { path, meta, written }) = self.file.take() else { return Ok(()) };
        if written < meta.bytes {
            let why = format!("{} has {written} of {} bytes", path.display(), meta.bytes);
            return Err(Error::Refused(why));
        }
        let finished = self.keeper.finish();
        finished.map_err(|source| Error::Write { path: self.to.join(&path), source })?;
        self.after = path;
        Ok(())
    }
}
