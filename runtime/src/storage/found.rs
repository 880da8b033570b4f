//! What lies in a folder that a job could write to: through no link, bounded, and a pipe that nobody writes to stops nobody.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::Meta;
use super::keeper::is_part;
use crate::names::Names;

/// Folders within folders; each is held open.
const DEEPEST: usize = 128;
const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub path: PathBuf,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    File(Meta),
    Link(PathBuf),
    Folder { mode: u32 },
}

/// Everything below a folder in the order of the paths, up to so many things; whether there were more. No folder, nothing found.
pub fn list(root: &Path, most: usize) -> io::Result<(Vec<Found>, bool)> {
    let root = match rustix::fs::open(root, FOLDER, Mode::empty()) {
        Err(Errno::NOENT) => return Ok((Vec::new(), false)),
        opened => opened?,
    };
    let mut found = Vec::new();
    let more = !folder(&root, Path::new(""), 0, most, &mut found)?;
    found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok((found, more))
}

/// False = there is more.
fn folder(
    here: &OwnedFd,
    path: &Path,
    depth: usize,
    most: usize,
    found: &mut Vec<Found>,
) -> io::Result<bool> {
    for names in Names::of(here)? {
        for name in names?.iter().filter(|it| !is_part(it)) {
            let name = OsStr::from_bytes(name);
            let stat = match rustix::fs::statat(here, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue, // gone since
                stat => stat?,
            };
            let path = path.join(name);
            let Some(what) = what(here, name, &stat)? else { continue };
            if found.len() == most || depth == DEEPEST {
                return Ok(false);
            }
            let is_folder = matches!(what, What::Folder { .. });
            found.push(Found { path: path.clone(), what });
            if is_folder {
                let inner = rustix::fs::openat(here, name, FOLDER, Mode::empty())?;
                if !folder(&inner, &path, depth + 1, most, found)? {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

/// `None` = a socket, pipe or device, which is nothing to keep.
fn what(here: &OwnedFd, name: &OsStr, stat: &Stat) -> io::Result<Option<What>> {
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Some(What::Folder { mode: stat.st_mode & 0o777 }),
        FileType::RegularFile => Some(What::File(Meta::of(stat))),
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(here, name, Vec::new())?;
            Some(What::Link(PathBuf::from(OsStr::from_bytes(target.to_bytes()))))
        }
        _ => None,
    })
}

/// Opens a regular file below a directory that a job could write to, through no link.
pub fn open(root: BorrowedFd<'_>, path: &Path) -> io::Result<File> {
    let mut folder: Option<OwnedFd> = None;
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        let Component::Normal(name) = part else { break };
        let at = folder.as_ref().map_or(root, AsFd::as_fd);
        // A pipe that nobody writes to must not stop us.
        let last = OFlags::RDONLY | OFlags::NONBLOCK;
        let kind = if parts.peek().is_some() { OFlags::PATH | OFlags::DIRECTORY } else { last };
        let opened =
            rustix::fs::openat(at, name, kind | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        if parts.peek().is_none() {
            let file = File::from(opened);
            return if file.metadata()?.is_file() { Ok(file) } else { Err(Errno::INVAL.into()) };
        }
        folder = Some(opened);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "not a path below the directory"))
}
