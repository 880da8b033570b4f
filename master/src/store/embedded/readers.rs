//! A few connections that only read, each lent to one blocking task at a time.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::fault::Fault;
use crate::store::Error;

/// Reads at the same time; more of them wait.
const READERS: usize = 4;

#[derive(Debug)]
pub struct Readers {
    pool: Arc<Pool>,
    permits: Semaphore,
}

#[derive(Debug)]
struct Pool {
    path: Arc<Path>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub fn new(path: Arc<Path>) -> Self {
        let idle = Mutex::new(Vec::with_capacity(READERS));
        Self { pool: Arc::new(Pool { path, idle }), permits: Semaphore::new(READERS) }
    }

    /// Runs `work` where it may block; it sees what was committed before it began. `what` is for the error.
    pub async fn read<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        let _permit = self.permits.acquire().await.expect("it is never closed");
        let pool = self.pool.clone();
        let done = tokio::task::spawn_blocking(move || pool.with_one(work)).await;
        let done = done.unwrap_or(Err(Fault::Thread("the reading task ended early")));
        done.map_err(|fault| fault.tried(what, &self.pool.path))
    }
}

impl Pool {
    /// A connection is opened when none is idle; one whose work panicked does not come back.
    fn with_one<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let idle = self.idle().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => open(&self.path)?,
        };
        let done = work(&mut connection);
        self.idle().push(connection);
        done
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = super::connect(path)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}
