//! Removing what others made.

use std::ffi::{CStr, CString, OsStr};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::folder::{open_folder, reopen_folder};

/// Folders within folders that are held open; one that is deeper is moved up first.
const DEPTH: usize = 64;

/// What is still there.
#[derive(Debug)]
pub struct Remains {
    /// The first, and why.
    path: PathBuf,
    pub source: io::Error,
    more: u64,
}

/// Removes what is at `path`, a folder with all that is in it. What is not there is removed already.
///
/// Made for what a job leaves behind: no link is followed, folders without the right to write or to read are given it where
/// they are ours, no depth is too much, and one thing that cannot be removed keeps nothing else.
pub fn remove_all(path: &Path) -> Result<(), Remains> {
    let remains = |source| Remains { path: path.to_owned(), source, more: 0 };
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "the path names no file");
    let name = path.file_name().ok_or_else(|| remains(invalid()))?;
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::openat(CWD, folder, flags, Mode::empty()) {
        Ok(folder) => remove_all_at(folder, name, path),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(remains(error.into())),
    }
}

/// The same for what lies in an open folder; `path` is what to call it.
pub fn remove_all_at(folder: impl AsFd, name: &OsStr, path: &Path) -> Result<(), Remains> {
    let name = CString::new(name.as_bytes()).map_err(|error| Remains {
        path: path.to_owned(),
        source: error.into(),
        more: 0,
    })?;
    let mut removal =
        Removal { top: None, path: path.to_owned(), depth: 0, moved: 0, kept: 0, first: None };
    removal.entry(&Parent::of(folder.as_fd()), &name, FileType::Unknown);
    match removal.first {
        None => Ok(()),
        Some((path, source)) => Err(Remains { path, source, more: removal.kept - 1 }),
    }
}

struct Removal {
    /// The folder that is removed, where there is one.
    top: Option<OwnedFd>,
    /// Where we are.
    path: PathBuf,
    depth: usize,
    /// Folders that were moved up.
    moved: u64,
    /// What could not be removed, counted, and the first of it.
    kept: u64,
    first: Option<(PathBuf, io::Error)>,
}

/// The folder that something is removed from.
struct Parent<'a> {
    fd: BorrowedFd<'a>,
}

impl<'a> Parent<'a> {
    fn of(fd: BorrowedFd<'a>) -> Self {
        Self { fd }
    }

    /// Does it again with the right to write, should that be what is missing.
    fn change<T>(&self, mut change: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
        match change() {
            Err(Errno::ACCESS | Errno::PERM)
                if rustix::fs::fchmod(self.fd, Mode::from_raw_mode(0o700)).is_ok() =>
            {
                change()
            }
            done => done,
        }
    }

    fn unlink(&self, name: &CStr, flags: AtFlags) -> Result<(), Errno> {
        match self.change(|| rustix::fs::unlinkat(self.fd, name, flags)) {
            Err(Errno::NOENT) => Ok(()),
            done => done,
        }
    }
}

impl Removal {
    /// Removes something, and says whether there is less than before.
    fn entry(&mut self, parent: &Parent<'_>, name: &CStr, kind: FileType) -> bool {
        if kind != FileType::Directory {
            match parent.unlink(name, AtFlags::empty()) {
                Ok(()) => return true,
                Err(Errno::ISDIR) => {}
                Err(error) => return self.keep(error.into()),
            }
        }
        match open_folder(parent.fd, name).or_else(|error| match Errno::from_io_error(&error) {
            Some(Errno::ACCESS) => reopen_folder(parent.fd, name),
            _ => Err(error),
        }) {
            Ok(folder) if self.depth == DEPTH => self.move_up(parent, name, &folder),
            Ok(folder) => self.folder(parent, name, folder),
            Err(error) => match Errno::from_io_error(&error) {
                // No folder any more: what is there now is looked at in the next round.
                Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => true,
                _ => self.keep(error),
            },
        }
    }

    /// In rounds, since things may come while others go, and since some file systems lose their place meanwhile.
    fn folder(&mut self, parent: &Parent<'_>, name: &CStr, folder: OwnedFd) -> bool {
        if self.top.is_none() {
            self.top = folder.try_clone().ok();
        }
        let mut items = match Dir::new(folder) {
            Ok(items) => items,
            Err(error) => return self.keep(error.into()),
        };
        let (before, mut less) = (self.kept, false);
        loop {
            let progress = self.round(&mut items);
            less |= progress;
            match parent.unlink(name, AtFlags::REMOVEDIR) {
                Ok(()) => {
                    self.forget(before);
                    return true;
                }
                Err(Errno::NOTEMPTY | Errno::EXIST) if progress => self.forget(before),
                Err(_) if self.kept > before => return less, // what is in it is the reason
                Err(error) => return self.keep(error.into()) || less,
            }
            items.rewind();
        }
    }

    fn round(&mut self, items: &mut Dir) -> bool {
        let mut progress = false;
        self.depth += 1;
        while let Some(item) = items.read() {
            let (item, fd) = match (item, items.fd()) {
                (Ok(item), Ok(fd)) => (item, fd),
                (Err(error), _) | (_, Err(error)) => {
                    self.keep(error.into());
                    break;
                }
            };
            let name = item.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                self.path.push(OsStr::from_bytes(name.to_bytes()));
                progress |= self.entry(&Parent::of(fd), name, item.file_type());
                self.path.pop();
            }
        }
        self.depth -= 1;
        progress
    }

    /// Into the topmost folder, whose next round finds it.
    fn move_up(&mut self, parent: &Parent<'_>, name: &CStr, folder: &OwnedFd) -> bool {
        let Some(top) = self.top.as_ref().and_then(|it| it.try_clone().ok()) else {
            return self.keep(Errno::MFILE.into());
        };
        loop {
            self.moved += 1;
            let to = format!(".removed-{}-{}", std::process::id(), self.moved);
            // Its own right to write counts too, since its `..` changes.
            let moved = Parent::of(folder.as_fd()).change(|| {
                let both = Parent::of(top.as_fd());
                both.change(|| {
                    parent.change(|| rustix::fs::renameat(parent.fd, name, &top, to.as_str()))
                })
            });
            match moved {
                Ok(()) | Err(Errno::NOENT) => return true,
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {} // somebody's name
                Err(error) => return self.keep(error.into()),
            }
        }
    }

    /// Notes what cannot be removed: there is not less of it.
    fn keep(&mut self, error: io::Error) -> bool {
        self.kept += 1;
        if self.first.is_none() {
            self.first = Some((self.path.clone(), error));
        }
        false
    }

    /// What was kept since is tried again, or gone.
    fn forget(&mut self, before: u64) {
        self.kept = before;
        if before == 0 {
            self.first = None;
        }
    }
}

impl fmt::Display for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not remove {}", self.path.display())?;
        if self.more > 0 {
            write!(f, " and {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for Remains {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests;
