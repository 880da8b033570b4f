//! The books of a scope: which tasks run, and the wait for the last of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

pub(super) use super::outcome::Ended;

#[derive(Debug)]
pub(super) struct Scope {
    path: String,
    pub(super) token: CancellationToken,
    tracker: TaskTracker,
    running: Mutex<BTreeMap<u64, Running>>,
    parent: Option<Arc<Self>>,
}

#[derive(Debug)]
struct Running {
    path: String,
    /// Missing only between the entry in the books and the start.
    abort: Option<AbortHandle>,
}

impl Scope {
    pub(super) fn root(token: CancellationToken) -> Self {
        Self {
            path: String::new(),
            token,
            tracker: TaskTracker::new(),
            running: Mutex::default(),
            parent: None,
        }
    }

    pub(super) fn child(parent: &Arc<Self>, name: &str) -> Self {
        let root = Self::root(parent.token.child_token());
        Self { path: format!("{}{name}/", parent.path), parent: Some(parent.clone()), ..root }
    }

    pub(super) const fn is_root(&self) -> bool {
        self.parent.is_none()
    }

    /// Starts what `task` makes of the task's full name.
    pub(super) fn spawn<F>(self: &Arc<Self>, name: &str, task: impl FnOnce(String) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let path = format!("{}{name}", self.path);
        let entry = Entry::new(self, &path);
        let id = entry.id;
        let task = task(path);
        let abort = self.tracker.spawn(async move {
            let _entry = entry;
            task.await;
        });
        for scope in self.lineage() {
            if let Some(running) = scope.books().get_mut(&id) {
                running.abort = Some(abort.abort_handle());
            }
        }
    }

    pub(super) fn running(&self) -> Vec<String> {
        self.books().values().map(|it| it.path.clone()).collect()
    }

    /// Waits until no task is left, for `grace` at most; aborts and names the others.
    pub(super) async fn drain(&self, grace: Duration) -> Vec<String> {
        self.tracker.close();
        if tokio::time::timeout(grace, self.tracker.wait()).await.is_ok() {
            return Vec::new();
        }
        let (paths, aborts): (Vec<_>, Vec<_>) =
            self.books().values().map(|it| (it.path.clone(), it.abort.clone())).unzip();
        aborts.iter().flatten().for_each(AbortHandle::abort);
        paths
    }

    /// This scope and those around it.
    fn lineage(self: &Arc<Self>) -> impl Iterator<Item = Arc<Self>> {
        std::iter::successors(Some(self.clone()), |scope| scope.parent.clone())
    }

    fn books(&self) -> MutexGuard<'_, BTreeMap<u64, Running>> {
        // No code of a task runs under this lock, so a panic cannot have left the books wrong.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task's line in the books of its scope and of those around it; struck out on drop, however the task ends.
struct Entry {
    id: u64,
    scopes: Vec<Arc<Scope>>,
    /// Dropped after the line is struck out: who waits for the last task then finds empty books.
    _tokens: Vec<TaskTrackerToken>,
}

impl Entry {
    fn new(scope: &Arc<Scope>, path: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let scopes: Vec<_> = scope.lineage().collect();
        for scope in &scopes {
            scope.books().insert(id, Running { path: path.to_owned(), abort: None });
        }
        let tokens = scopes.iter().map(|scope| scope.tracker.token()).collect();
        Self { id, scopes, _tokens: tokens }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        for scope in &self.scopes {
            scope.books().remove(&self.id);
        }
    }
}
