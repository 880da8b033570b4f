//! The reactor on a store that can be told to fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use atlas_core::cluster::{Policy, Snapshot};
use atlas_core::project::About;
use atlas_core::spec::Sealed;
use atlas_core::{BundleId, ClusterId, Epoch, JobId, ProjectName, Run, Status};
use futures::future::BoxFuture;
use tokio::sync::Semaphore;

use super::*;
use crate::edge::seal::Seals;
use crate::edge::token::JobTokens;
use crate::store::{self, Embedded, Lead, Page, StoredJob, StoredProject, StoredRun, contract};

/// The real store behind a door: closed it holds commits back, and answers can be lost or commits refused.
struct Door {
    store: Embedded,
    open: Semaphore,
    lose_answers: AtomicU32,
    refuse: AtomicU32,
}

impl Door {
    fn new(dir: &tempfile::TempDir) -> Arc<Self> {
        let store = Embedded::open(dir.path()).unwrap();
        Arc::new(Self {
            store,
            open: Semaphore::new(0),
            lose_answers: AtomicU32::new(0),
            refuse: AtomicU32::new(0),
        })
    }

    fn let_pass(&self, commits: usize) {
        self.open.add_permits(commits);
    }
}

fn take_one(from: &AtomicU32) -> bool {
    from.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| it.checked_sub(1)).is_ok()
}

fn broken() -> store::Error {
    store::Error::Io { what: "write", place: "a test".into(), source: "told to fail".into() }
}

impl Store for Door {
    fn cluster(&self) -> BoxFuture<'_, Result<Option<ClusterId>, store::Error>> {
        unreachable!("a reactor asks nothing of the past")
    }

    fn lead_above(&self, epoch: Epoch) -> BoxFuture<'_, Result<Lead, store::Error>> {
        self.store.lead_above(epoch)
    }
    fn restore(&self) -> BoxFuture<'_, Result<Snapshot, store::Error>> {
        self.store.restore()
    }
    fn commit<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<(), CommitError>> {
        Box::pin(async move {
            self.open.acquire().await.unwrap().forget();
            if take_one(&self.refuse) {
                self.let_pass(1);
                return Err(CommitError::Refused(broken()));
            }
            self.store.commit(batch).await?;
            if take_one(&self.lose_answers) {
                self.let_pass(1);
                return Err(CommitError::Unknown(broken()));
            }
            Ok(())
        })
    }
    fn mark(&self) -> BoxFuture<'_, Result<Mark, store::Error>> {
        self.store.mark()
    }
    fn job(&self, id: JobId) -> BoxFuture<'_, Result<Option<StoredJob>, store::Error>> {
        self.store.job(id)
    }
    fn jobs_with_prefix<'a>(
        &'a self,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<JobId>, store::Error>> {
        self.store.jobs_with_prefix(prefix, limit)
    }
    fn jobs_of<'a>(
        &'a self,
        ids: &'a [JobId],
    ) -> BoxFuture<'a, Result<Vec<StoredJob>, store::Error>> {
        self.store.jobs_of(ids)
    }
    fn jobs<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Vec<StoredJob>, store::Error>> {
        self.store.jobs(page)
    }
    fn run(&self, id: JobId) -> BoxFuture<'_, Result<Option<Arc<Run>>, store::Error>> {
        self.store.run(id)
    }
    fn runs_of<'a>(
        &'a self,
        ids: &'a [JobId],
        most: usize,
    ) -> BoxFuture<'a, Result<Vec<Option<Arc<Run>>>, store::Error>> {
        self.store.runs_of(ids, most)
    }
    fn runs<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Vec<StoredRun>, store::Error>> {
        self.store.runs(page)
    }
    fn project<'a>(
        &'a self,
        name: &'a ProjectName,
    ) -> BoxFuture<'a, Result<Option<Arc<About>>, store::Error>> {
        self.store.project(name)
    }
    fn projects(&self) -> BoxFuture<'_, Result<Vec<StoredProject>, store::Error>> {
        self.store.projects()
    }
    fn uses_bundle(&self, bundle: BundleId) -> BoxFuture<'_, Result<bool, store::Error>> {
        self.store.uses_bundle(bundle)
    }
}

async fn reactor(store: Arc<Door>) -> (Handle, oneshot::Receiver<Result<(), CommitError>>) {
    let lead = store.lead().await.unwrap();
    let snapshot = store.restore().await.unwrap();
    let (cluster, effects) = Cluster::restore(Policy::default(), now(), snapshot);
    let tasks = Tasks::new();
    let welcome = WelcomeFacts {
        cluster: lead.cluster,
        epoch: lead.mark.epoch,
        lease_ms: 300_000,
        heartbeat_ms: 3000,
    };
    let (trash, _) = mpsc::unbounded_channel();
    let feed = Feed::new(Epoch(1), Vec::new());
    let parts = Parts {
        cluster,
        store,
        mark: lead.mark,
        welcome,
        keys: Keys { tokens: JobTokens::new("key"), seals: Seals::new("key") },
        feed,
        trash,
        effects,
        tasks: tasks.clone(),
    };
    let (reactor, handle) = Reactor::new(parts);
    let (tell, ended) = oneshot::channel();
    tasks.spawn("reactor", async move { drop(tell.send(reactor.run().await)) });
    (handle, ended)
}

