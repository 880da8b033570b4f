//! Threads for work on the shared storage. A share that is away holds whoever touches it for as long as it likes: so many threads
//! for each use and no more, so that one use that hangs stops neither another nor the store, which need threads, too.
//!
//! Who waits for its turn and is dropped, because nobody listens any more, never begins.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;

/// The turns of one use.
#[derive(Clone, Debug)]
pub struct Turns(Arc<Semaphore>);

/// A turn that has come.
#[derive(Debug)]
pub struct Turn(OwnedSemaphorePermit);

impl Turns {
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Semaphore::new(most)))
    }

    /// For whoever has something to look at between its turn's coming and its work.
    pub async fn turn(&self) -> Turn {
        Turn(self.0.clone().acquire_owned().await.expect("it is never closed"))
    }

    /// Does the work on a thread that may block, when it is its turn. The turn ends with the work, not with who waits for it.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        self.turn().await.run(work).await
    }
}

impl Turn {
    /// As [`Turns::run`].
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        tokio::task::spawn_blocking(move || {
            let Self(_turn) = self;
            work()
        })
        .await
    }
}

/// Every use of the shared storage; together far fewer threads than tokio has for work that blocks (512).
#[derive(Clone, Debug)]
pub struct Storage {
    /// Whether something is there.
    pub looks: Turns,
    pub listings: Turns,
    /// Files and folders on their way to a reader; one that reads slowly keeps its turn.
    pub reads: Turns,
    /// Pieces of logs; nobody keeps a turn between two pieces.
    pub logs: Turns,
    /// Whether a bundle is there, and what it measures.
    pub bundles: Turns,
    pub uploads: Turns,
    /// Uploads being verified: each holds a core and some megabytes.
    pub verifications: Turns,
    /// Pieces of bundles and checkpoints on their way to nodes; nobody keeps a turn between two pieces.
    pub fetches: Turns,
    /// Pieces of logs from nodes.
    pub appends: Turns,
    /// Pieces of files from nodes.
    pub shipments: Turns,
    /// Pieces of spools from nodes.
    pub spools: Turns,
    /// Series on their way to a reader, each in memory.
    pub series: Turns,
    /// Series of jobs that have ended becoming tables: each holds a core and some 100 megabytes.
    pub tables: Turns,
    pub sweeps: Turns,
    /// Walks through what jobs left, to measure it.
    pub measuring: Turns,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            looks: Turns::new(16),
            listings: Turns::new(32),
            reads: Turns::new(32),
            logs: Turns::new(32),
            bundles: Turns::new(32),
            uploads: Turns::new(32),
            verifications: Turns::new(4),
            fetches: Turns::new(32),
            appends: Turns::new(32),
            shipments: Turns::new(32),
            spools: Turns::new(16),
            series: Turns::new(4),
            tables: Turns::new(1),
            sweeps: Turns::new(1),
            measuring: Turns::new(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_use_that_hangs_takes_no_more_than_its_turns_and_who_left_never_begins() {
        let (one, other) = (Turns::new(2), Turns::new(2));
        let (end, hang) = mpsc::channel::<()>();
        let hang = Arc::new(std::sync::Mutex::new(hang));
        let hangs = (0..2).map(|_| {
            let hang = hang.clone();
            one.run(move || hang.lock().unwrap().recv().is_err())
        });
        let mut hung = Box::pin(futures::future::join_all(hangs));
        assert!(futures::poll!(&mut hung).is_pending());
        let (began, has_begun) = mpsc::channel();
        let mut third = Box::pin(one.run(move || began.send(())));
        assert!(futures::poll!(&mut third).is_pending());
        assert_eq!(other.run(|| 7).await.unwrap(), 7, "another use was stopped");
        drop(third);
        drop(end);
        assert!(hung.await.into_iter().all(|it| it.unwrap()));
        assert_eq!(one.run(|| 8).await.unwrap(), 8);
        assert!(has_begun.recv().is_err(), "it began although nobody waited for it");
    }
}
