//! The mark by which a node knows that its `--shared` is this cluster's: a file of a random name that holds the cluster's id.
//!
//! Each start of a master makes a new one: a copy of the share, or a share that was replaced, does not have it. The name is new
//! each time, so that no cache of a network file system can answer with what was there before. Older marks stay for a day: a node
//! that has not heard of the new master yet still finds the one it knows.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use atlas_core::ClusterId;
use atlas_proto::SHARE_MARKS;
use atlas_runtime::process::write_atomic;

/// Why the shared storage could not be marked.
#[derive(Debug, thiserror::Error)]
#[error("could not mark --shared as this cluster's in {}", path.display())]
pub struct Error {
    path: PathBuf,
    source: io::Error,
}

/// An older mark is of no use any more.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Marks the shared storage, and removes marks of long ago.
pub fn mark(shared: &Path, cluster: &ClusterId) -> Result<String, Error> {
    let folder = shared.join(SHARE_MARKS);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error { path, source }
    };
    fs::create_dir_all(&folder).map_err(failed(&folder))?;
    // Agents may run as other users than the master.
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).map_err(failed(&folder))?;
    let mark = uuid::Uuid::new_v4().simple().to_string();
    let path = folder.join(&mark);
    write_atomic(&path, cluster.as_str().as_bytes(), 0o644, false).map_err(failed(&path))?;
    for entry in fs::read_dir(&folder).map_err(failed(&folder))? {
        let entry = entry.map_err(failed(&folder))?;
        let age =
            entry.metadata().and_then(|it| it.modified()).ok().and_then(|it| it.elapsed().ok());
        if age.is_some_and(|it| it > KEPT)
            && let Err(error) = fs::remove_file(entry.path())
        {
            tracing::warn!("could not remove {}: {error}", entry.path().display());
        }
    }
    Ok(mark)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn each_start_makes_a_mark_of_its_own_and_takes_those_of_long_ago_away() {
        let shared = tempfile::tempdir().unwrap();
        let cluster: ClusterId = "c-1".parse().unwrap();
        let folder = shared.path().join(SHARE_MARKS);
        let old = mark(shared.path(), &cluster).unwrap();
        let file = fs::File::options().write(true).open(folder.join(&old)).unwrap();
        file.set_modified(SystemTime::now() - 2 * KEPT).unwrap();
        let (before, present) =
            (mark(shared.path(), &cluster).unwrap(), mark(shared.path(), &cluster).unwrap());
        assert_ne!(before, present);
        assert!(!folder.join(old).exists() && folder.join(before).exists());
        assert_eq!(fs::read_to_string(folder.join(present)).unwrap(), "c-1");
    }
}
