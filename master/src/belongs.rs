//! Which cluster a data folder belongs to: a master that is pointed at another one's Redis must not take the lead there.

use std::io;
use std::path::{Path, PathBuf};

use atlas_core::ClusterId;
use atlas_runtime::process::write_atomic;

/// In the data folder, one line.
const FILE: &str = "cluster";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not read or write {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} holds no cluster's id: {text:?}", path.display())]
    Text { path: PathBuf, text: String },
    #[error(
        "the store holds cluster {theirs}, and the data folder {} is that of cluster {ours}: name the store of that cluster (--redis), \
         or another folder (--data)",
        data.display()
    )]
    Another { data: PathBuf, ours: ClusterId, theirs: ClusterId },
    #[error(
        "the store is empty, and the data folder {} is that of cluster {ours}: move its state there with `atlas-master migrate`, bring \
         back the copy of a store that was lost, or begin a new cluster in another folder (--data)",
        data.display()
    )]
    Empty { data: PathBuf, ours: ClusterId },
}

/// Refuses a store of another cluster than that of this folder.
pub fn check(data: &Path, theirs: Option<ClusterId>) -> Result<(), Error> {
    match (read(data)?, theirs) {
        (Some(ours), Some(theirs)) if ours != theirs => {
            Err(Error::Another { data: data.to_owned(), ours, theirs })
        }
        (Some(ours), None) => Err(Error::Empty { data: data.to_owned(), ours }),
        (Some(_) | None, Some(_)) | (None, None) => Ok(()),
    }
}

/// From now on the folder is this cluster's.
pub fn remember(data: &Path, cluster: &ClusterId) -> Result<(), Error> {
    if read(data)?.is_some() {
        return Ok(());
    }
    let path = data.join(FILE);
    write_atomic(&path, format!("{cluster}\n").as_bytes(), 0o644, true)
        .map_err(|source| Error::File { path, source })
}

fn read(data: &Path) -> Result<Option<ClusterId>, Error> {
    let path = data.join(FILE);
    match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { path, source }),
        Ok(text) => match text.trim().parse() {
            Ok(cluster) => Ok(Some(cluster)),
            Err(_) => Err(Error::Text { path, text }),
        },
    }
}
