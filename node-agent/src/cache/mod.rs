//! What the node keeps to use again: bundles that it fetched and environments that it built, under one bound (`--cache-size`).
//! What was used longest ago goes first, and nothing goes that a job uses or is about to. What does not fit is used all the
//! same, and goes when nobody uses it any more.

mod used;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use tokio::sync::Notify;

use crate::paths::Data;
use crate::{start, trash, venv};

use used::Used;
pub use used::{Held, Name};

/// A handle for everybody who keeps something.
#[derive(Clone, Debug)]
pub struct Cache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    data: Data,
    /// Bytes.
    most: u64,
    used: Used,
    /// There is more than there should be, as far as is known: something is in use.
    over: AtomicBool,
    look: Notify,
}

/// One thing that is kept whole: a file or a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    pub used: SystemTime,
    pub bytes: u64,
    pub path: PathBuf,
}

impl Cache {
    pub fn new(data: &Data, most: u64) -> Self {
        Self(Arc::new(Inner {
            data: data.clone(),
            most,
            used: Used::default(),
            over: AtomicBool::new(false),
            look: Notify::new(),
        }))
    }

    /// As long as what this returns lives, nothing of that name is removed. Who takes a thing out of the cache holds it first
    /// and looks then whether it is there: afterwards it may have been gone in between.
    pub fn hold(&self, name: Name) -> Held {
        Held::new(self.clone(), name)
    }

    /// Something came that is to be kept. Returns at once.
    pub fn grew(&self) {
        self.0.look.notify_one();
    }

    /// Keeps the bound until it is dropped. It begins with what an agent before this one left.
    pub async fn keep_bounded(self) {
        loop {
            let cache = self.clone();
            let trimmed = tokio::task::spawn_blocking(move || cache.trim()).await;
            if let Ok(Err(error)) = trimmed {
                tracing::warn!("could not look through the cache: {error}");
            }
            self.0.look.notified().await;
        }
    }

    /// Removes what is above the bound. Blocks.
    fn trim(&self) -> io::Result<()> {
        let most = self.0.most;
        // Set before anybody is asked for what is in use: who lets go after that finds it, and has it looked at again.
        self.0.over.store(true, Ordering::SeqCst);
        let left = self.evict(|bytes| bytes > most)?;
        self.0.over.store(left > most, Ordering::SeqCst);
        Ok(())
    }

    /// Removes one thing after the other while that is wanted, given the bytes that are left. Returns these. Blocks.
    pub fn evict(&self, mut wanted: impl FnMut(u64) -> bool) -> io::Result<u64> {
        let mut items = self.items()?;
        items.sort();
        let mut left: u64 = items.iter().map(|it| it.bytes).sum();
        for item in items {
            if !wanted(left) {
                break;
            }
            if let Some(aside) = self.set_aside(&item)? {
                tracing::info!(
                    "removed from the cache: {} ({} bytes)",
                    item.path.display(),
                    item.bytes
                );
                trash::discard(&aside);
                left -= item.bytes;
            }
        }
        Ok(left)
    }

    /// Bytes that are kept. Blocks.
    pub fn bytes(&self) -> io::Result<u64> {
        Ok(self.items()?.iter().map(|it| it.bytes).sum())
    }

    fn items(&self) -> io::Result<Vec<Item>> {
        let mut items = of(&self.0.data.bundles(), start::bundle::kept)?;
        items.extend(of(&self.0.data.environments(), venv::kept)?);
        Ok(items)
    }

    /// One rename: it is there as a whole or not at all, whenever the agent dies. `None` = it is in use.
    fn set_aside(&self, item: &Item) -> io::Result<Option<PathBuf>> {
        let Some(name) = Name::of(&item.path) else { return Ok(None) };
        let aside = self.0.data.trash().join(uuid::Uuid::new_v4().to_string());
        let moved = self.0.used.unless(&name, || fs::rename(&item.path, &aside));
        match moved {
            None => Ok(None),
            // Somebody else has removed it.
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Some(_) => Ok(Some(aside)),
        }
    }
}

/// A folder is made when something comes into it.
fn of(folder: &Path, kept: fn(&Path) -> io::Result<Vec<Item>>) -> io::Result<Vec<Item>> {
    match kept(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        found => found,
    }
}

#[cfg(test)]
mod tests;
