//! What everybody else holds of the reactor: plain async methods, no channel in sight.

use std::sync::Arc;
use std::time::Duration;

use atlas_core::cluster::{Held, Input, NodeView, Rejection, Session};
use atlas_core::node::{NodeSpec, Troubles};
use atlas_core::{JobId, JobSpec, NodeName, Reason, Record, Revision};
use tokio::sync::{mpsc, oneshot, watch};

use super::links::Link;

/// A store that was away for a moment only is no reason to turn anybody away.
const PATIENCE: Duration = Duration::from_secs(1);

/// A cheap clone for every caller.
#[derive(Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    beats: mpsc::Sender<Beat>,
    refusing: watch::Receiver<Option<String>>,
    kept: watch::Receiver<Revision>,
}

pub(super) enum Request {
    Input(Input, Option<oneshot::Sender<Result<Vec<Record>, Error>>>),
    Join {
        spec: Box<NodeSpec>,
        session: Session,
        troubles: Troubles,
        held: Vec<Held>,
        link: Link,
        to: oneshot::Sender<Result<Vec<Record>, Error>>,
    },
    /// Records that are not the cluster's.
    Keep(Vec<Record>, oneshot::Sender<Result<Vec<Record>, Error>>),
    Ask(Ask),
    /// Nothing more is taken; what was decided is kept and done, and then the reactor ends.
    Close,
}

/// A heartbeat: overtakes everything else.
pub(super) struct Beat {
    pub node: NodeName,
    pub session: Session,
    pub to: oneshot::Sender<Result<(), Rejection>>,
}

pub(super) enum Ask {
    Nodes(oneshot::Sender<Vec<NodeView>>),
    Waiting { limit: usize, to: oneshot::Sender<(Vec<(JobId, Reason)>, usize)> },
    Reason { job: JobId, to: oneshot::Sender<Option<(Reason, usize)>> },
    Counts(oneshot::Sender<Counts>),
    Knows { node: NodeName, identity: String, to: oneshot::Sender<bool> },
    CouldRun { spec: Arc<JobSpec>, to: oneshot::Sender<Result<(), Rejection>> },
}

/// How many jobs the master holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Counts {
    /// Waiting, the ones that are set aside included.
    pub queued: usize,
    /// All that have not left.
    pub live: usize,
}

/// An input that was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error(
        "the master cannot write to its store at the moment ({0}); nothing was changed, try again later"
    )]
    StoreRefuses(String),
    #[error(
        "the master cannot write to its store at the moment ({0}); what was asked is done once it can. The same submission again \
         makes no second job"
    )]
    Unsettled(String),
    #[error("the master is stopping")]
    Stopping,
}

impl Handle {
    pub(super) fn new(
        requests: mpsc::Sender<Request>,
        beats: mpsc::Sender<Beat>,
        refusing: watch::Receiver<Option<String>>,
        kept: watch::Receiver<Revision>,
    ) -> Self {
        Self { requests, beats, refusing, kept }
    }

    /// What a user asks for: answered with its records once they are kept; refused while the store refuses.
    pub async fn ask_for(&self, input: Input) -> Result<Vec<Record>, Error> {
        self.hand_in(input).await?.await
    }

    /// As [`Self::ask_for`], in two steps: what is handed in first comes first, whenever the answers are waited for.
    pub async fn hand_in(
        &self,
        input: Input,
    ) -> Result<impl Future<Output = Result<Vec<Record>, Error>>, Error> {
        self.takes_changes()?;
        let (to, answer) = oneshot::channel();
        self.requests.send(Request::Input(input, Some(to))).await.map_err(|_| Error::Stopping)?;
        Ok(async { self.unless_it_refuses(answer).await?.map_err(|_| Error::Stopping)? })
    }

    /// As [`Self::ask_for`], however long the store refuses: for who has to know what became of it.
    pub async fn settle(&self, input: Input) -> Result<Vec<Record>, Error> {
        self.takes_changes()?;
        let (to, answer) = oneshot::channel();
        self.requests.send(Request::Input(input, Some(to))).await.map_err(|_| Error::Stopping)?;
        answer.await.map_err(|_| Error::Stopping)?
    }

    /// Waits for what was handed in, but no longer once the store has refused for some time.
    pub async fn unless_it_refuses<T>(&self, answer: impl Future<Output = T>) -> Result<T, Error> {
        tokio::select! {
            answer = answer => Ok(answer),
            why = self.stalled() => Err(Error::Unsettled(why)),
        }
    }

