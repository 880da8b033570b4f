//! Files of a folder that a job could write to into the archive, one after the other, a piece at a time.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use atlas_core::files::{Found, What};
use atlas_proto::CHUNK;
use atlas_runtime::storage::shipment::{Answer, Left};
use atlas_runtime::storage::{Others, open};
use rustix::fs::OFlags;
use tokio_util::sync::CancellationToken;

use super::Error;
use crate::storage::Destination;

/// Files that are offered at a time: many small ones cost a way to the master and back per so many.
const OFFERED: usize = 128;

/// Copies all of them; whatever is known of a file is what it was when it was found. Returns those that stay behind, with the reason.
pub fn all(
    from: &Path,
    found: Vec<Found>,
    mut to: Destination,
    others: Others,
    cancel: &CancellationToken,
) -> Result<Vec<Left>, Error> {
    // The folder itself may be one that a job can replace.
    let nofollow = i32::try_from(OFlags::NOFOLLOW.bits()).expect("a flag of open(2)");
    let source = File::options().read(true).custom_flags(nofollow).open(from);
    let source = source.map_err(|source| Error::Work { path: from.to_owned(), source })?;
    let mut copier = Copier { source, to: &mut to, cancel, left: Vec::new() };
    let mut found = found.into_iter();
    loop {
        let some: Vec<Found> = found.by_ref().take(OFFERED).collect();
        if some.is_empty() {
            break;
        }
        copier.copy(some)?;
    }
    let mut left = copier.left;
    left.extend(to.end(others)?);
    Ok(left)
}

struct Copier<'a> {
    source: File,
    to: &'a mut Destination,
    cancel: &'a CancellationToken,
    left: Vec<Left>,
}

/// Why a file was not copied.
enum Failure {
    /// It cannot be read: no other try will do better.
    OfTheFile(io::Error),
    /// The storage is away, or full, or the archive was ended: the same for all files.
    OfTheStorage(Error),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::OfTheStorage(error.into())
    }
}

impl Copier<'_> {
    fn copy(&mut self, some: Vec<Found>) -> Result<(), Error> {
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let reply = self.to.offer(some.clone())?;
        self.left.extend(reply.left);
        for (Found { path, what }, answer) in some.into_iter().zip(reply.answers) {
            match (answer, what) {
                (Answer::There, _) => {}
                (Answer::Refused(why), _) => self.left.push(Left { path, why }),
                (Answer::From(from), What::File(meta)) => {
                    match self.pieces(&path, from, meta.bytes) {
                        Ok(()) => {}
                        Err(Failure::OfTheStorage(error)) => return Err(error),
                        Err(Failure::OfTheFile(error)) => {
                            self.to.abandon()?;
                            self.left.push(Left { path, why: unreadable(&error) });
                        }
                    }
                }
                (Answer::From(_), What::Link(_) | What::Folder { .. }) => {
                    return Err(crate::storage::Error::OutOfOrder.into());
                }
            }
        }
        Ok(())
    }

    fn pieces(&mut self, path: &Path, from: u64, length: u64) -> Result<(), Failure> {
        let opened = open(self.source.as_fd(), path).and_then(|mut file| {
            file.seek(SeekFrom::Start(from))?;
            Ok(file)
        });
        let file = opened.map_err(Failure::OfTheFile)?;
        send(file, length.saturating_sub(from), self.to, self.cancel)
    }
}

/// No more than the file's length when it was found: something may still be writing to it.
fn send(
    mut from: impl Read,
    length: u64,
    to: &mut Destination,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let mut left = length;
    loop {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled.into());
        }
        let mut data = vec![0; usize::try_from(left).unwrap_or(CHUNK).min(CHUNK)];
        let count = from.read(&mut data).map_err(Failure::OfTheFile)?;
        data.truncate(count);
        left -= count as u64;
        let last = left == 0 || count == 0;
        to.piece(data, last)?;
        if last {
            return Ok(());
        }
    }
}

pub(super) fn unreadable(error: &io::Error) -> String {
    format!("it cannot be read: {error}")
}

#[cfg(test)]
mod tests {
    use atlas_core::files::Meta;
    use rustix::io::Errno;

    use super::*;
    use crate::paths::Shared;
    use crate::storage::Storage;

    /// A disk that is dying.
    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(Errno::IO.into())
        }
    }

    #[test]
    fn a_source_that_cannot_be_read_is_given_up() {
        let (folder, cancel) = (tempfile::tempdir().unwrap(), CancellationToken::new());
        let id: crate::paths::AttemptId = "45540b52-ffe2-44ab-9838-db467d3499c0.1".parse().unwrap();
        let shared = Shared::new(folder.path().to_owned());
        std::fs::create_dir_all(shared.job(id.job)).unwrap();
        let mut to = Storage::Mounted(shared).outputs(id, &cancel);
        let meta = Meta { bytes: 10, modified: (1, 1), mode: 0o644 };
        to.offer(vec![Found { path: "a".into(), what: What::File(meta) }]).unwrap();
        let sent = send(Broken, 10, &mut to, &cancel);
        assert!(
            matches!(sent, Err(Failure::OfTheFile(why)) if unreadable(&why).contains("Input/output error"))
        );
    }
}
