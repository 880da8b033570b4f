//! What is kept of jobs on the shared storage: `jobs/<2 hex>/<id>/…`. Nothing is removed in place: it is renamed into `trash/`
//! first and removed a day later.

pub mod log;
pub mod sizes;
pub mod tree;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use atlas_core::run::Table;
use atlas_core::{Attempt, Epoch, JobId};
use atlas_runtime::Chain;
use atlas_runtime::process::remove_all;

/// How long removed things can still be got back by hand.
const KEPT_IN_TRASH: Duration = Duration::from_secs(24 * 3600);

/// The folders of a job for what it wrote. Its log, its series and what it was submitted with lie beside them.
pub const WRITTEN: [&str; 5] = ["outputs", "artifacts", "checkpoints", "synced", "tensorboard"];

/// And for its points.
pub const SERIES: &str = "series";

/// The folders of a job for all that is kept of it, beside its points.
pub fn kept() -> impl Iterator<Item = &'static str> {
    ["log"].into_iter().chain(WRITTEN)
}

/// The folders of jobs below the root of the shared storage.
#[derive(Clone, Debug)]
pub struct Archive {
    root: PathBuf,
}

impl Archive {
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Makes the folder of all jobs. Nodes make those below it and not itself: where it is missing, the share is not there.
    pub fn prepare(&self) -> io::Result<()> {
        fs::create_dir_all(self.jobs())
    }

    pub fn jobs(&self) -> PathBuf {
        self.root.join("jobs")
    }

    /// Everything that is kept of this job.
    pub fn job(&self, id: JobId) -> PathBuf {
        self.jobs().join(id.shard()).join(id.to_string())
    }

    /// The log of one attempt, as bytes.
    pub fn log(&self, id: JobId, attempt: Attempt) -> PathBuf {
        self.job(id).join("log").join(format!("{attempt}.log"))
    }

    /// The points that an attempt logged and the leader of this epoch took in.
    pub fn segment(&self, id: JobId, attempt: Attempt, epoch: Epoch) -> PathBuf {
        self.series(id).join(format!("{attempt}-{epoch}.seg"))
    }

    /// The points of a run whose job has ended.
    pub fn table(&self, id: JobId, table: &Table) -> PathBuf {
        let Table { epoch, number, .. } = table;
        self.series(id).join(format!("{epoch}-{number}.parquet"))
    }

    /// The folder of segments and tables.
    pub fn series(&self, id: JobId) -> PathBuf {
        self.job(id).join(SERIES)
    }

    /// Moves everything that is this job's out of the way, and nothing else. Nothing to move is done as well.
    pub fn trash(&self, id: JobId, epoch: Epoch) -> io::Result<()> {
        let trash = self.root.join("trash").join(epoch.to_string());
        fs::create_dir_all(&trash)?;
        set_aside(&self.job(id), &trash.join(id.to_string()))
    }

    /// Moves what the job wrote out of the way, and nothing else.
    pub fn trash_written(&self, id: JobId, epoch: Epoch) -> io::Result<()> {
        let trash = self.root.join("trash").join(epoch.to_string()).join(format!("{id}.outputs"));
        fs::create_dir_all(&trash)?;
        let job = self.job(id);
        WRITTEN.iter().try_for_each(|it| set_aside(&job.join(it), &trash.join(it)))
    }

    /// Removes what has been in the trash for a day.
    pub fn empty_trash(&self, now: SystemTime) -> io::Result<()> {
        let Some(epochs) = entries(&self.root.join("trash"))? else { return Ok(()) };
        for epoch in epochs {
            for thing in entries(&epoch)?.unwrap_or_default() {
                // Renaming does not touch a folder's own times, but its ctime: when it was moved here.
                let moved = changed(&fs::symlink_metadata(&thing)?);
                if now.duration_since(moved).is_ok_and(|age| age >= KEPT_IN_TRASH)
                    && let Err(remains) = remove_all(&thing)
                {
                    // One thing that cannot be removed keeps nothing else.
                    tracing::warn!("{}", Chain(&remains));
                }
            }
            // Fails while there is something in it, which is right.
            let _ = fs::remove_dir(&epoch);
        }
        Ok(())
    }
}

fn set_aside(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Moved before, by a master that died before it could say so; what came since is of nobody.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            remove_all(from).map_err(io::Error::other)
        }
        other => other,
    }
}

fn changed(metadata: &fs::Metadata) -> SystemTime {
    use std::os::unix::fs::MetadataExt;
    SystemTime::UNIX_EPOCH
        + Duration::from_secs(u64::try_from(metadata.ctime()).unwrap_or_default())
}

fn entries(dir: &Path) -> io::Result<Option<Vec<PathBuf>>> {
    match fs::read_dir(dir) {
        Ok(listing) => listing.map(|it| Ok(it?.path())).collect::<io::Result<_>>().map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> JobId {
        JobId::from_random([7; 16])
    }

    #[test]
    fn a_trashed_job_leaves_its_place_and_is_kept_for_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::new(dir.path().to_owned());
        let log = archive.log(id(), Attempt(1));
        fs::create_dir_all(log.parent().unwrap()).unwrap();
        fs::write(&log, "x").unwrap();
        archive.trash(id(), Epoch(3)).unwrap();
        assert!(!archive.job(id()).exists());
        let kept = dir.path().join("trash/3").join(id().to_string()).join("log/1.log");
        archive.empty_trash(SystemTime::now()).unwrap();
        assert!(kept.exists());
        archive.empty_trash(SystemTime::now() + KEPT_IN_TRASH + Duration::from_secs(5)).unwrap();
        assert!(!dir.path().join("trash/3").exists());
    }

    #[test]
    fn what_a_job_wrote_goes_and_what_is_known_of_it_stays() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::new(dir.path().to_owned());
        archive.trash_written(id(), Epoch(1)).unwrap();
        let write = |path: &str| {
            let path = archive.job(id()).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        };
        let stays = ["log/1.log", "series/1-1.seg", "git.diff"];
        stays.into_iter().for_each(write);
        for _ in 0..2 {
            WRITTEN.iter().for_each(|it| write(&format!("{it}/a/b")));
            archive.trash_written(id(), Epoch(1)).unwrap();
            assert!(WRITTEN.iter().all(|it| !archive.job(id()).join(it).exists()));
        }
        assert!(stays.iter().all(|it| archive.job(id()).join(it).exists()));
        let kept = dir.path().join(format!("trash/1/{}.outputs/synced/a/b", id()));
        assert!(kept.exists());
        archive.empty_trash(SystemTime::now() + KEPT_IN_TRASH + Duration::from_secs(5)).unwrap();
        assert!(!kept.exists());
    }

    #[test]
    fn trashing_twice_is_trashing_once() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::new(dir.path().to_owned());
        archive.trash(id(), Epoch(1)).unwrap();
        for _ in 0..2 {
            fs::create_dir_all(archive.job(id()).join("outputs")).unwrap();
            archive.trash(id(), Epoch(1)).unwrap();
            assert!(!archive.job(id()).exists());
        }
    }
}
