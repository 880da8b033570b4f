//! What the folder of a job holds, in bytes, by what it is for.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use atlas_runtime::names::Names;
use rustix::fs::{AtFlags, CWD, FileType, Mode};

use super::tree::{DEEPEST, FOLDER};

/// Bytes of files, as long as they are. Links count nothing, and lead nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    pub log: u64,
    pub series: u64,
    pub outputs: u64,
    pub artifacts: u64,
    pub checkpoints: u64,
    pub synced: u64,
    pub tensorboard: u64,
    /// Of folders that have no word of their own.
    pub other: u64,
}

impl Sizes {
    /// Walks the folder of a job; one that is not there holds nothing. `stop` is asked with each batch of names, and ends the walk
    /// in an error.
    pub fn of(job: &Path, stop: &dyn Fn() -> bool) -> io::Result<Self> {
        let mut sizes = Self::default();
        let dir = match rustix::fs::openat(CWD, job, FOLDER, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => return Ok(sizes),
            dir => dir?,
        };
        for names in batches(&dir, stop)? {
            for name in names? {
                let bytes = one(&dir, OsStr::from_bytes(&name), DEEPEST, stop)?;
                let sum = sizes.place(&name);
                *sum = sum.saturating_add(bytes);
            }
        }
        Ok(sizes)
    }

    pub fn add(&mut self, more: &Self) {
        for (sum, bytes) in self.each_mut().into_iter().zip(more.each()) {
            *sum = sum.saturating_add(bytes);
        }
    }

    /// Of the folders of [`WRITTEN`](super::WRITTEN).
    pub fn written(&self) -> u64 {
        let Self { outputs, artifacts, checkpoints, synced, tensorboard, .. } = *self;
        [outputs, artifacts, checkpoints, synced, tensorboard]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    pub fn total(&self) -> u64 {
        self.each().into_iter().fold(0, u64::saturating_add)
    }

    fn place(&mut self, folder: &[u8]) -> &mut u64 {
        match folder {
            b"log" => &mut self.log,
            b"series" => &mut self.series,
            b"outputs" => &mut self.outputs,
            b"artifacts" => &mut self.artifacts,
            b"checkpoints" => &mut self.checkpoints,
            b"synced" => &mut self.synced,
            b"tensorboard" => &mut self.tensorboard,
            _ => &mut self.other,
        }
    }

    fn each(&self) -> [u64; 8] {
        let Self { log, series, outputs, artifacts, checkpoints, synced, tensorboard, other } =
            *self;
        [log, series, outputs, artifacts, checkpoints, synced, tensorboard, other]
    }

    fn each_mut(&mut self) -> [&mut u64; 8] {
        let Self { log, series, outputs, artifacts, checkpoints, synced, tensorboard, other } =
            self;
        [log, series, outputs, artifacts, checkpoints, synced, tensorboard, other]
    }
}

fn batches(
    dir: &OwnedFd,
    stop: &dyn Fn() -> bool,
) -> io::Result<impl Iterator<Item = io::Result<Vec<Vec<u8>>>>> {
    let names = Names::of(dir)?;
    Ok(names.map(
        move |batch| {
            if stop() { Err(io::Error::other("the master ends")) } else { batch }
        },
    ))
}

/// The bytes at or below a name. What was removed or replaced meanwhile is none: whoever asks again hears of it.
fn one(dir: &OwnedFd, name: &OsStr, depth: usize, stop: &dyn Fn() -> bool) -> io::Result<u64> {
    use rustix::io::Errno;
    let stat = match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(0),
        stat => stat?,
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(u64::try_from(stat.st_size).unwrap_or_default()),
        FileType::Directory => {
            let inner = match rustix::fs::openat(dir, name, FOLDER, Mode::empty()) {
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(0),
                inner => inner?,
            };
            let Some(depth) = depth.checked_sub(1) else {
                return Err(io::Error::other(format!("{} is nested too deeply", name.display())));
            };
            let mut sum = 0_u64;
            for names in batches(&inner, stop)? {
                for name in names? {
                    let bytes = one(&inner, OsStr::from_bytes(&name), depth, stop)?;
                    sum = sum.saturating_add(bytes);
                }
            }
            Ok(sum)
        }
        _ => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn each_folder_counts_for_what_it_is_and_links_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let (job, elsewhere) = (dir.path().join("job"), dir.path().join("elsewhere"));
        fs::create_dir_all(&elsewhere).unwrap();
        fs::write(elsewhere.join("large"), "x".repeat(1000)).unwrap();
        for (path, bytes) in [
            ("log/1.log", 1),
            ("series/1-1.seg", 2),
            ("outputs/a/b/c", 4),
            ("outputs/d", 8),
            ("artifacts/x", 16),
            ("checkpoints/x", 32),
            ("synced/data/x", 64),
            ("tensorboard/x", 128),
            ("new/x", 256),
        ] {
            let path = job.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x".repeat(bytes)).unwrap();
        }
        symlink(&elsewhere, job.join("outputs/link")).unwrap();
        symlink(elsewhere.join("large"), job.join("log/2.log")).unwrap();
        let sizes = Sizes::of(&job, &|| false).unwrap();
        let expected = Sizes {
            log: 1,
            series: 2,
            outputs: 12,
            artifacts: 16,
            checkpoints: 32,
            synced: 64,
            tensorboard: 128,
            other: 256,
        };
        assert_eq!((sizes, sizes.total(), sizes.written()), (expected, 511, 252));
        let mut written = Sizes::default();
        super::super::WRITTEN.iter().for_each(|it| *written.place(it.as_bytes()) = 1);
        assert_eq!((written.written(), written.total()), (5, 5));
        assert_eq!(Sizes::of(&dir.path().join("none"), &|| false).unwrap(), Sizes::default());
        assert!(Sizes::of(&job, &|| true).is_err(), "the walk goes on while the master ends");
        symlink(&job, dir.path().join("job-link")).unwrap();
        assert!(Sizes::of(&dir.path().join("job-link"), &|| false).is_err());
    }
}
