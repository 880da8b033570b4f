//! The mark by which a node knows that its `--shared` is this cluster's: a file of a random name that holds the cluster's id.
//!
//! Each start of a master makes a new one: a copy of the share, or a share that was replaced, does not have it. The name is new
//! each time, so that no cache of a network file system can answer with what was there before. Older marks stay for a day: a node
//! that has not heard of the new master yet still finds the one it knows.
//!
//! A share that takes nothing (full, mounted for reading) keeps no master from leading: what runs needs its leases renewed.

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use atlas_core::ClusterId;
use atlas_proto::SHARE_MARKS;
use atlas_runtime::Chain;
use atlas_runtime::process::write_atomic;
use atlas_runtime::tasks::Tasks;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};

/// Why the shared storage could not be marked.
#[derive(Debug, thiserror::Error)]
#[error("could not mark --shared as this cluster's in {}", path.display())]
struct Error {
    path: PathBuf,
    source: io::Error,
}

/// An older mark is of no use any more.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// How often the own mark is made young again, and marks of long ago are removed.
const RENEWED: Duration = Duration::from_secs(3600);
/// How soon a storage that took no mark is tried again.
const AGAIN: Duration = Duration::from_secs(30);
/// No cluster's id is longer.
const LONGEST_ID: u64 = 256;

/// This master's mark, and where it stands.
#[derive(Debug)]
pub struct Share {
    root: PathBuf,
    cluster: ClusterId,
    mark: String,
    is_there: bool,
}

impl Share {
    /// Marks the shared storage. One that cannot be written is known by the newest mark that it has of this cluster; where there is
    /// none, no node takes it for the share before [`Share::keep`] has written one.
    pub fn mark(root: &Path, cluster: &ClusterId) -> Self {
        Self::mark_as(uuid::Uuid::new_v4().simple().to_string(), root, cluster)
    }

    fn mark_as(mark: String, root: &Path, cluster: &ClusterId) -> Self {
        let (root, cluster) = (root.to_owned(), cluster.clone());
        let mut share = Self { root, cluster, mark, is_there: false };
        if let Err(error) = share.write() {
            tracing::error!("{}", Chain(&error));
            if let Some(older) = share.newest() {
                tracing::warn!("--shared is known by a mark of an earlier start, {older}");
                (share.mark, share.is_there) = (older, true);
            }
        }
        share
    }

    pub fn name(&self) -> &str {
        &self.mark
    }

