//! Changed files into the shared storage, one after the other, a piece at a time.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use atlas_runtime::process::remove_all_at;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use super::Error;
use super::tree::Tree;
use crate::durable;
use crate::unpack::{self, Output, OutputKind};

const BUFFER: usize = 1 << 20;

/// Copies all of them to a folder below `shared`. Returns those that stay behind, with the reason.
pub(super) fn all(
    work: &Path,
    files: &[Output],
    to: &Path,
    shared: &Path,
    cancel: &CancellationToken,
) -> Result<Vec<(PathBuf, String)>, Error> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let away = |source| Error::Write { path: to.to_owned(), source };
    let source =
        File::open(work).map_err(|source| Error::Work { path: work.to_owned(), source })?;
    let mut copier = Copier {
        source,
        to,
        tree: Tree::create(to).map_err(away)?,
        buffer: vec![0; BUFFER],
        cancel,
    };
    let (mut left, mut there) = (Vec::new(), Vec::new());
    for output in files {
        match copier.copy(output) {
            Ok(()) => there.push(to.join(&output.path)),
            Err(Failure::OfTheFile(why)) => left.push((output.path.clone(), why)),
            Err(Failure::OfTheStorage(error)) => return Err(error),
        }
    }
    durable::sync_below(shared, &there).map_err(away)?;
    Ok(left)
}

/// Why a file was not copied.
enum Failure {
    /// It cannot be read, or is such as the storage never takes: no other try will do better.
    OfTheFile(String),
    /// The storage is away, or full, or the archive was ended: the same for all files.
    OfTheStorage(Error),
}

impl Failure {
    fn read(error: &io::Error) -> Self {
        Self::OfTheFile(format!("it cannot be read: {error}"))
    }

    fn write(path: &Path, source: io::Error) -> Self {
        match Errno::from_io_error(&source) {
            Some(Errno::NAMETOOLONG | Errno::ILSEQ | Errno::INVAL | Errno::FBIG) => {
                Self::OfTheFile(format!("the shared storage does not take it: {source}"))
            }
            _ => Self::OfTheStorage(Error::Write { path: path.to_owned(), source }),
        }
    }
}

struct Copier<'a> {
    source: File,
    to: &'a Path,
    tree: Tree,
    buffer: Vec<u8>,
    cancel: &'a CancellationToken,
}

impl Copier<'_> {
    fn copy(&mut self, Output { path, kind }: &Output) -> Result<(), Failure> {
        if self.cancel.is_cancelled() {
            return Err(Failure::OfTheStorage(Error::Cancelled));
        }
        let to = self.to.join(path);
        let failed = |source| Failure::write(&to, source);
        let (folder, name) = self.tree.place(path).map_err(failed)?;
        match kind {
            OutputKind::Link { target } => link(folder, name, target, &to).map_err(failed),
            OutputKind::File { .. } => {
                let from = unpack::open(self.source.as_fd(), path)
                    .map_err(|error| Failure::read(&error))?;
                let (buffer, cancel) = (&mut self.buffer, self.cancel);
                Copy { from, folder, name, path: &to, buffer, cancel }.run()
            }
        }
    }
}

struct Copy<'a, R> {
    from: R,
    folder: &'a OwnedFd,
    name: &'a OsStr,
    /// What to call it.
    path: &'a Path,
    buffer: &'a mut [u8],
    cancel: &'a CancellationToken,
}

