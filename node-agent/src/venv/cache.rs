//! Environments on the disk: `<key>.<generation>/`, complete when its file `ready` is there, which holds its size and whose
//! time says when it was used last.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::cache::Item;
use crate::trash::discard;

/// The environment itself, in its folder.
pub const VENV: &str = "venv";
const READY: &str = "ready";

pub(super) fn folder(parent: &Path, key: &str, generation: u64) -> PathBuf {
    parent.join(format!("{key}.{generation}"))
}

/// The last complete generation of an environment.
pub(super) fn newest(parent: &Path, key: &str) -> Option<(u64, PathBuf)> {
    let generation = |path: &Path| {
        let (name, generation) = path.file_name()?.to_str()?.split_once('.')?;
        if name == key { generation.parse::<u64>().ok() } else { None }
    };
    let complete = complete(parent).ok()?;
    complete.into_iter().filter_map(|it| Some((generation(&it)?, it))).max()
}

/// Marks an environment as used now. False = it is not there any more.
pub(super) fn touch(folder: &Path) -> bool {
    let touched = File::options().append(true).open(folder.join(READY));
    touched.and_then(|file| file.set_modified(SystemTime::now())).is_ok()
}

/// The environment is complete.
pub(super) fn finish(folder: &Path) -> io::Result<()> {
    let size = size(&folder.join(VENV))?;
    fs::write(folder.join(READY), size.to_string())
}

pub(super) fn remove_unfinished(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let path = entry?.path();
        if !path.join(READY).exists() {
            discard(&path);
        }
    }
    Ok(())
}

/// What is complete, for the node's cache.
pub fn kept(parent: &Path) -> io::Result<Vec<Item>> {
    let mut items = Vec::new();
    for path in complete(parent)? {
        let ready = path.join(READY);
        // One that goes at this moment is no trouble.
        let (Ok(meta), Ok(text)) = (ready.metadata(), fs::read_to_string(&ready)) else { continue };
        let bytes = text.trim().parse().unwrap_or(0);
        items.push(Item { used: meta.modified()?, bytes, path });
    }
    Ok(items)
}

fn complete(parent: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(parent)? {
        let path = entry?.path();
        if path.join(READY).exists() {
            found.push(path);
        }
    }
    Ok(found)
}

/// Bytes on the disk.
fn size(folder: &Path) -> io::Result<u64> {
    let mut total = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let meta = entry.metadata()?; // of a link itself
            total += meta.blocks() * 512;
            if meta.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn environment(parent: &Path, key: &str, generation: u64, age: u64) -> PathBuf {
        let folder = folder(parent, key, generation);
        fs::create_dir_all(folder.join(VENV)).unwrap();
        fs::write(folder.join(VENV).join("file"), [0; 8192]).unwrap();
        finish(&folder).unwrap();
        let time = SystemTime::now() - Duration::from_secs(age);
        File::options().append(true).open(folder.join(READY)).unwrap().set_modified(time).unwrap();
        folder
    }

    #[test]
    fn the_newest_complete_generation_counts() {
        let parent = tempfile::tempdir().unwrap();
        let parent = parent.path();
        environment(parent, "a", 9, 0);
        let tenth = environment(parent, "a", 10, 0);
        environment(parent, "b", 20, 0);
        fs::create_dir(folder(parent, "a", 11)).unwrap();
        assert_eq!(newest(parent, "a"), Some((10, tenth)));
        assert_eq!(newest(parent, "c"), None);
        remove_unfinished(parent).unwrap();
        assert_eq!(fs::read_dir(parent).unwrap().count(), 3);
    }

    #[test]
    fn only_what_is_complete_is_kept_and_counts_with_its_last_use() {
        let parent = tempfile::tempdir().unwrap();
        let parent = parent.path();
        let [old, new] =
            [("o", 200), ("n", 100)].map(|(key, age)| environment(parent, key, 1, age));
        fs::create_dir(folder(parent, "unfinished", 1)).unwrap();
        let order = || {
            let mut items = kept(parent).unwrap();
            items.sort();
            assert!(items.iter().all(|it| it.bytes >= 8192), "{items:?}");
            items.into_iter().map(|it| it.path).collect::<Vec<_>>()
        };
        assert_eq!(order(), [old.clone(), new.clone()]);
        assert!(touch(&old));
        assert_eq!(order(), [new.clone(), old]);
        fs::rename(&new, parent.join("elsewhere")).unwrap();
        assert!(!touch(&new));
    }
}