    /// Returns once the store has refused for some time, with the reason.
    async fn stalled(&self) -> String {
        let mut refusing = self.refusing.clone();
        loop {
            // Without a reactor nobody refuses; whoever waits for an answer hears that it is gone.
            let Ok(why) = refusing.wait_for(Option::is_some).await.map(|it| it.clone()) else {
                return std::future::pending().await;
            };
            let again = refusing.wait_for(Option::is_none);
            if tokio::time::timeout(PATIENCE, again).await.is_err() {
                return why.unwrap_or_default();
            }
        }
    }

    /// What happened, whether anybody likes it or not. Kept in order; not answered.
    pub async fn tell(&self, input: Input) -> Result<(), Error> {
        self.requests.send(Request::Input(input, None)).await.map_err(|_| Error::Stopping)
    }

    /// Keeps what the cluster does not decide, in the same commits; returns once it is kept, however long the store refuses.
    pub async fn keep(&self, records: Vec<Record>) -> Result<(), Error> {
        let (to, answer) = oneshot::channel();
        self.requests.send(Request::Keep(records, to)).await.map_err(|_| Error::Stopping)?;
        answer.await.map_err(|_| Error::Stopping)?.map(drop)
    }

    /// Opens a node's session; the first message on `link` is the complete list.
    pub async fn join(
        &self,
        spec: NodeSpec,
        session: Session,
        troubles: Troubles,
        held: Vec<Held>,
        link: Link,
    ) -> Result<(), Error> {
        self.takes_changes()?;
        let (to, answer) = oneshot::channel();
        let spec = Box::new(spec);
        self.requests
            .send(Request::Join { spec, session, troubles, held, link, to })
            .await
            .map_err(|_| Error::Stopping)?;
        answer.await.map_err(|_| Error::Stopping)?.map(drop)
    }

    /// Renews a node's lease, also while a commit is out.
    pub async fn heartbeat(&self, node: NodeName, session: Session) -> Result<(), Error> {
        let (to, answer) = oneshot::channel();
        self.beats.send(Beat { node, session, to }).await.map_err(|_| Error::Stopping)?;
        Ok(answer.await.map_err(|_| Error::Stopping)??)
    }

    /// Lets the reactor end once everything that was decided is kept.
    pub async fn close(&self) {
        // It has ended already, then.
        drop(self.requests.send(Request::Close).await);
    }

    pub async fn nodes(&self) -> Result<Vec<NodeView>, Error> {
        self.ask(Ask::Nodes).await
    }

    /// The first waiting jobs with their reasons, and how many wait in all.
    pub async fn waiting(&self, limit: usize) -> Result<(Vec<(JobId, Reason)>, usize), Error> {
        self.ask(|to| Ask::Waiting { limit, to }).await
    }

    /// Why this job waits, and how many stand before it; `None` = it does not wait.
    pub async fn reason(&self, job: JobId) -> Result<Option<(Reason, usize)>, Error> {
        self.ask(|to| Ask::Reason { job, to }).await
    }

    pub async fn counts(&self) -> Result<Counts, Error> {
        self.ask(Ask::Counts).await
    }

    /// Whether the node of this name joined with this identity.
    pub async fn knows(&self, node: NodeName, identity: String) -> Result<bool, Error> {
        self.ask(|to| Ask::Knows { node, identity, to }).await
    }

    /// Refuses a job that no known node could ever run, before anybody goes to any trouble for it.
    pub async fn could_run(&self, spec: Arc<JobSpec>) -> Result<(), Error> {
        Ok(self.ask(|to| Ask::CouldRun { spec, to }).await??)
    }

    /// The last commit that is kept for certain.
    pub fn kept(&self) -> Revision {
        *self.kept.borrow()
    }

    /// Why nothing can be changed at the moment.
    pub fn refusing(&self) -> Option<String> {
        self.refusing.borrow().clone()
    }

    /// Nobody begins what the store would refuse.
    pub fn takes_changes(&self) -> Result<(), Error> {
        match self.refusing() {
            Some(why) => Err(Error::StoreRefuses(why)),
            None => Ok(()),
        }
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Error> {
        let (to, answer) = oneshot::channel();
        self.requests.send(Request::Ask(question(to))).await.map_err(|_| Error::Stopping)?;
        answer.await.map_err(|_| Error::Stopping)
    }
}
