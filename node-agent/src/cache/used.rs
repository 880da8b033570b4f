//! What of the cache is in use, by how many.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Cache;

/// What a thing is called in its folder, and no other thing in any folder of the cache. Not its path: an agent that is started
/// again may reach the same folder by another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(OsString);

impl Name {
    /// `None` = it ends with no name.
    pub fn of(path: &Path) -> Option<Self> {
        path.file_name().map(|it| Self(it.to_owned()))
    }
}

impl<T: AsRef<OsStr>> From<T> for Name {
    fn from(name: T) -> Self {
        Self(name.as_ref().to_owned())
    }
}

#[derive(Debug, Default)]
pub(super) struct Used(Mutex<BTreeMap<Name, usize>>);

impl Used {
    fn all(&self) -> MutexGuard<'_, BTreeMap<Name, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does it while nobody can begin to use it. `None` = it is in use.
    pub(super) fn unless<T>(&self, name: &Name, work: impl FnOnce() -> T) -> Option<T> {
        let used = self.all();
        (!used.contains_key(name)).then(work)
    }
}

/// As long as this lives, the thing is not removed from the cache.
#[derive(Debug)]
pub struct Held {
    cache: Cache,
    name: Name,
}

impl Held {
    pub(super) fn new(cache: Cache, name: Name) -> Self {
        *cache.0.used.all().entry(name.clone()).or_default() += 1;
        Self { cache, name }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let inner = &self.cache.0;
        let mut used = inner.used.all();
        let Some(count) = used.get_mut(&self.name) else { return };
        *count -= 1;
        if *count == 0 {
            used.remove(&self.name);
            drop(used);
            if inner.over.load(Ordering::SeqCst) {
                inner.look.notify_one();
            }
        }
    }
}
