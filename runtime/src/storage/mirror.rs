//! What is not in the other folder any more goes from this one, too.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::is_denied;
use super::shipment::Left;
use crate::names::Names;
use crate::process::{Remains, remove_all_at};

/// Paths, in eight bytes each: two that look alike keep a file too many, once in a very long time.
#[derive(Default)]
pub(super) struct Offered {
    paths: HashSet<u64>,
    state: RandomState,
}

impl Offered {
    /// A path, and the folders that it lies in.
    pub(super) fn add(&mut self, path: &Path) {
        for path in path.ancestors().filter(|it| !it.as_os_str().is_empty()) {
            self.paths.insert(self.state.hash_one(path));
        }
    }

    fn has(&self, path: &Path) -> bool {
        self.paths.contains(&self.state.hash_one(path))
    }
}

/// Removes everything that was not offered from the folder at `top`. Returns what is another owner's and stays.
pub(super) fn remove_others(
    root: &OwnedFd,
    top: &Path,
    offered: &Offered,
) -> io::Result<Vec<Left>> {
    let mut left = Vec::new();
    folder(root, Path::new(""), top, offered, &mut left)?;
    Ok(left)
}

fn folder(
    here: &OwnedFd,
    path: &Path,
    top: &Path,
    offered: &Offered,
    left: &mut Vec<Left>,
) -> io::Result<()> {
    const FOLDER: OFlags =
        OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
    for names in Names::of(here)? {
        for name in names? {
            let name = OsStr::from_bytes(&name);
            let below = path.join(name);
            if !offered.has(&below) {
                match remove_all_at(here, name, &top.join(&below)) {
                    Err(Remains { source, .. }) if is_denied(&source) => {
                        left.push(not_removed(below, &source));
                    }
                    removed => removed.map_err(io::Error::other)?,
                }
                continue;
            }
            let found = match rustix::fs::statat(here, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                found => found?,
            };
            if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
                match rustix::fs::openat(here, name, FOLDER, Mode::empty()) {
                    Err(error @ (Errno::ACCESS | Errno::PERM)) => {
                        left.push(not_removed(below, &error.into()));
                    }
                    inner => folder(&inner?, &below, top, offered, left)?,
                }
            }
        }
    }
    Ok(())
}

fn not_removed(path: PathBuf, why: &io::Error) -> Left {
    Left { path, why: format!("the shared storage does not let go of it: {why}") }
}
