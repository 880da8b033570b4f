//! Folders below one folder, through no link.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::is_denied;

const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Folders within folders.
const DEEPEST: usize = 128;

/// A folder that files are put below.
pub(super) struct Tree {
    root: OwnedFd,
    /// Files come folder by folder, so the last one is worth keeping.
    last: Option<(std::path::PathBuf, OwnedFd)>,
}

impl Tree {
    /// Makes the folder, but not the one it is in: where that is gone, the job was deleted or the storage is away.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        match std::fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let root = rustix::fs::openat(CWD, path, FOLDER, Mode::empty()).map_err(|error| {
            let error = io::Error::from(error);
            if !is_denied(&error) {
                return error;
            }
            // An earlier attempt's, which took the rights away: not the storage's trouble, which passes.
            let why = format!("{} cannot be opened: {error}", path.display());
            io::Error::new(io::ErrorKind::InvalidInput, why)
        })?;
        Ok(Self { root, last: None })
    }

    /// The folder that `path` lies in, made if need be, and the name in it.
    pub(super) fn place<'a>(&mut self, path: &'a Path) -> io::Result<(&OwnedFd, &'a OsStr)> {
        let name = path.file_name().ok_or_else(invalid)?;
        let folder = path.parent().ok_or_else(invalid)?;
        if folder.as_os_str().is_empty() {
            return Ok((&self.root, name));
        }
        if self.last.as_ref().is_none_or(|(last, _)| last != folder) {
            self.last = Some((folder.to_owned(), self.descend(folder)?));
        }
        let (_, opened) = self.last.as_ref().expect("it was set just now");
        Ok((opened, name))
    }

    /// The folder itself, made if need be.
    pub(super) fn folder(&mut self, path: &Path) -> io::Result<OwnedFd> {
        self.descend(path)
    }

    pub(super) fn root(&self) -> &OwnedFd {
        &self.root
    }

    fn descend(&self, folder: &Path) -> io::Result<OwnedFd> {
        // All of it first: of a path that leads out, nothing is made.
        let names = folder.components().map(|part| match part {
            Component::Normal(name) => Ok(name),
            _ => Err(invalid()),
        });
        let names = names.collect::<io::Result<Vec<_>>>()?;
        if names.len() > DEEPEST {
            return Err(Errno::NAMETOOLONG.into());
        }
        let mut here = self.root.as_fd().try_clone_to_owned()?;
        for name in names {
            here = step(&here, name)?;
        }
        Ok(here)
    }
}

fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a path below the folder")
}

/// Makes and opens a folder. What an earlier attempt left there under the name, if it is no folder, goes.
fn step(here: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let open = || rustix::fs::openat(here, name, FOLDER, Mode::empty());
    let make = || match rustix::fs::mkdirat(here, name, Mode::from_raw_mode(0o777)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error),
    };
    match open() {
        Ok(folder) => Ok(folder),
        Err(Errno::NOENT) => {
            make()?;
            Ok(open()?)
        }
        Err(Errno::NOTDIR | Errno::LOOP) => {
            rustix::fs::unlinkat(here, name, AtFlags::empty())?;
            make()?;
            Ok(open()?)
        }
        Err(error) => Err(error.into()),
    }
}
