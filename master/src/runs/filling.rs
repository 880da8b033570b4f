//! The index of a master that starts is read out of the store, while it serves already.

use std::sync::Arc;
use std::time::{Duration, Instant};

use atlas_core::{Position, Record};
use atlas_runtime::Chain;
use atlas_runtime::backoff::{Backoff, Policy};
use atlas_runtime::tasks::Tasks;
use futures::future::BoxFuture;

use super::keeper::{Error, Runs};
use crate::reactor::Listener;
use crate::store::{self, Page, Store, StoredRun};

/// Jobs that are read at a time.
const JOBS: usize = 1000;
/// Runs that are read at a time: one may be some megabytes.
const RUNS: usize = 100;
/// A store that is away comes back.
const RETRY: Policy =
    Policy { first: Duration::from_millis(200), max: Duration::from_secs(5), attempts: None };

/// Until everything is in, or the master stops.
pub async fn fill(runs: Runs, store: Arc<dyn Store>, also: Listener, tasks: Tasks) {
    let began = Instant::now();
    let read = tokio::select! {
        read = read_all(&runs, store.as_ref(), &also) => read,
        () = tasks.cancelled() => return,
    };
    if let Ok(jobs) = read {
        runs.complete();
        tracing::info!(jobs, "{jobs} jobs can be found, {:.1?} after the start", began.elapsed());
    }
}

/// How many there were.
async fn read_all(runs: &Runs, store: &dyn Store, also: &Listener) -> Result<usize, Error> {
    let (mut count, mut before) = (0, None);
    loop {
        let page = Page { before, limit: JOBS };
        let jobs = patiently(|| store.jobs(&page)).await;
        let Some(last) = jobs.last().map(|it| it.status.position) else { break };
        count += jobs.len();
        before = Some(last);
        runs.fill_jobs(jobs).await?;
    }
    let mut before: Option<Position> = None;
    loop {
        let page = Page { before, limit: RUNS };
        let told = patiently(|| store.runs(&page)).await;
        let Some(last) = told.last().map(|it| it.position) else { break };
        before = Some(last);
        for StoredRun { id, run, .. } in &told {
            also(&Record::RunChanged { id: *id, run: run.clone() });
        }
        runs.fill_runs(told).await?;
    }
    Ok(count)
}

async fn patiently<'a, T>(mut read: impl FnMut() -> BoxFuture<'a, Result<T, store::Error>>) -> T {
    let mut backoff = Backoff::new(RETRY);
    loop {
        match read().await {
            Ok(done) => return done,
            Err(error) => {
                tracing::warn!("the index of runs waits for the store: {}", Chain(&error));
            }
        }
        tokio::time::sleep(backoff.next().expect("it never gives up")).await;
    }
}
