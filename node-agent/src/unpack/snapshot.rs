//! How a job's directory looked before the job: three times, instead of a line per file.
//!
//! Every unpacked file has one and the same time of modification, some seconds in the past and exact to the nanosecond. Whatever
//! writes to a file gives it another. What a program copies or moves along with its time (`cp -p`, `shutil.copy2`, `mv`) is
//! found by its change time, which nobody can set and which lies outside of those of the unpacking. Both are read from the
//! file system itself, so that neither its resolution nor its clock matters.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Stat, Timespec, Timestamps, UTIME_OMIT};
use serde::{Deserialize, Serialize};

/// What was true of all files when they were unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    modified: Time,
    /// The change times of the first file and of the last.
    first: Time,
    last: Time,
}

/// Seconds and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Time(i64, u32);

/// Longer than any file system rounds a time.
const PAST: i64 = 3;

impl Snapshot {
    /// Takes a file that the agent itself put into the directory as part of what was unpacked.
    pub fn adopt(&mut self, dir: &Path, file: &Path) -> io::Result<()> {
        let root = super::open_root(dir)?;
        let file = atlas_runtime::storage::open(root.as_fd(), file)?;
        self.stamp(&file)?;
        let changed = Time::changed(&rustix::fs::fstat(&file)?);
        (self.first, self.last) = (self.first.min(changed), self.last.max(changed));
        Ok(())
    }

    /// Whether a file was written, made, copied or moved to where it is since.
    pub(super) fn is_changed(&self, file: &Stat) -> bool {
        Time::modified(file) != self.modified
            || !(self.first..=self.last).contains(&Time::changed(file))
    }

    /// Before the first file is made in `root`.
    pub(super) fn begin(root: impl AsFd) -> io::Result<Self> {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        rustix::fs::futimens(
            &root,
            &times(Timespec { tv_sec: now.tv_sec - PAST, tv_nsec: now.tv_nsec }),
        )?;
        let root = rustix::fs::fstat(root)?;
        let first = Time::changed(&root);
        Ok(Self { modified: Time::modified(&root), first, last: first })
    }

    /// After the last.
    pub(super) fn end(mut self, root: BorrowedFd<'_>) -> io::Result<Self> {
        rustix::fs::futimens(root, &self.times())?;
        self.last = Time::changed(&rustix::fs::fstat(root)?);
        Ok(self)
    }

    pub(super) fn stamp(&self, file: &File) -> io::Result<()> {
        Ok(rustix::fs::futimens(file, &self.times())?)
    }

    pub(super) fn stamp_link(&self, folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::utimensat(folder, name, &self.times(), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn times(&self) -> Timestamps {
        times(Timespec { tv_sec: self.modified.0, tv_nsec: self.modified.1.into() })
    }
}

impl Time {
    fn modified(file: &Stat) -> Self {
        Self(file.st_mtime, nanoseconds(file.st_mtime_nsec))
    }

    fn changed(file: &Stat) -> Self {
        Self(file.st_ctime, nanoseconds(file.st_ctime_nsec))
    }
}

fn nanoseconds(value: u64) -> u32 {
    u32::try_from(value).expect("less than a second")
}

fn times(modified: Timespec) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: modified,
    }
}
