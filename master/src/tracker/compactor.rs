//! Compacts the series of jobs that have ended, one after the other, behind everything else.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use atlas_core::run::Table;
use atlas_core::{JobId, JobState, Record, Run};
use atlas_runtime::Chain;
use tokio::sync::{mpsc, oneshot};

use super::compact::{self, Compaction};
use super::{Error, Inner, Tracker};
use crate::reactor::Listener;
use crate::runs::Runs;

/// Jobs that have just ended and wait; of more of them the next look around finds the rest.
const WAITING: usize = 1024;
/// How often is looked for what was told late, or could not be compacted.
const LOOK: Duration = Duration::from_secs(3600);

/// Knows which runs have segments, and hears when their jobs end.
pub struct Compactor {
    segmented: Arc<Mutex<HashSet<JobId>>>,
    to: mpsc::Sender<JobId>,
    ended: mpsc::Receiver<JobId>,
}

impl Default for Compactor {
    fn default() -> Self {
        let (to, ended) = mpsc::channel(WAITING);
        Self { segmented: Arc::default(), to, ended }
    }
}

impl Compactor {
    /// Hears of everything that becomes durable, and of every run that is in the store at the start.
    pub fn listener(&self) -> Listener {
        let (segmented, to) = (self.segmented.clone(), self.to.clone());
        Box::new(move |record| {
            let mut segmented = segmented.lock().unwrap_or_else(PoisonError::into_inner);
            match record {
                Record::RunChanged { id, run } if run.has_segments() => drop(segmented.insert(*id)),
                Record::RunChanged { id, .. } | Record::JobDeleted { id } => {
                    segmented.remove(id);
                }
                Record::JobChanged { id, status, .. }
                    if matches!(status.state, JobState::Done { .. }) && segmented.contains(id) =>
                {
                    // Full: it is found by looking around.
                    let _ = to.try_send(*id);
                }
                _ => {}
            }
        })
    }

    /// Until the master ends. What ended before it began is looked for once `runs` has read the store.
    pub async fn run(mut self, tracker: Tracker, runs: Runs) {
        let tasks = tracker.0.parts.tasks.clone();
        let mut look = tokio::time::interval(LOOK);
        tokio::select! {
            () = runs.filled() => {}
            () = tasks.cancelled() => return,
        }
        loop {
            let jobs = tokio::select! {
                () = tasks.cancelled() => return,
                Some(job) = self.ended.recv() => vec![job],
                _ = look.tick() => self.known(),
            };
            for job in jobs {
                if tasks.token().is_cancelled() {
                    return;
                }
                if let Err(error) = tracker.compact(job).await {
                    tracing::warn!(job.id = %job, "the points of job {job} stay in their segments: {}", Chain(&error));
                }
            }
        }
    }

    fn known(&self) -> Vec<JobId> {
        let segmented = self.segmented.lock().unwrap_or_else(PoisonError::into_inner);
        segmented.iter().copied().collect()
    }
}

impl Tracker {
    /// Brings all points of a job that has ended into one table; of any other job it changes nothing.
    pub async fn compact(&self, job: JobId) -> Result<(), Error> {
        let inner = self.0.clone();
        let (to, done) = oneshot::channel();
        // Goes on when nobody waits any more: what is being written is nobody else's to write.
        self.0.parts.tasks.spawn("compact", async move {
            let _ = to.send(inner.compact(job).await);
        });
        done.await.map_err(|_| Error::Stopping)?
    }
}

impl Inner {
    async fn compact(&self, job: JobId) -> Result<(), Error> {
        let slot = self.slot(job);
        // Nothing of this job is taken in meanwhile, and its files are not moved away.
        let mut held = slot.lock().await;
        let stored = self.parts.store.job(job).await?;
        if !stored.is_some_and(|it| matches!(it.status.state, JobState::Done { .. })) {
            return Ok(());
        }
        *held = None;
        let Some(run) = self.parts.store.run(job).await?.filter(|it| it.has_segments()) else {
            return Ok(());
        };
        let run = Arc::new(self.with_table(job, run).await?);
        self.parts.reactor.keep(vec![Record::RunChanged { id: job, run: run.clone() }]).await?;
        let Some(table) = run.table.filter(|_| !run.has_segments()) else { return Ok(()) };
        let archive = self.parts.archive.clone();
        let tidied = self.parts.tables.run(move || compact::tidy(&archive, job, &table)).await;
        tidied.map_err(|_| Error::Stopping)?.map_err(|source| Error::Compact { job, source })
    }

    async fn with_table(&self, job: JobId, run: Arc<Run>) -> Result<Run, Error> {
        let failed = match self.write_table(job, run.clone()).await {
            Ok(table) => {
                let mut run = Arc::unwrap_or_clone(run);
                run.move_into(table);
                return Ok(run);
            }
            Err(failed) => failed,
        };
        if !matches!(&failed, Error::Compact { source, .. } if source.kind() == ErrorKind::NotFound)
        {
            return Err(failed);
        }
        let archive = self.parts.archive.clone();
        let find = move || compact::found_again(&archive, job, &run);
        let found = self.parts.tables.run(find).await.map_err(|_| Error::Stopping)?;
        found.ok().flatten().ok_or(failed)
    }

    async fn write_table(&self, job: JobId, run: Arc<Run>) -> Result<Table, Error> {
        let (archive, epoch) = (self.parts.archive.clone(), self.parts.epoch);
        let stop = self.parts.tasks.token().clone();
        let write =
            move || Compaction { archive: &archive, job, run: &run, epoch, stop: &stop }.write();
        let written = self.parts.tables.run(write).await.map_err(|_| Error::Stopping)?;
        written.map_err(|source| Error::Compact { job, source })
    }
}
