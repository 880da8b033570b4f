//! What is on its way out. Renamed at once, so that no half-emptied folder is ever taken for something; emptied at leisure.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::node::Node;

/// Takes a folder away. One that is gone already is fine.
pub async fn throw(node: &Node, folder: &Path) {
    let failed = |path: &Path, error: io::Error| {
        tracing::warn!("could not remove {}: {error}", path.display());
    };
    let aside = match set_aside(folder, &node.data.trash()) {
        Ok(Some(aside)) => aside,
        Ok(None) => return,
        Err(error) => return failed(folder, error),
    };
    let Ok(_turn) = node.emptying.acquire().await else { return };
    let path = aside.clone();
    let done = tokio::task::spawn_blocking(move || fs::remove_dir_all(path)).await;
    if let Ok(Err(error)) = done {
        failed(&aside, error);
    }
}

/// Empties what an agent before this one left in the trash. Blocks.
pub fn empty(trash: &Path) -> io::Result<()> {
    for entry in fs::read_dir(trash)? {
        let path = entry?.path();
        if let Err(error) = fs::remove_dir_all(&path) {
            tracing::warn!("could not remove {}: {error}", path.display());
        }
    }
    Ok(())
}

fn set_aside(folder: &Path, trash: &Path) -> io::Result<Option<PathBuf>> {
    let aside = trash.join(uuid::Uuid::new_v4().to_string());
    match fs::rename(folder, &aside) {
        Ok(()) => Ok(Some(aside)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
