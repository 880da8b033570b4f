//! Who this node is: a random name kept on its disk, and the number of the machine's present start.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use atlas_core::{ClusterId, Epoch, Revision};
use atlas_runtime::process::write_atomic;

use crate::paths::Data;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What tells this node from another of the same name, and this start of its machine from the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub node: String,
    pub boot_id: String,
}

/// Why the node does not know who it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not {what} {}", path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{} holds no cluster id ({why}); if this node belongs to no cluster, remove the file", path.display())]
    Cluster { path: PathBuf, why: String },
}

impl Identity {
    /// Reads the node's identity, or makes one at its first start.
    pub fn load(data: &Data) -> Result<Self, Error> {
        let boot_id = read(Path::new(BOOT_ID))?.unwrap_or_default().trim().to_owned();
        let path = data.identity();
        if let Some(node) = read(&path)?.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty())
        {
            return Ok(Self { node, boot_id });
        }
        let node = uuid::Uuid::new_v4().to_string();
        write_atomic(&path, node.as_bytes(), 0o600, true).map_err(|source| Error::File {
            what: "write",
            path,
            source,
        })?;
        Ok(Self { node, boot_id })
    }
}

impl Identity {
    /// The node's own name, if it has one yet.
    pub fn try_node(data: &Data) -> Option<String> {
        let text = read(&data.identity()).ok().flatten()?;
        Some(text.trim().to_owned()).filter(|it| !it.is_empty())
    }
}

/// The cluster that this node joined before, if it ever did.
pub fn cluster(data: &Data) -> Result<Option<ClusterId>, Error> {
    let path = data.cluster();
    let Some(text) = read(&path)? else { return Ok(None) };
    let id = text.trim().parse();
    id.map(Some)
        .map_err(|why: atlas_core::id::Invalid| Error::Cluster { path, why: why.to_string() })
}

/// The last commit of this cluster that this node heard of; no commit at all where nothing of it can be read.
pub fn seen(data: &Data, cluster: &ClusterId) -> (Epoch, Revision) {
    let text = read(&data.seen()).ok().flatten().unwrap_or_default();
    let words: Vec<&str> = text.split_whitespace().collect();
    let &[epoch, revision, of] = words.as_slice() else { return Default::default() };
    let numbers = epoch.parse().ok().zip(revision.parse().ok());
    numbers
        .filter(|_| of == cluster.as_str())
        .map(|(epoch, revision)| (Epoch(epoch), Revision(revision)))
        .unwrap_or_default()
}

/// Remembers it. Not synced: what a machine's death takes away makes an older store harder to find out, and nothing else.
pub fn see(
    data: &Data,
    cluster: &ClusterId,
    epoch: Epoch,
    revision: Revision,
) -> Result<(), Error> {
    let path = data.seen();
    let text = format!("{epoch} {revision} {cluster}\n");
    write_atomic(&path, text.as_bytes(), 0o600, false).map_err(|source| Error::File {
        what: "write",
        path,
        source,
    })
}

/// Remembers the cluster for ever: from now on nothing of another one is obeyed.
pub fn join(data: &Data, cluster: &ClusterId) -> Result<(), Error> {
    let path = data.cluster();
    write_atomic(&path, cluster.as_str().as_bytes(), 0o600, true).map_err(|source| Error::File {
        what: "write",
        path,
        source,
    })
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { what: "read", path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::new(folder.path().into());
        let first = Identity::load(&data).unwrap();
        assert_eq!(Identity::load(&data).unwrap(), first);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(Identity::load(&Data::new(other.path().into())).unwrap().node, first.node);
    }

    #[test]
    fn a_cluster_is_remembered_and_nonsense_in_its_place_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::new(folder.path().into());
        assert_eq!(cluster(&data).unwrap(), None);
        join(&data, &"c-1".parse().unwrap()).unwrap();
        assert_eq!(cluster(&data).unwrap(), Some("c-1".parse().unwrap()));
        fs::write(data.cluster(), "a b\n").unwrap();
        assert!(cluster(&data).is_err());
    }

    #[test]
    fn what_was_seen_of_one_cluster_is_not_said_to_another() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::new(folder.path().into());
        let [ours, theirs]: [ClusterId; 2] = ["c-1", "c-2"].map(|it| it.parse().unwrap());
        let nothing = (Epoch(0), Revision(0));
        assert_eq!(seen(&data, &ours), nothing);
        see(&data, &ours, Epoch(3), Revision(14)).unwrap();
        assert_eq!(seen(&data, &ours), (Epoch(3), Revision(14)));
        assert_eq!(seen(&data, &theirs), nothing);
        for text in ["3", "3 14", "3 x c-1"] {
            fs::write(data.seen(), text).unwrap();
            assert_eq!(seen(&data, &ours), nothing, "{text}");
        }
    }
}
