//! Whether the node's own disk has room for another job. What is only kept to be used again makes room first.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use atlas_core::node::Condition;
use rustix::fs::statvfs;

use super::Conditions;
use crate::cache::Cache;

/// Often enough that the cache makes room while a job fills the disk: what is asked costs nothing.
const EVERY: Duration = Duration::from_secs(5);

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

/// Looks, and removes of the cache what it takes. The cache has to know what is in use.
pub async fn look_after(path: PathBuf, least: u64, cache: Cache, conditions: &Conditions) {
    let looked = tokio::task::spawn_blocking(move || relieve(&path, least, &cache)).await;
    let trouble = looked.ok().and_then(Result::err);
    conditions.set(Condition::Disk, trouble.map(|it| atlas_runtime::Chain(&it).to_string()));
}

/// Looks again and again until it is dropped.
pub async fn watch(path: PathBuf, least: u64, cache: Cache, conditions: Conditions) {
    loop {
        tokio::time::sleep(EVERY).await;
        look_after(path.clone(), least, cache.clone(), &conditions).await;
    }
}

fn relieve(path: &Path, least: u64, cache: &Cache) -> Result<u64, Problem> {
    match look(path, least) {
        Err(Problem::Full { .. } | Problem::Files { .. }) => {}
        looked => return looked,
    }
    if let Err(error) = cache.evict(|_| look(path, least).is_err()) {
        tracing::warn!("could not make room on the disk: {error}");
    }
    look(path, least)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::paths::Data;
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

    #[tokio::test]
    async fn a_full_disk_is_no_trouble_as_long_as_the_cache_makes_room() {
        let disk = SmallDisk::mount();
        let data = Data::new(disk.path().to_owned());
        for folder in [data.trash(), data.bundles(), data.environments()] {
            fs::create_dir(folder).unwrap();
        }
        let cache = Cache::new(&data, u64::MAX);
        let file = |name: &str| {
            let path = data.bundles().join(name);
            fs::write(&path, [0; 100_000]).unwrap();
            path
        };
        let (used, idle, also_idle) = (file("used"), file("idle"), file("also idle"));
        let _held = cache.hold("used".into());
        disk.fill();
        let conditions = Conditions::default();
        let look = async |least| {
            look_after(disk.path().to_owned(), least, cache.clone(), &conditions).await;
            conditions.now().reason(Condition::Disk).map(str::to_owned)
        };
        assert_eq!(look(50_000).await, None);
        // No more than it takes.
        assert_eq!([&idle, &also_idle].iter().filter(|it| it.exists()).count(), 1);
        let why = look(300_000).await.unwrap();
        assert!(why.contains("--min-free"), "{why}");
        assert_eq!([&used, &idle, &also_idle].map(|it| it.exists()), [true, false, false]);
    }
}
