//! What is not in the other folder any more goes from this one, too.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::names::Names;
use crate::process::remove_all_at;

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

/// Removes everything that was not offered from the folder at `top`.
pub(super) fn remove_others(root: &OwnedFd, top: &Path, offered: &Offered) -> io::Result<()> {
    folder(root, Path::new(""), top, offered)
}

fn folder(here: &OwnedFd, path: &Path, top: &Path, offered: &Offered) -> io::Result<()> {
    const FOLDER: OFlags =
        OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
    for names in Names::of(here)? {
        for name in names? {
            let name = OsStr::from_bytes(&name);
            let below = path.join(name);
            if !offered.has(&below) {
                remove_all_at(here, name, &top.join(&below)).map_err(io::Error::other)?;
                continue;
            }
            let found = match rustix::fs::statat(here, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                found => found?,
            };
            if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
                let inner = rustix::fs::openat(here, name, FOLDER, Mode::empty())?;
                folder(&inner, &below, top, offered)?;
            }
        }
    }
    Ok(())
}
