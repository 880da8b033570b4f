//! What a folder holds already: a limit on it counts that, too, however often somebody begins to fill it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::names::Names;

/// Folders within folders; each is held open.
const DEEPEST: usize = 128;

/// Bytes by path, in eight bytes each; what was only begun is among them.
#[derive(Default)]
pub struct Held {
    things: HashMap<u64, u64>,
    state: RandomState,
    bytes: u64,
}

impl Held {
    /// Looks at no more than one thing more than are allowed. No folder, nothing held. Blocks.
    pub fn look(root: &Path, most: usize) -> io::Result<Self> {
        let mut held = Self::default();
        match rustix::fs::open(root, folder_flags(), Mode::empty()) {
            Ok(root) => held.folder(&root, Path::new(""), 0, most)?,
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(held)
    }

    fn folder(&mut self, here: &OwnedFd, path: &Path, depth: usize, most: usize) -> io::Result<()> {
        for names in Names::of(here)? {
            for name in names? {
                if self.things.len() > most {
                    return Ok(());
                }
                let name = OsStr::from_bytes(&name);
                let stat = match rustix::fs::statat(here, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => continue, // gone since
                    stat => stat?,
                };
                let path = path.join(name);
                let kind = FileType::from_raw_mode(stat.st_mode);
                let is_file = kind == FileType::RegularFile;
                let bytes = if is_file { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 };
                self.things.insert(self.state.hash_one(&path), bytes);
                self.bytes = self.bytes.saturating_add(bytes);
                if kind == FileType::Directory && depth < DEEPEST {
                    match rustix::fs::openat(here, name, folder_flags(), Mode::empty()) {
                        Ok(inner) => self.folder(&inner, &path, depth + 1, most)?,
                        // Gone since, or closed to us: nothing comes into it.
                        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
        Ok(())
    }

    /// What is there of this name is replaced.
    pub(super) fn forget(&mut self, path: &Path) {
        let bytes = self.things.remove(&self.state.hash_one(path));
        self.bytes -= bytes.unwrap_or(0);
    }

    /// So much comes to it.
    pub(super) fn add(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// What was not replaced.
    pub fn things(&self) -> usize {
        self.things.len()
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}
