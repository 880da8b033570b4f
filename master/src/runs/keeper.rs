//! Keeps the index current, and asks it. One thread owns it: news and questions come in one line, so that whoever was told that
//! something is kept finds it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use atlas_core::run::{Labels, Run};
use atlas_core::{JobId, JobSpec, JobStatus, Record, Timestamp};
use atlas_runtime::tasks::Tasks;
use tokio::sync::{mpsc, oneshot, watch};

use super::filling::fill;
use super::index::{Columns, Cursor, Found, Index, Key, Project, Values};
use super::query::Query;
use crate::reactor::Listener;
use crate::store::{Store, StoredJob, StoredRun};

/// How long a question waits for an index that is not complete yet.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the index; cheap to clone.
#[derive(Clone)]
pub struct Runs {
    to: mpsc::UnboundedSender<Message>,
    known: watch::Receiver<Known>,
}

/// How much of the store the index has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub jobs: usize,
    pub is_complete: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the index of runs is being built, with {0} jobs so far; try again later")]
    Building(usize),
    #[error("the master is stopping")]
    Stopping,
}

enum Message {
    News(Box<News>),
    /// From the store; `to` hears when they are in.
    Jobs(Vec<StoredJob>, oneshot::Sender<()>),
    Runs(Vec<StoredRun>, oneshot::Sender<()>),
    /// That was all that the store had.
    Complete,
    Ask(Box<dyn FnOnce(&Index) + Send>),
    Close,
}

/// What became durable just now.
enum News {
    Queued { id: JobId, spec: Arc<JobSpec>, status: JobStatus },
    Changed { id: JobId, status: JobStatus },
    Told { id: JobId, run: Arc<Run> },
    Deleted { id: JobId },
}

/// The index and its owner's half of the line.
struct Keeper {
    index: Index,
    /// While the store is being read.
    building: Option<Building>,
    known: watch::Sender<Known>,
}

/// What came meanwhile: the store may have been read before it.
#[derive(Default)]
struct Building {
    /// Of jobs that were not read yet.
    changed: HashMap<JobId, JobStatus>,
    told: HashMap<JobId, Arc<Run>>,
    deleted: HashSet<JobId>,
}

impl Runs {
    /// Starts the thread, and fills the index from the store. Whoever asks meanwhile waits. What is committed from now on has to
    /// be told to the [`listener`](Self::listener). `also` hears of every run that is read, as if it had just been told.
    pub fn start(store: Arc<dyn Store>, also: Listener, tasks: &Tasks) -> Self {
        let runs = Self::empty(tasks);
        tasks.spawn("runs-fill", fill(runs.clone(), store, also, tasks.clone()));
        runs
    }

    /// Returns when all that was in the store at the start was read, or the master stops.
    pub async fn filled(&self) {
        drop(self.known.clone().wait_for(|it| it.is_complete).await);
    }

    /// Starts the thread. The index answers when it is told that it is complete.
    pub fn empty(tasks: &Tasks) -> Self {
        let (to, messages) = mpsc::unbounded_channel();
        let (known, to_know) = watch::channel(Known::default());
        let keeper = Keeper { index: Index::default(), building: Some(Building::default()), known };
        let (close, stop) = (to.clone(), tasks.token().clone());
        tasks.spawn_essential("runs", async move {
            let mut thread = tokio::task::spawn_blocking(move || keeper.run(messages));
            tokio::select! {
                ended = &mut thread => return ended,
                () = stop.cancelled() => drop(close.send(Message::Close)),
            }
            thread.await
        });
        Self { to, known: to_know }
    }

    /// Hears of everything that becomes durable.
    pub fn listener(&self) -> Listener {
        let runs = self.clone();
        Box::new(move |record| runs.publish(record))
    }

    fn publish(&self, record: &Record) {
        let news = match record {
            Record::JobQueued { id, spec, status } => {
                News::Queued { id: *id, spec: spec.clone(), status: status.clone() }
            }
            Record::JobChanged { id, event: _, status } => {
                News::Changed { id: *id, status: status.clone() }
            }
            Record::RunChanged { id, run } => News::Told { id: *id, run: run.clone() },
            Record::JobDeleted { id } => News::Deleted { id: *id },
            Record::ProjectChanged { .. }
            | Record::NodeChanged(_)
            | Record::NodeRemoved(_)
            | Record::LeaseGranted(_) => return,
        };
        // Only a master that stops has no index.
        drop(self.to.send(Message::News(Box::new(news))));
    }

