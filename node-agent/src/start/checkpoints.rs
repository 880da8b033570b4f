//! The checkpoint folder of a job: on the shared storage, the same in every attempt; or on the node's own disk, with what the
//! attempts before this one kept. Blocks.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use atlas_core::JobId;
use atlas_runtime::Chain;
use atlas_runtime::backoff::{Backoff, Policy};
use tokio_util::sync::CancellationToken;

use super::Error;
use crate::node::Node;
use crate::options::JobUser;
use crate::paths::{AttemptId, JobDir};
use crate::storage::{self, GiveBack, Remote, Storage, Whose};

/// A master that is away is waited for: nobody else could say that the job is not to start.
const RETRY: Policy =
    Policy { first: Duration::from_millis(200), max: Duration::from_secs(10), attempts: None };

/// Makes the job's folder on the shared storage.
pub(super) fn begin(node: &Node, id: AttemptId, cancel: &CancellationToken) -> Result<(), Error> {
    match &node.storage {
        Storage::Mounted(_) => node.storage.begin(id, cancel).map_err(Error::Storage),
        Storage::Master(remote) => insist(id, remote, cancel, || node.storage.begin(id, cancel)),
    }
}

/// The checkpoints of the job that this one goes on from. That it was deleted meanwhile is no node's fault.
pub(super) fn resumed(
    node: &Node,
    id: AttemptId,
    of: JobId,
    dir: &JobDir,
    cancel: &CancellationToken,
) -> Result<PathBuf, Error> {
    let path = match &node.storage {
        Storage::Mounted(shared) => {
            let path = shared.jobs();
            if !path.exists() {
                return Err(Error::Storage(storage::Error::NotThere { path }));
            }
            shared.checkpoints(of)
        }
        Storage::Master(remote) => {
            let user = &node.settings.job_user;
            let mut back = GiveBack::new(remote, id, Whose::Resumed, dir, user, cancel.clone());
            insist(id, remote, cancel, || back.run())?;
            let (part, path) = (dir.resume_part(), dir.resume());
            match fs::rename(&part, &path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::Disk { path, source: error });
                }
                _ => path,
            }
        }
    };
    if path.is_dir() { Ok(path) } else { Err(Error::ResumedGone { of }) }
}

/// Makes the folder for checkpoints.
pub(super) fn provide(
    node: &Node,
    id: AttemptId,
    dir: &JobDir,
    cancel: &CancellationToken,
) -> Result<PathBuf, Error> {
    let user = &node.settings.job_user;
    match &node.storage {
        Storage::Mounted(shared) => {
            let path = shared.checkpoints(id.job);
            make(&path, user).map_err(|source| {
                Error::Storage(storage::Error::Write { path: path.clone(), source })
            })?;
            Ok(path)
        }
        Storage::Master(remote) => {
            let mut back = GiveBack::new(remote, id, Whose::Own, dir, user, cancel.clone());
            insist(id, remote, cancel, || back.run())?;
            let (part, path) = (dir.checkpoints_part(), dir.checkpoints());
            let made = make(&part, user).and_then(|()| fs::rename(&part, &path));
            made.map_err(|source| Error::Disk { path: path.clone(), source })?;
            Ok(path)
        }
    }
}

/// Tries until it is done or refused.
fn insist(
    id: AttemptId,
    remote: &Remote,
    cancel: &CancellationToken,
    mut work: impl FnMut() -> Result<(), storage::Error>,
) -> Result<(), Error> {
    let mut backoff = Backoff::new(RETRY);
    let mut said = false;
    loop {
        match work() {
            Ok(()) => return Ok(()),
            Err(storage::Error::Cancelled) => return Err(Error::Cancelled),
            Err(error @ (storage::Error::Away(_) | storage::Error::Silent(_))) => {
                if !std::mem::replace(&mut said, true) {
                    tracing::warn!(job = %id, "{}; trying again until it works", Chain(&error));
                }
            }
            Err(error) => return Err(Error::Storage(error)),
        }
        let pause = backoff.next().expect("it never gives up");
        if remote.pause(cancel, pause).is_err() {
            return Err(Error::Cancelled);
        }
    }
}

fn make(path: &Path, user: &JobUser) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    match give(path, user) {
        // A storage that takes root's rights away: then anyone may write here.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            fs::set_permissions(path, Permissions::from_mode(0o1777))
        }
        other => other,
    }
}

fn give(path: &Path, user: &JobUser) -> io::Result<()> {
    if user.is_this_process() { Ok(()) } else { lchown(path, Some(user.uid), Some(user.gid)) }
}