impl Copy<'_, File> {
    fn run(mut self) -> Result<(), Failure> {
        let meta = self.from.metadata().map_err(|error| Failure::read(&error))?;
        if self.is_there(&meta) {
            return Ok(());
        }
        let part = part(self.name);
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode =
            Mode::from_raw_mode(if meta.permissions().mode() & 0o100 != 0 { 0o755 } else { 0o644 });
        let file = rustix::fs::openat(self.folder, &part, flags, mode);
        let mut file = File::from(file.map_err(|error| self.failed(error.into()))?);
        let done = self.pieces(&mut file, meta.len()).and_then(|written| {
            self.finish(&file, &meta, written)?;
            put(self.folder, &part, self.name, self.path).map_err(|error| self.failed(error))
        });
        if let Err(Failure::OfTheFile(_)) = done {
            // No other try comes to replace it.
            let _ = rustix::fs::unlinkat(self.folder, &part, AtFlags::empty());
        }
        done
    }

    /// The time by which another try knows that it is there.
    fn finish(&self, file: &File, meta: &std::fs::Metadata, written: u64) -> Result<(), Failure> {
        let time = Timespec { tv_sec: meta.mtime(), tv_nsec: meta.mtime_nsec() };
        rustix::fs::futimens(file, &Timestamps { last_access: time, last_modification: time })
            .map_err(|error| self.failed(error.into()))?;
        let found = file.metadata().map_err(|error| self.failed(error))?.len();
        if found != written {
            let path = self.path.to_owned();
            return Err(Failure::OfTheStorage(Error::Length { path, written, found }));
        }
        Ok(())
    }

    /// An earlier try got this far.
    fn is_there(&self, meta: &std::fs::Metadata) -> bool {
        rustix::fs::statat(self.folder, self.name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|it| {
            FileType::from_raw_mode(it.st_mode) == FileType::RegularFile
                && u64::try_from(it.st_size) == Ok(meta.len())
                && it.st_mtime == meta.mtime()
                && i64::try_from(it.st_mtime_nsec) == Ok(meta.mtime_nsec())
        })
    }
}

impl<R: Read> Copy<'_, R> {
    fn failed(&self, source: io::Error) -> Failure {
        Failure::write(self.path, source)
    }

    /// No more than the file's length when it was opened: something may still be writing to it.
    fn pieces(&mut self, to: &mut impl Write, length: u64) -> Result<u64, Failure> {
        let mut left = length;
        while left > 0 {
            if self.cancel.is_cancelled() {
                return Err(Failure::OfTheStorage(Error::Cancelled));
            }
            let most = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let count =
                self.from.read(&mut self.buffer[..most]).map_err(|error| Failure::read(&error))?;
            if count == 0 {
                break;
            }
            to.write_all(&self.buffer[..count]).map_err(|error| self.failed(error))?;
            left -= count as u64;
        }
        Ok(length - left)
    }
}

fn link(folder: &OwnedFd, name: &OsStr, target: &Path, path: &Path) -> io::Result<()> {
    let part = part(name);
    match rustix::fs::unlinkat(folder, &part, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    rustix::fs::symlinkat(target, folder, &part)?;
    put(folder, &part, name, path)
}

/// Gives a file its name. A folder of that name can only be an earlier attempt's.
fn put(folder: &OwnedFd, part: &OsStr, name: &OsStr, path: &Path) -> io::Result<()> {
    let rename = || rustix::fs::renameat(folder, part, folder, name);
    match rename() {
        Err(Errno::ISDIR) => {
            remove_all_at(folder, name, path).map_err(io::Error::other)?;
            Ok(rename()?)
        }
        done => Ok(done?),
    }
}

/// Not a name that a job would choose; names are at most 255 bytes long.
fn part(name: &OsStr) -> OsString {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(name);
    format!(".atlas-{hash:016x}.part").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that is dying.
    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(Errno::IO.into())
        }
    }

    fn piece(from: impl Read, to: &mut impl Write) -> Result<u64, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let (fd, cancel) = (File::open(folder.path()).unwrap().into(), CancellationToken::new());
        let (name, path, buffer) = (OsStr::new("file"), Path::new("/s/file"), &mut [0; 16][..]);
        Copy { from, folder: &fd, name, path, buffer, cancel: &cancel }.pieces(to, 10)
    }

    #[test]
    fn a_source_that_cannot_be_read_is_given_up_and_a_storage_that_is_full_is_not() {
        let read = piece(Broken, &mut Vec::new());
        assert!(matches!(read, Err(Failure::OfTheFile(why)) if why.contains("Input/output error")));
        let mut full = File::options().write(true).open("/dev/full").unwrap();
        let write = piece(&[0; 10][..], &mut full);
        assert!(matches!(write, Err(Failure::OfTheStorage(Error::Write { .. }))));
    }
}
