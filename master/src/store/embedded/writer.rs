//! The thread that writes: one connection, one order after the other.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread::{self, JoinHandle};

use atlas_core::Epoch;
use rusqlite::hooks::Wal;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot};

use super::fault::Fault;
use super::write::Failure;
use super::{read, write};
use crate::store::{Batch, CommitError, Error, Lead, Mark};

/// Orders that wait; whoever comes then waits too.
const WAITING: usize = 16;

/// So many pages in the log beside the file, and they are moved into it.
const CHECKPOINT_PAGES: i32 = 1000;

/// Drop it, and the thread ends after what was ordered.
#[derive(Debug)]
pub struct Writer {
    path: Arc<Path>,
    orders: Option<mpsc::Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

enum Order {
    Commit(Batch, oneshot::Sender<Result<(), Failure>>),
    Other(Box<dyn FnOnce(&mut Connection) + Send>),
}

impl Writer {
    pub fn start(mut connection: Connection, path: Arc<Path>) -> Result<Self, Error> {
        let start = || {
            let pages = Arc::new(AtomicI32::new(0));
            let counted = pages.clone();
            // In place of SQLite's own rule, which would move pages before the commit is answered.
            connection.wal_hook(Some(move |_: &mut Wal, now: i32| {
                counted.store(now, Ordering::Relaxed);
                Ok(())
            }))?;
            let (orders, waiting) = mpsc::channel(WAITING);
            let thread = thread::Builder::new()
                .name("store-writer".into())
                .spawn(move || run(connection, waiting, &pages))?;
            Ok((orders, thread))
        };
        let (orders, thread) =
            start().map_err(|fault: Fault| fault.tried("start a thread for writing", &path))?;
        Ok(Self { path, orders: Some(orders), thread: Some(thread) })
    }

    pub async fn lead(&self, above: Epoch) -> Result<Lead, Error> {
        let place = self.place();
        self.ask("take the lead", move |to| write::lead(to, above, &place)).await
    }

    /// After every commit that was ordered before.
    pub async fn mark(&self) -> Result<Mark, Error> {
        self.ask("read the last revision", |from| Ok(read::mark(from)?)).await
    }

    pub fn place(&self) -> String {
        self.path.display().to_string()
    }

    pub async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        let what = "write a commit";
        let tried = Mark { epoch: batch.epoch, revision: batch.revision };
        let error = |fault: Fault| fault.tried(what, &self.path);
        let (reply, answer) = oneshot::channel();
        if self.orders().send(Order::Commit(batch, reply)).await.is_err() {
            return Err(CommitError::Refused(error(Fault::Thread("the writing thread is gone"))));
        }
        let Ok(result) = answer.await else {
            return Err(CommitError::Unknown(error(Fault::Thread("the writing thread died"))));
        };
        result.map_err(|failure| match failure {
            Failure::Before(fault) => CommitError::Refused(error(fault)),
            Failure::AtCommit(source) if is_rolled_back(&source) => {
                CommitError::Refused(error(source.into()))
            }
            Failure::AtCommit(source) => CommitError::Unknown(error(source.into())),
            Failure::Overtaken(found) => CommitError::Overtaken { found, tried },
            Failure::Contradiction(what) => CommitError::Contradiction(what),
        })
    }

    /// Does this after everything that was ordered before. `what` is for the error.
    pub async fn ask<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        let gone = || Fault::Thread("the writing thread is gone").tried(what, &self.path);
        let (reply, answer) = oneshot::channel();
        // Whoever no longer waits for the answer does not mind.
        let order = Order::Other(Box::new(move |connection| drop(reply.send(work(connection)))));
        self.orders().send(order).await.map_err(|_| gone())?;
        let answer = answer.await.map_err(|_| gone())?;
        answer.map_err(|fault| fault.tried(what, &self.path))
    }

    fn orders(&self) -> &mpsc::Sender<Order> {
        self.orders.as_ref().expect("it is there until the drop")
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic was seen by whoever waited for an answer.
            drop(thread.join());
        }
    }
}

fn run(mut connection: Connection, mut orders: mpsc::Receiver<Order>, pages: &AtomicI32) {
    while let Some(order) = orders.blocking_recv() {
        match order {
            Order::Other(work) => work(&mut connection),
            // Whoever no longer waits for the answer does not mind.
            Order::Commit(batch, reply) => {
                drop(reply.send(write::commit(&mut connection, &batch)));
            }
        }
        if pages.load(Ordering::Relaxed) >= CHECKPOINT_PAGES {
            checkpoint(&connection);
        }
    }
}

/// Once a commit is answered, nobody waits for this. What cannot be moved now stays in the log and is as safe there.
fn checkpoint(connection: &Connection) {
    let moved = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    if let Err(error) = moved {
        tracing::warn!(%error, "could not move the store's log into its file; will try again");
    }
}

/// A full disk or a lock is met before the end of a transaction reaches the disk; for other errors nobody knows.
fn is_rolled_back(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::ReadOnly)
    )
}