fn submit(n: u8) -> (JobId, Input) {
    let id = JobId::from_random([n; 16]);
    (id, Input::Submit { id, spec: contract::spec().into(), sealed: Sealed::default() })
}

fn is_queued(job: Option<StoredJob>) -> bool {
    job.is_some_and(|it| it.status.status() == Status::Queued)
}

#[tokio::test]
async fn nobody_is_answered_before_it_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = Door::new(&dir);
    let (handle, _ended) = reactor(store.clone()).await;
    let (id, input) = submit(1);
    let mut answer = std::pin::pin!(handle.ask_for(input));
    assert!(futures::poll!(&mut answer).is_pending());
    // The reactor has seen it: it answers questions that come later.
    while handle.counts().await.unwrap() != (Counts { queued: 1, live: 1 }) {}
    assert!(futures::poll!(&mut answer).is_pending(), "it was answered while its commit was out");
    store.let_pass(1);
    assert_eq!(answer.await.unwrap().len(), 1);
    assert!(is_queued(store.job(id).await.unwrap()));
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_not_done_twice() {
    let dir = tempfile::tempdir().unwrap();
    let store = Door::new(&dir);
    store.lose_answers.store(1, Ordering::SeqCst);
    store.let_pass(2);
    let (handle, _ended) = reactor(store.clone()).await;
    let (first, input) = submit(1);
    handle.ask_for(input).await.unwrap();
    let (second, input) = submit(2);
    handle.ask_for(input).await.unwrap();
    for id in [first, second] {
        assert!(is_queued(store.job(id).await.unwrap()));
    }
}

#[tokio::test]
async fn what_was_decided_while_the_store_refuses_is_kept_and_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Door::new(&dir);
    store.refuse.store(3, Ordering::SeqCst);
    store.let_pass(2);
    let (handle, _ended) = reactor(store.clone()).await;
    let (id, input) = submit(1);
    let first = handle.ask_for(input);
    let second = async {
        while handle.refusing().is_none() {
            tokio::task::yield_now().await;
        }
        handle.ask_for(submit(2).1).await
    };
    let (first, second) = tokio::join!(first, second);
    assert!(first.is_ok());
    assert!(matches!(second, Err(Error::StoreRefuses(_))), "{second:?}");
    assert!(is_queued(store.job(id).await.unwrap()));
    assert_eq!(handle.refusing(), None);
}

#[tokio::test]
async fn whoever_waits_for_a_store_that_goes_on_refusing_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = Door::new(&dir);
    store.refuse.store(1_000, Ordering::SeqCst);
    store.let_pass(1);
    let (handle, _ended) = reactor(store.clone()).await;
    let (id, input) = submit(1);
    let answer = handle.ask_for(input).await;
    assert!(matches!(answer, Err(Error::Unsettled(_))), "{answer:?}");
    store.refuse.store(0, Ordering::SeqCst);
    // What was decided is kept all the same.
    while handle.refusing().is_some() {
        tokio::task::yield_now().await;
    }
    assert!(is_queued(store.job(id).await.unwrap()));
}

#[tokio::test]
async fn what_the_cluster_does_not_decide_is_kept_in_the_same_commits() {
    let dir = tempfile::tempdir().unwrap();
    let store = Door::new(&dir);
    let (handle, _ended) = reactor(store.clone()).await;
    let (id, input) = submit(1);
    store.let_pass(1);
    handle.ask_for(input).await.unwrap();
    let before = handle.kept();
    let run = Arc::new(Run { weight: 7, ..Run::default() });
    let keep = handle.keep(vec![Record::RunChanged { id, run: run.clone() }]);
    let let_pass = async {
        assert_eq!(store.run(id).await.unwrap(), None);
        store.let_pass(1);
    };
    let (kept, ()) = tokio::join!(keep, let_pass);
    kept.unwrap();
    assert_eq!(store.run(id).await.unwrap(), Some(run));
    assert_eq!(handle.kept(), before.next());
}

#[tokio::test]
async fn a_master_that_was_overtaken_ends() {
    let dir = tempfile::tempdir().unwrap();
    let store = Door::new(&dir);
    let (handle, ended) = reactor(store.clone()).await;
    store.lead().await.unwrap();
    store.let_pass(1);
    let answer = handle.ask_for(submit(1).1).await;
    assert!(matches!(answer, Err(Error::Stopping)), "{answer:?}");
    assert!(matches!(ended.await.unwrap(), Err(CommitError::Overtaken { .. })));
}

#[tokio::test]
async fn a_closed_reactor_keeps_what_was_decided_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let store = Door::new(&dir);
    let (handle, ended) = reactor(store.clone()).await;
    let (id, input) = submit(1);
    handle.tell(input).await.unwrap();
    handle.close().await;
    store.let_pass(1);
    ended.await.unwrap().unwrap();
    assert!(is_queued(store.job(id).await.unwrap()));
    assert!(matches!(handle.ask_for(submit(2).1).await, Err(Error::Stopping)));
}