    /// Until the master ends: writes the mark if it is not there yet, keeps it young and takes those of long ago away.
    pub async fn keep(mut self, tasks: Tasks) {
        loop {
            let turn = tokio::task::spawn_blocking(move || {
                self.keep_once();
                self
            });
            let Ok(kept) = turn.await else { return };
            self = kept;
            let pause = if self.is_there { RENEWED } else { AGAIN };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = tasks.cancelled() => return,
            }
        }
    }

    fn keep_once(&mut self) {
        let kept = if self.is_there { self.renew_and_tidy() } else { self.write() };
        if let Err(error) = kept {
            tracing::warn!("{}", Chain(&error));
        }
    }

    fn folder(&self) -> PathBuf {
        self.root.join(SHARE_MARKS)
    }

    fn path(&self) -> PathBuf {
        self.folder().join(&self.mark)
    }

    fn write(&mut self) -> Result<(), Error> {
        let folder = self.folder();
        // Nodes look whether they can write where jobs' folders are, and do not make it.
        for path in [&folder, &self.root.join("jobs")] {
            fs::create_dir_all(path).map_err(failed(path))?;
        }
        // Agents may run as other users than the master.
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).map_err(failed(&folder))?;
        let path = self.path();
        write_atomic(&path, self.cluster.as_str().as_bytes(), 0o644, false)
            .map_err(failed(&path))?;
        self.is_there = true;
        Ok(())
    }

    /// A mark that is gone is not written again: whoever replaced the share has to start its master on it.
    fn renew_and_tidy(&self) -> Result<(), Error> {
        let own = self.path();
        // The file server's clock, and no other, says how old marks are.
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        utimensat(CWD, &own, &times, AtFlags::empty()).map_err(|it| failed(&own)(it.into()))?;
        let present = fs::metadata(&own).and_then(|it| it.modified()).map_err(failed(&own))?;
        for (mark, made) in self.ours().map_err(failed(&self.folder()))? {
            let age = present.duration_since(made).unwrap_or_default();
            let path = self.folder().join(&mark);
            if mark != self.mark
                && age > KEPT
                && let Err(error) = fs::remove_file(&path)
            {
                tracing::warn!("could not remove {}: {error}", path.display());
            }
        }
        Ok(())
    }

    fn newest(&self) -> Option<String> {
        let marks = self.ours().ok()?;
        marks.into_iter().max_by_key(|(_, made)| *made).map(|(mark, _)| mark)
    }

    /// The marks that hold this cluster's id, and when they were made. Another cluster's master may have been started here.
    fn ours(&self) -> io::Result<Vec<(String, SystemTime)>> {
        let mut marks = Vec::new();
        for entry in fs::read_dir(self.folder())? {
            let entry = entry?;
            let Ok(mark) = entry.file_name().into_string() else { continue };
            let is_mark = mark.bytes().all(|it| it.is_ascii_alphanumeric());
            let Ok(file) = entry.metadata() else { continue };
            if is_mark
                && file.is_file()
                && let Ok(made) = file.modified()
                && self.is_ours(&entry.path())
            {
                marks.push((mark, made));
            }
        }
        Ok(marks)
    }

    fn is_ours(&self, mark: &Path) -> bool {
        let mut text = String::new();
        let read = File::open(mark).and_then(|it| it.take(LONGEST_ID).read_to_string(&mut text));
        read.is_ok() && text.trim() == self.cluster.as_str()
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(id: &str) -> ClusterId {
        id.parse().unwrap()
    }

    fn set_age(file: &Path, age: Duration) {
        let file = File::options().write(true).open(file).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    #[test]
    fn each_start_makes_a_mark_of_its_own_and_takes_those_of_long_ago_away() {
        let shared = tempfile::tempdir().unwrap();
        let mark = |id| Share::mark(shared.path(), &cluster(id));
        let (old, theirs, before, mut own) = (mark("c-1"), mark("c-2"), mark("c-1"), mark("c-1"));
        assert_ne!(before.name(), own.name());
        assert_eq!(fs::read_to_string(own.path()).unwrap(), "c-1");
        // The file server's clock is three days behind.
        for (share, days) in [(&old, 5), (&theirs, 5), (&before, 3), (&own, 3)] {
            set_age(&share.path(), days * KEPT);
        }
        set_age(&before.path(), Duration::from_secs(3600));
        own.keep_once();
        assert!(!old.path().exists(), "it was of no use any more");
        assert!(theirs.path().exists(), "another cluster's mark was removed");
        assert!(before.path().exists() && own.path().exists());
        assert!(fs::metadata(own.path()).unwrap().modified().unwrap().elapsed().unwrap() < KEPT);
        assert!(shared.path().join("jobs").is_dir());
    }

    #[test]
    fn a_share_that_takes_nothing_is_known_by_the_newest_mark_of_this_cluster() {
        let shared = tempfile::tempdir().unwrap();
        let mark = |id| Share::mark(shared.path(), &cluster(id));
        let (old, newest, theirs) = (mark("c-1"), mark("c-1"), mark("c-2"));
        set_age(&old.path(), Duration::from_secs(60));
        set_age(&newest.path(), Duration::from_secs(30));
        // No file can be put where a folder is.
        let taken = theirs.folder().join("taken").join("full");
        fs::create_dir_all(&taken).unwrap();
        let own = Share::mark_as("taken".into(), shared.path(), &cluster("c-1"));
        assert_eq!((own.name(), own.is_there), (newest.name(), true));
    }

    #[test]
    fn a_mark_that_could_not_be_written_is_written_when_the_share_takes_it() {
        let shared = tempfile::tempdir().unwrap();
        fs::write(shared.path().join(SHARE_MARKS), "in the way").unwrap();
        let mut own = Share::mark(shared.path(), &cluster("c-1"));
        own.keep_once();
        assert!(!own.is_there);
        fs::remove_file(shared.path().join(SHARE_MARKS)).unwrap();
        own.keep_once();
        assert_eq!(fs::read_to_string(own.path()).unwrap(), "c-1");
        fs::remove_file(own.path()).unwrap();
        own.keep_once();
        assert!(!own.path().exists(), "a share that was replaced counts as the cluster's");
    }
}
