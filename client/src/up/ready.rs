//! When the parts serve.

use std::io;
use std::mem::MaybeUninit;
use std::path::Path;
use std::time::Duration;

use atlas_proto::wire;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use serde::Deserialize;

use super::Error;
use crate::connect::Master;

/// A node that is not there by then does not come.
const JOINS_WITHIN: Duration = Duration::from_secs(60);
/// The API has no event for a node that joins; a start may look for it.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// Where the master listens, as it wrote it.
#[derive(Clone, Debug, Deserialize)]
pub struct Endpoints {
    pub http: String,
    pub grpc: String,
}

/// What the master writes once it serves.
const ENDPOINTS: &str = "endpoints.json";

/// Removes what an earlier master wrote.
pub fn forget_endpoints(folder: &Path) -> Result<(), Error> {
    let path = folder.join(ENDPOINTS);
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::Endpoints { path, source })
        }
        _ => Ok(()),
    }
}

/// Waits for the master to say that it serves.
pub async fn endpoints(folder: &Path) -> Result<Endpoints, Error> {
    let path = folder.join(ENDPOINTS);
    let failed = |source| Error::Endpoints { path: path.clone(), source };
    let watched = folder.to_owned();
    // A master that ends instead leaves the thread to the end of this process.
    let waiting = tokio::task::spawn_blocking(move || appears(&watched, ENDPOINTS));
    waiting.await.map_err(|it| failed(it.into()))?.map_err(failed)?;
    let text = std::fs::read(&path).map_err(failed)?;
    serde_json::from_slice(&text).map_err(|it| failed(it.into()))
}

/// Waits for this machine's node to be part of the cluster.
pub async fn node(master: &Master) -> Result<wire::Node, Error> {
    let own = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let look = async {
        loop {
            if let Ok(nodes) = master.nodes().await
                && let Some(node) =
                    nodes.into_iter().find(|it| it.name == own && it.state != "away")
            {
                return node;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    let found = tokio::time::timeout(JOINS_WITHIN, look).await;
    found.map_err(|_| Error::NotJoined { seconds: JOINS_WITHIN.as_secs() })
}

/// Returns when `folder` has a file of that name.
fn appears(folder: &Path, name: &str) -> io::Result<()> {
    let changes = inotify::init(CreateFlags::CLOEXEC)?;
    inotify::add_watch(&changes, folder, WatchFlags::CREATE | WatchFlags::MOVED_TO)?;
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(&changes, &mut buffer);
    // Looked for after the watch began: it cannot come unseen.
    while !folder.join(name).exists() {
        match events.next() {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_master_wrote_is_read_as_soon_as_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let waiting = endpoints(dir.path());
        let writing = async {
            std::fs::write(dir.path().join("other"), "").unwrap();
            let text = r#"{"http":"http://127.0.0.1:1","grpc":"http://127.0.0.1:2","pid":3}"#;
            atlas_runtime::process::write_atomic(
                &dir.path().join("endpoints.json"),
                text.as_bytes(),
                0o644,
                false,
            )
        };
        let (found, written) = tokio::join!(waiting, writing);
        written.unwrap();
        assert_eq!(found.unwrap().grpc, "http://127.0.0.1:2");
        // And at once when it is there before.
        assert!(endpoints(dir.path()).await.is_ok());
        for _ in 0..2 {
            forget_endpoints(dir.path()).unwrap();
            assert!(!dir.path().join(ENDPOINTS).exists());
        }
    }
}
