//! Named tasks, scopes of them, and their end.
//!
//! Every task of a process belongs to a [`Tasks`]: a panic or an error is logged under the task's name, and a
//! shutdown waits for all of them and says which did not end. A bare `tokio::spawn` loses its panic and is killed in
//! the middle of its work when the process ends; therefore the `clippy.toml` beside each crate (the root's does not
//! reach a crate that has its own) bans it:
//!
//! ```toml
//! disallowed-methods = [
//!     { path = "tokio::spawn", reason = "use `Tasks::spawn`: a bare task loses its panic and outlives the shutdown" },
//!     { path = "tokio::task::spawn", reason = "use `Tasks::spawn`: a bare task loses its panic and outlives the shutdown" },
//! ]
//! ```

mod outcome;
mod scope;
mod signals;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use scope::{Ended, Scope};

pub use outcome::Outcome;
pub use signals::{Signal, signals};

/// The tasks of a process, or of a part of it; a cheap handle.
///
/// ```
/// use std::time::Duration;
/// use atlas_runtime::tasks::Tasks;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), atlas_runtime::tasks::Error> {
/// let tasks = Tasks::new();
/// tasks.spawn("janitor", {
///     let tasks = tasks.clone();
///     async move {
///         tasks.cancelled().await; // a task that can end early waits for this beside its work
///         Ok::<(), std::io::Error>(())
///     }
/// });
/// let session = tasks.scope("node-1"); // ends with `tasks`, or before it by its own shutdown
/// session.spawn("log-copier", async {});
/// session.shutdown(Duration::from_secs(5)).await?;
/// tasks.shutdown(Duration::from_secs(10)).await
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Tasks {
    scope: Arc<Scope>,
    root: Arc<Root>,
}

/// What all scopes of a process share.
#[derive(Debug, Default)]
struct Root {
    token: CancellationToken,
    /// The first essential task that failed, and how.
    failure: OnceLock<(String, String)>,
}

/// Why a process did not end as it should.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The reason for the shutdown.
    #[error("{task}, which this process cannot do without, {failure}")]
    Essential {
        /// The task.
        task: String,
        /// What became of it.
        failure: String,
    },
    /// The shutdown left something undone.
    #[error("ended by force after {grace:?}: {}", tasks.join(", "))]
    Unfinished {
        /// The tasks that were still running.
        tasks: Vec<String>,
        /// How long they were given.
        grace: Duration,
    },
}

impl Tasks {
    /// For a process without tasks so far.
    pub fn new() -> Self {
        let root = Arc::new(Root::default());
        Self { scope: Arc::new(Scope::root(root.token.clone())), root }
    }

    /// Runs a task of this scope. A panic or an `Err` is logged under its name. It must be called inside a tokio
    /// runtime; a task spawned after the shutdown began runs too, and finds itself cancelled.
    pub fn spawn<F>(&self, name: &str, task: F)
    where
        F: Future<Output: Outcome> + Send + 'static,
    {
        let tasks = self.clone();
        self.scope.spawn(name, async move |path| {
            let ended = outcome::of(task).await;
            tasks.report(&path, &ended);
        });
    }

    /// Runs a task that the process cannot do without: its end before the shutdown, however it ends, begins the
    /// shutdown of the whole process.
    pub fn spawn_essential<F>(&self, name: &str, task: F)
    where
        F: Future<Output: Outcome> + Send + 'static,
    {
        let tasks = self.clone();
        self.scope.spawn(name, async move |path| {
            let ended = outcome::of(task).await;
            tasks.report(&path, &ended);
            if !tasks.scope.token.is_cancelled() {
                tracing::error!(task = path, "an essential task is gone: shutting down");
                // Only the first is the reason; the others follow from it.
                let _ = tasks.root.failure.set((path, ended.to_string()));
                tasks.root.token.cancel();
            }
        });
    }

    /// A part of the process that may end before it: its tasks are named `name/…`, cancelled with this scope or by
    /// their own [`shutdown`](Self::shutdown), and waited for by both.
    #[must_use]
    pub fn scope(&self, name: &str) -> Self {
        Self { scope: Arc::new(Scope::child(&self.scope, name)), root: self.root.clone() }
    }

    /// For `select!` and `run_until_cancelled`: is cancelled when this scope shuts down.
    pub fn token(&self) -> &CancellationToken {
        &self.scope.token
    }

    /// Returns when this scope shuts down.
    pub async fn cancelled(&self) {
        self.scope.token.cancelled().await;
    }

    /// Asks all tasks of this scope to end, without waiting.
    pub fn cancel(&self) {
        self.scope.token.cancel();
    }

    /// The names of the tasks that run now.
    pub fn running(&self) -> Vec<String> {
        self.scope.running()
    }

    /// Ends this scope: cancels its tasks, waits for them, ends by force those that are still there after `grace`
    /// and names them.
    pub async fn shutdown(&self, grace: Duration) -> Result<(), Error> {
        self.scope.token.cancel();
        let unfinished = self.scope.drain(grace).await;
        match self.root.failure.get() {
            Some((task, failure)) if self.scope.is_root() => {
                if !unfinished.is_empty() {
                    tracing::warn!(tasks = unfinished.join(", "), "ended by force after {grace:?}");
                }
                Err(Error::Essential { task: task.clone(), failure: failure.clone() })
            }
            _ if unfinished.is_empty() => Ok(()),
            _ => Err(Error::Unfinished { tasks: unfinished, grace }),
        }
    }

    fn report(&self, task: &str, ended: &Ended) {
        match ended {
            Ended::Normally => tracing::debug!(task, "task ended"),
            // A shutdown closes channels and connections under its tasks: no news.
            Ended::Failed(_) if self.scope.token.is_cancelled() => {
                tracing::debug!(task, "task {ended} during the shutdown");
            }
            Ended::Failed(_) | Ended::Panicked(_) => tracing::error!(task, "task {ended}"),
        }
    }
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