    /// Jobs as they lie in the store; returns when they are in the index.
    pub async fn fill_jobs(&self, jobs: Vec<StoredJob>) -> Result<(), Error> {
        self.fill(|done| Message::Jobs(jobs, done)).await
    }

    /// What they told, after the jobs themselves.
    pub async fn fill_runs(&self, runs: Vec<StoredRun>) -> Result<(), Error> {
        self.fill(|done| Message::Runs(runs, done)).await
    }

    /// The store has no more.
    pub fn complete(&self) {
        drop(self.to.send(Message::Complete));
    }

    async fn fill(&self, with: impl FnOnce(oneshot::Sender<()>) -> Message) -> Result<(), Error> {
        let (done, is_done) = oneshot::channel();
        self.to.send(with(done)).map_err(|_| Error::Stopping)?;
        is_done.await.map_err(|_| Error::Stopping)
    }

    /// A page, and what its runs have in these columns.
    pub async fn find(
        &self,
        query: Query,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
        columns: Columns,
    ) -> Result<(Found, Values), Error> {
        let find = move |index: &Index| {
            let found = index.find(&query, after.as_ref(), limit, now);
            let values = index.values(&found.ids, &columns);
            (found, values)
        };
        self.ask(find).await
    }

    /// What these runs are called; `None` = the index is being built, and waits for nobody.
    pub async fn labels_if_complete(
        &self,
        ids: Vec<JobId>,
    ) -> Result<Option<Vec<Option<Labels>>>, Error> {
        if !self.known.borrow().is_complete {
            return Ok(None);
        }
        self.ask(move |index| index.labels(&ids)).await.map(Some)
    }

    /// Every tag, parameter and metric of a project.
    pub async fn keys(&self, project: String) -> Result<Vec<Key>, Error> {
        self.ask(move |index| index.keys(&project)).await
    }

    pub async fn projects(&self) -> Result<Vec<Project>, Error> {
        self.ask(Index::projects).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Index) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let mut known = self.known.clone();
        let complete = async { drop(known.wait_for(|it| it.is_complete).await) };
        if tokio::time::timeout(PATIENCE, complete).await.is_err() {
            return Err(Error::Building(self.known.borrow().jobs));
        }
        let (to, answer) = oneshot::channel();
        // Whoever went away wants no answer.
        let ask = Message::Ask(Box::new(move |index| drop(to.send(question(index)))));
        self.to.send(ask).map_err(|_| Error::Stopping)?;
        answer.await.map_err(|_| Error::Stopping)
    }
}

impl Keeper {
    fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        while let Some(message) = messages.blocking_recv() {
            match message {
                Message::News(news) => self.news(*news),
                Message::Jobs(jobs, done) => {
                    jobs.into_iter().for_each(|it| self.fill_job(it));
                    self.known.send_modify(|it| it.jobs = self.index.len());
                    let _ = done.send(());
                }
                Message::Runs(runs, done) => {
                    runs.iter().for_each(|it| self.fill_run(it));
                    let _ = done.send(());
                }
                Message::Complete => {
                    self.building = None;
                    self.known.send_modify(|it| it.is_complete = true);
                }
                Message::Ask(question) => question(&self.index),
                Message::Close => return,
            }
        }
    }

    fn news(&mut self, news: News) {
        let building = self.building.as_mut();
        match news {
            News::Queued { id, spec, status } => self.index.put(id, &spec, &status),
            News::Changed { id, status } => {
                if !self.index.change(id, &status)
                    && let Some(building) = building
                {
                    building.changed.insert(id, status);
                }
            }
            News::Told { id, run } => {
                self.index.tell(id, &run);
                if let Some(building) = building {
                    building.told.insert(id, run);
                }
            }
            News::Deleted { id } => {
                self.index.remove(id);
                if let Some(building) = building {
                    building.deleted.insert(id);
                }
            }
        }
    }

    /// What is there already is newer.
    fn fill_job(&mut self, job: StoredJob) {
        let StoredJob { id, spec, mut status } = job;
        let Some(building) = &mut self.building else { return };
        if building.deleted.contains(&id) || self.index.has(id) {
            return;
        }
        if let Some(newer) = building.changed.remove(&id) {
            status = newer;
        }
        self.index.put(id, &spec, &status);
        if let Some(run) = building.told.get(&id) {
            self.index.tell(id, run);
        }
    }

    fn fill_run(&mut self, run: &StoredRun) {
        let StoredRun { id, position: _, run } = run;
        if self.building.as_ref().is_some_and(|it| !it.told.contains_key(id)) {
            self.index.tell(*id, run);
        }
    }
}
