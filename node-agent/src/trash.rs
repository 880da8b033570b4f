//! What is on its way out. Renamed at once, so that no half-emptied folder is ever taken for something; emptied at leisure.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use atlas_runtime::Chain;
use atlas_runtime::process::remove_all;

use crate::node::Node;

/// Takes a folder away. One that is gone already is fine.
pub async fn throw(node: &Node, folder: &Path) {
    let aside = match set_aside(folder, &node.data.trash()) {
        Ok(Some(aside)) => aside,
        Ok(None) => return,
        Err(error) => return tracing::warn!("could not remove {}: {error}", folder.display()),
    };
    let Ok(_turn) = node.emptying.acquire().await else { return };
    let _ = tokio::task::spawn_blocking(move || discard(&aside)).await;
}

/// Empties what an agent before this one left in the trash. Blocks.
pub fn empty(trash: &Path) {
    match fs::read_dir(trash) {
        Ok(entries) => entries.flatten().for_each(|it| discard(&it.path())),
        Err(error) => tracing::warn!("could not look through {}: {error}", trash.display()),
    }
}

/// Removes what nobody needs; what cannot be removed takes room and does no other harm. Blocks.
pub fn discard(path: &Path) {
    if let Err(remains) = remove_all(path) {
        tracing::warn!("{}", Chain(&remains));
    }
}

fn set_aside(folder: &Path, trash: &Path) -> io::Result<Option<PathBuf>> {
    let aside = trash.join(uuid::Uuid::new_v4().to_string());
    match fs::rename(folder, &aside) {
        Ok(()) => Ok(Some(aside)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
