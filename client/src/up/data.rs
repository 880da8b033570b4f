//! The folder of one machine's Atlas: the parts' own folders, and who uses it.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use atlas_runtime::process::{InstanceLock, LockError, is_network_filesystem, write_atomic};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use super::Error;
use super::ready::Endpoints;

const ENDPOINTS: &str = "endpoints.json";
/// A clean stop takes less, also one that ends jobs with their grace.
const PATIENCE: Duration = Duration::from_secs(90);

/// A folder that this process alone uses.
#[derive(Debug)]
pub struct Data {
    path: PathBuf,
    _lock: InstanceLock,
}

/// Where a running Atlas can be reached, for scripts.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    http: String,
    grpc: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    pid: u32,
}

impl Data {
    pub fn claim(path: &Path) -> Result<Self, Error> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let failed = |source| Error::Folder { path: path.clone(), source };
        if let Some(kind) = is_network_filesystem(&path).map_err(failed)? {
            return Err(Error::Network { path, kind });
        }
        let mut make = fs::DirBuilder::new();
        make.recursive(true).mode(0o755).create(&path).map_err(failed)?;
        let lock = InstanceLock::acquire(&path, "atlas up")?;
        let data = Self { path, _lock: lock };
        for folder in [data.master(), data.node(), data.shared(), data.logs()] {
            make.create(&folder)
                .map_err(|source| Error::Folder { path: folder.clone(), source })?;
        }
        data.remove_endpoints();
        Ok(data)
    }

    pub fn master(&self) -> PathBuf {
        self.path.join("master")
    }

    pub fn node(&self) -> PathBuf {
        self.path.join("node")
    }

    pub fn shared(&self) -> PathBuf {
        self.path.join("shared")
    }

    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// Made by the master.
    pub fn token(&self) -> PathBuf {
        self.master().join("join-token")
    }

    /// Says to scripts that Atlas is up, and where.
    pub(super) fn write_endpoints(
        &self,
        endpoints: &Endpoints,
        node: Option<&str>,
    ) -> Result<(), Error> {
        let Endpoints { http, grpc } = endpoints.clone();
        let written = Written { http, grpc, node: node.map(Into::into), pid: std::process::id() };
        let text = serde_json::to_vec(&written).expect("plain values");
        let path = self.path.join(ENDPOINTS);
        write_atomic(&path, &text, 0o644, false).map_err(|source| Error::Folder { path, source })
    }

    pub fn remove_endpoints(&self) {
        // Not there is as good.
        let _ = fs::remove_file(self.path.join(ENDPOINTS));
    }
}

/// Asks the Atlas that uses this folder to stop, and waits until it has.
pub async fn stop(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Folder { path: path.to_owned(), source };
    let not_running = || Error::NotRunning { path: path.to_owned() };
    // The lock says whether somebody is there; its process may be anybody by the time a file is read.
    match InstanceLock::acquire(path, "atlas-server stop") {
        Err(LockError::Held { .. }) => {}
        Ok(_) => return Err(not_running()),
        Err(LockError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Err(not_running());
        }
        Err(error) => return Err(error.into()),
    }
    let text = fs::read(path.join(ENDPOINTS)).map_err(failed)?;
    let written: Written = serde_json::from_slice(&text).map_err(|it| failed(it.into()))?;
    let pid = i32::try_from(written.pid).ok().and_then(Pid::from_raw).ok_or_else(not_running)?;
    let process = pidfd_open(pid, PidfdFlags::NONBLOCK).map_err(|it| failed(it.into()))?;
    pidfd_send_signal(&process, Signal::TERM).map_err(|it| failed(it.into()))?;
    let ended = tokio::task::spawn_blocking(move || has_ended(&process));
    match ended.await.map_err(|it| failed(it.into()))?.map_err(failed)? {
        true => Ok(()),
        false => {
            let (pid, seconds) = (pid.as_raw_nonzero().get(), PATIENCE.as_secs());
            Err(Error::NotStopped { path: path.to_owned(), pid, seconds })
        }
    }
}

/// Waits for a process to end, for a while.
fn has_ended(process: &OwnedFd) -> io::Result<bool> {
    let until = Instant::now() + PATIENCE;
    loop {
        let left = Timespec::try_from(until.saturating_duration_since(Instant::now()))
            .map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&left)) {
            Err(Errno::INTR) => {}
            done => return Ok(done? > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_used_by_one_atlas_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let data = Data::claim(&dir.path().join("data")).unwrap();
        let error = Data::claim(&dir.path().join("data")).unwrap_err().to_string();
        assert!(error.contains("in use by atlas up (pid"), "{error}");
        drop(data);
        Data::claim(&dir.path().join("data")).unwrap();
    }

    #[tokio::test]
    async fn what_does_not_run_cannot_be_stopped() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().to_owned(), dir.path().join("none")] {
            let error = stop(&path).await.unwrap_err();
            assert!(matches!(error, Error::NotRunning { .. }), "{error}");
            assert_eq!(error.exit(), crate::exit::Exit::NO_SUCH);
        }
    }
}
