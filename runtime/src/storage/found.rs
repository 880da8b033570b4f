//! What lies in a folder that a job could write to: through no link, bounded, and a pipe that nobody writes to stops nobody.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use atlas_core::files::{Found, LONGEST_PATH, Meta, What};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::keeper::is_part;
use crate::names::Names;

/// Folders within folders; each is held open.
const DEEPEST: usize = 128;
const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What was found in a folder, and what was not looked at.
#[derive(Debug, Default)]
pub struct Listed {
    /// In the order of the paths.
    pub found: Vec<Found>,
    /// Folders that lie too deep, and what has too long a path.
    pub too_deep: Vec<PathBuf>,
    /// There are more things than were to be listed: which are missing is chance.
    pub more: bool,
}

impl Listed {
    pub fn is_all(&self) -> bool {
        !self.more && self.too_deep.is_empty()
    }
}

/// Everything below a folder, up to so many things. No folder, nothing found.
pub fn list(root: &Path, most: usize) -> io::Result<Listed> {
    let mut listed = Listed::default();
    let root = match rustix::fs::open(root, FOLDER, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(listed),
        opened => opened?,
    };
    listed.more = !folder(&root, Path::new(""), 0, most, &mut listed)?;
    listed.found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(listed)
}

/// False = there is more.
fn folder(
    here: &OwnedFd,
    path: &Path,
    depth: usize,
    most: usize,
    listed: &mut Listed,
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
            if listed.found.len() + listed.too_deep.len() == most {
                return Ok(false);
            }
            let is_folder = matches!(what, What::Folder { .. });
            if path.as_os_str().len() > LONGEST_PATH || (is_folder && depth == DEEPEST) {
                listed.too_deep.push(path);
                continue;
            }
            listed.found.push(Found { path: path.clone(), what });
            if is_folder {
                let inner = rustix::fs::openat(here, name, FOLDER, Mode::empty())?;
                if !folder(&inner, &path, depth + 1, most, listed)? {
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
        FileType::RegularFile => Some(What::File(meta(stat))),
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(here, name, Vec::new())?;
            Some(What::Link(PathBuf::from(OsStr::from_bytes(target.to_bytes()))))
        }
        _ => None,
    })
}

pub(super) fn meta(of: &Stat) -> Meta {
    Meta {
        bytes: u64::try_from(of.st_size).unwrap_or_default(),
        modified: (of.st_mtime, u32::try_from(of.st_mtime_nsec).unwrap_or_default()),
        mode: of.st_mode & 0o777,
    }
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_lies_too_deep_is_left_out_alone_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let deep = vec!["d"; DEEPEST + 2].join("/");
        fs::create_dir_all(folder.path().join(&deep)).unwrap();
        for beside in ["d/a", "z"] {
            fs::write(folder.path().join(beside), "x").unwrap();
        }
        let listed = list(folder.path(), 1000).unwrap();
        let deepest = &deep[..deep.len() - 2];
        assert_eq!(listed.too_deep, [Path::new(deepest)]);
        assert_eq!((listed.found.len(), listed.more, listed.is_all()), (DEEPEST + 2, false, false));
        let names =
            |listed: &Listed, name: &str| listed.found.iter().any(|it| it.path == Path::new(name));
        assert!(names(&listed, "d/a") && names(&listed, "z"));
        fs::remove_dir_all(folder.path().join("d")).unwrap();
        assert!(list(folder.path(), 1).unwrap().is_all());
        assert!(!list(folder.path(), 0).unwrap().is_all());
    }

    #[test]
    fn a_path_that_is_too_long_is_left_out_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut here = rustix::fs::open(folder.path(), FOLDER, Mode::empty()).unwrap();
        let name = "n".repeat(250);
        for _ in 0..17 {
            rustix::fs::mkdirat(&here, &name, Mode::from_raw_mode(0o755)).unwrap();
            here = rustix::fs::openat(&here, &name, FOLDER, Mode::empty()).unwrap();
        }
        let listed = list(folder.path(), 1000).unwrap();
        assert_eq!((listed.found.len(), listed.too_deep.len()), (16, 1));
    }
}
