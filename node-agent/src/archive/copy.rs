//! Changed files into the shared storage, one after the other, a piece at a time.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use super::Error;
use super::tree::Tree;
use crate::unpack::{self, Output, OutputKind};

const BUFFER: usize = 1 << 20;

/// Copies all of them. Returns those that could not be read any more, with the reason.
pub(super) fn all(
    work: &Path,
    files: &[Output],
    to: &Path,
    cancel: &CancellationToken,
) -> Result<Vec<(PathBuf, String)>, Error> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |path: &Path, source| Error::Write { path: to.join(path), source };
    let source =
        File::open(work).map_err(|source| Error::Write { path: work.to_owned(), source })?;
    let mut tree = Tree::create(to).map_err(|source| failed(Path::new(""), source))?;
    let mut buffer = vec![0; BUFFER];
    let mut unreadable = Vec::new();
    for Output { path, kind } in files {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let (folder, name) = tree.place(path).map_err(|source| failed(path, source))?;
        match kind {
            OutputKind::Link { target } => {
                link(folder, name, target).map_err(|source| failed(path, source))?;
            }
            OutputKind::File { .. } => match unpack::open(source.as_fd(), path) {
                Ok(from) => {
                    let mut copy = Copy { from, folder, name, buffer: &mut buffer, cancel };
                    copy.run(&to.join(path))?;
                }
                Err(error) => unreadable.push((path.clone(), error.to_string())),
            },
        }
    }
    sync(to).map_err(|source| failed(Path::new(""), source))?;
    Ok(unreadable)
}

/// The work directory goes when this is done, so what was written must outlive the machine's death.
fn sync(to: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(to)?)?)
}

struct Copy<'a> {
    from: File,
    folder: &'a OwnedFd,
    name: &'a OsStr,
    buffer: &'a mut [u8],
    cancel: &'a CancellationToken,
}

impl Copy<'_> {
    fn run(&mut self, path: &Path) -> Result<(), Error> {
        let failed = |source| Error::Write { path: path.to_owned(), source };
        let meta = self.from.metadata().map_err(failed)?;
        if self.is_there(&meta) {
            return Ok(());
        }
        let part = part(self.name);
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode =
            Mode::from_raw_mode(if meta.permissions().mode() & 0o100 != 0 { 0o755 } else { 0o644 });
        let file = rustix::fs::openat(self.folder, &part, flags, mode)
            .map_err(|error| failed(error.into()))?;
        let mut file = File::from(file);
        let written = self.pieces(&mut file, path)?;
        let time = Timespec { tv_sec: meta.mtime(), tv_nsec: meta.mtime_nsec() };
        rustix::fs::futimens(&file, &Timestamps { last_access: time, last_modification: time })
            .map_err(|error| failed(error.into()))?;
        let found = file.metadata().map_err(failed)?.len();
        if found != written {
            return Err(Error::Length { path: path.to_owned(), written, found });
        }
        put(self.folder, &part, self.name).map_err(failed)
    }

    /// No more than the file's present length: something may still be writing to it.
    fn pieces(&mut self, to: &mut File, path: &Path) -> Result<u64, Error> {
        let failed = |source| Error::Write { path: path.to_owned(), source };
        let mut left = self.from.metadata().map_err(failed)?.len();
        let mut written = 0;
        while left > 0 {
            if self.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let most = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = self.from.read(&mut self.buffer[..most]).map_err(failed)?;
            if count == 0 {
                break;
            }
            to.write_all(&self.buffer[..count]).map_err(failed)?;
            written += count as u64;
            left -= count as u64;
        }
        Ok(written)
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

fn link(folder: &OwnedFd, name: &OsStr, target: &Path) -> io::Result<()> {
    let part = part(name);
    match rustix::fs::unlinkat(folder, &part, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    rustix::fs::symlinkat(target, folder, &part)?;
    put(folder, &part, name)
}

/// Gives a file its name. A folder of that name can only be an earlier attempt's.
fn put(folder: &OwnedFd, part: &OsStr, name: &OsStr) -> io::Result<()> {
    Ok(rustix::fs::renameat(folder, part, folder, name)?)
}

/// Not a name that a job would choose; names are at most 255 bytes long.
fn part(name: &OsStr) -> OsString {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(name);
    format!(".atlas-{hash:016x}.part").into()
}
