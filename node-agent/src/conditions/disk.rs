//! Whether the node's own disk has room for another job.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use atlas_core::node::Condition;
use rustix::fs::statvfs;

use super::Conditions;

const EVERY: Duration = Duration::from_secs(30);
/// A disk that is full may have room soon: jobs end, somebody tidies up.
const AGAIN: Duration = Duration::from_secs(5);

const MB: u64 = 1_000_000;

/// Why a disk takes no more jobs.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("{} MB of {} are free, less than {} MB (--min-free): remove what is not needed there", free / MB, path.display(), least / MB)]
    Full { path: PathBuf, free: u64, least: u64 },
    #[error("{} has no room for another file (its inodes are used up): remove what is not needed there", path.display())]
    Files { path: PathBuf },
    #[error("could not ask how much room {} has", path.display())]
    Ask { path: PathBuf, source: io::Error },
}

/// Bytes that are free, if there are enough of them.
pub fn look(path: &Path, least: u64) -> Result<u64, Problem> {
    let own = || path.to_owned();
    let disk = statvfs(path).map_err(|it| Problem::Ask { path: own(), source: it.into() })?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < least {
        return Err(Problem::Full { path: own(), free, least });
    }
    // Where files are not counted there is no number of them.
    if disk.f_files > 0 && disk.f_favail == 0 {
        return Err(Problem::Files { path: own() });
    }
    Ok(free)
}

/// Looks again and again until it is dropped.
pub async fn watch(path: PathBuf, least: u64, conditions: Conditions) {
    loop {
        let folder = path.clone();
        let looked = tokio::task::spawn_blocking(move || look(&folder, least)).await;
        let trouble = looked.ok().and_then(Result::err);
        let pause = if trouble.is_some() { AGAIN } else { EVERY };
        let reason = trouble.map(|it| atlas_runtime::Chain(&it).to_string());
        conditions.set(Condition::Disk, reason);
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::small_disk::SmallDisk;

    #[test]
    fn a_full_disk_says_how_much_is_free_and_what_to_do() {
        let disk = SmallDisk::mount();
        assert!(look(disk.path(), 1000).unwrap() > 1000);
        let error = look(disk.path(), 1 << 30).unwrap_err().to_string();
        assert!(error.contains("--min-free") && error.contains("remove"), "{error}");
        disk.fill();
        assert!(matches!(look(disk.path(), 1000), Err(Problem::Full { .. })));
    }
}
