//! The one task that owns the cluster. It takes inputs in batches, commits their records in one round trip, then performs the
//! effects and answers the callers. While a commit is out, the next batch gathers and heartbeats pass.
//!
//! **Invariant:** nothing leaves before it is kept: no effect, no answer, no news.

mod commit;
mod feed;
mod handle;
mod links;
mod news;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use atlas_core::cluster::{Effect, Input, Rejection, Step, Trash};
use atlas_core::{Cluster, Epoch, Mono, Now, Record, Revision, Timestamp};
use atlas_runtime::clock;
use atlas_runtime::tasks::Tasks;
use tokio::sync::{mpsc, oneshot, watch};

use crate::edge::keys::Keys;
use crate::store::{Batch, CommitError, Mark, Store};

#[cfg(test)]
pub use commit::{Held, until_known};
pub use feed::{Feed, Listener};
pub use handle::Counts;
use handle::{Ask, Beat, Request};
pub use handle::{Error, Handle};
pub use links::{Down, Link, WelcomeFacts};
pub use news::{Change, Place};

/// Requests that wait for the reactor.
const REQUESTS: usize = 4096;
/// Records of one group commit, beyond which no further request is taken into it.
const BATCH_RECORDS: usize = 2048;
/// Requests that are taken at a time, before heartbeats are looked at again.
const BATCH_REQUESTS: usize = 512;
/// How often leases are looked at.
const TICK: Duration = Duration::from_secs(1);

/// What the reactor is made of.
pub struct Parts {
    pub cluster: Cluster,
    pub store: Arc<dyn Store>,
    pub mark: Mark,
    pub welcome: WelcomeFacts,
    pub keys: Keys,
    pub feed: Feed,
    /// Files of jobs that are to be moved to the trash.
    pub trash: mpsc::UnboundedSender<(atlas_core::JobId, Trash)>,
    /// Outstanding since before the restart.
    pub effects: Vec<Effect>,
    pub tasks: Tasks,
}

/// The loop and everything that it alone owns.
pub struct Reactor {
    cluster: Cluster,
    store: Arc<dyn Store>,
    epoch: Epoch,
    revision: Revision,
    links: links::Links,
    feed: Feed,
    trash: mpsc::UnboundedSender<(atlas_core::JobId, Trash)>,
    gathering: Pending,
    requests: mpsc::Receiver<Request>,
    beats: mpsc::Receiver<Beat>,
    refusing: watch::Sender<Option<String>>,
    kept: watch::Sender<Revision>,
    /// A commit that has to know all that lives, and how it asks.
    asked: mpsc::Receiver<oneshot::Sender<commit::Held>>,
    ask: commit::Ask,
    tasks: Tasks,
}

/// What has been decided but not yet kept.
#[derive(Default)]
struct Pending {
    records: Vec<Record>,
    effects: Vec<Effect>,
    answers: Vec<Answer>,
}

/// A caller that waits until what it asked for is kept.
struct Answer {
    to: oneshot::Sender<Result<Vec<Record>, Error>>,
    what: Result<Vec<Record>, Rejection>,
}

/// A commit that is out.
struct Flight {
    fate: oneshot::Receiver<Result<(), CommitError>>,
    pending: Pending,
}

impl Reactor {
    /// The reactor and the handle that everybody else holds.
    pub fn new(parts: Parts) -> (Self, Handle) {
        let Parts { cluster, store, mark, welcome, keys, feed, trash, effects, tasks } = parts;
        let (sender, requests) = mpsc::channel(REQUESTS);
        let (beat_sender, beats) = mpsc::channel(REQUESTS);
        let (refusing, is_refusing) = watch::channel(None);
        let (kept, is_kept) = watch::channel(mark.revision);
        let (ask, asked) = mpsc::channel(1);
        let gathering = Pending { effects, ..Pending::default() };
        let (epoch, revision) = (mark.epoch, mark.revision);
        let links = links::Links::new(welcome, keys);
        let reactor = Self {
            cluster,
            store,
            epoch,
            revision,
            links,
            feed,
            trash,
            gathering,
            requests,
            beats,
            refusing,
            kept,
            asked,
            ask,
            tasks,
        };
        (reactor, Handle::new(sender, beat_sender, is_refusing, is_kept))
    }

    /// Runs until it is closed, or another master leads.
    pub async fn run(mut self) -> Result<(), CommitError> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut flight: Option<Flight> = None;
        let mut open = true;
        while open || flight.is_some() || !self.gathering.records.is_empty() {
            if flight.is_none() {
                flight = self.take_off();
            }
            let room = open && self.gathering.records.len() < BATCH_RECORDS;
            tokio::select! {
                biased;
                Some(beat) = self.beats.recv() => self.beat(beat),
                landed = land(&mut flight) => self.landed(landed)?,
                Some(to) = self.asked.recv() => self.hold_out(&mut flight, to),
                request = self.requests.recv(), if room => match request {
                    Some(request) => self.request_and_more(request),
                    None => open = false,
                },
                _ = tick.tick() => self.input(Input::Tick, None),
            }
        }
        Ok(())
    }

    /// Starts the commit of what has gathered; what needs none is done at once.
    fn take_off(&mut self) -> Option<Flight> {
        let mut pending = std::mem::take(&mut self.gathering);
        if pending.records.is_empty() {
            self.perform(pending);
            return None;
        }
        let records = std::mem::take(&mut pending.records);
        let last = Mark { epoch: self.epoch, revision: self.revision };
        let batch = Arc::new(Batch::next(last, records));
        self.revision = batch.revision;
        pending.records.clone_from(&batch.records);
        let (tell, fate) = oneshot::channel();
        let (store, refusing) = (self.store.clone(), self.refusing.clone());
        let ask = self.ask.clone();
        self.tasks.spawn("commit", async move {
            // The reactor is there until every flight has landed.
            drop(tell.send(commit::until_known(store, batch, refusing, ask).await));
        });
        Some(Flight { fate, pending })
    }

    /// All that lives, for the commit that is out: what gathered meanwhile is in it, and so is kept when that lands.
    fn hold_out(&mut self, flight: &mut Option<Flight>, to: oneshot::Sender<commit::Held>) {
        let Some(Flight { pending, .. }) = flight else { return };
        let Pending { records, effects, answers } = std::mem::take(&mut self.gathering);
        pending.records.extend(records);
        pending.effects.extend(effects);
        pending.answers.extend(answers);
        let held = commit::Held { live: self.cluster.live(), decided: pending.records.clone() };
        // A commit that went away wants nothing.
        drop(to.send(held));
    }

    fn landed(&mut self, landed: (Result<(), CommitError>, Pending)) -> Result<(), CommitError> {
        let (result, pending) = landed;
        result?;
        self.kept.send_replace(self.revision);
        self.perform(pending);
        Ok(())
    }

    /// The effects, the news and the answers of what is kept now.
    fn perform(&mut self, pending: Pending) {
        let Pending { records, effects, answers } = pending;
        for effect in effects {
            match effect {
                // Nobody is left to move it only when the master is going down; a restart brings the effect back.
                Effect::Trash { job, what } => drop(self.trash.send((job, what))),
                other => self.links.send(other),
            }
        }
        for record in &records {
            self.feed.publish(record);
        }
        for Answer { to, what } in answers {
            // A caller that went away does not mind.
            drop(to.send(what.map_err(Error::Rejected)));
        }
    }

    fn request_and_more(&mut self, first: Request) {
        self.request(first);
        for _ in 1..BATCH_REQUESTS {
            if self.gathering.records.len() >= BATCH_RECORDS {
                return;
            }
            let Ok(request) = self.requests.try_recv() else { return };
            self.request(request);
        }
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Input(input, to) => self.input(input, to),
            Request::Join { spec, session, troubles, held, link, to } => {
                let node = spec.name.clone();
                let join = Input::Join { spec, session, troubles, held };
                let what = self.cluster.handle(now(), join);
                let what = what.map(|step| self.gather(step, true));
                if what.is_ok() {
                    self.links.open(node, session, link);
                }
                self.gathering.answers.push(Answer { to, what });
            }
            Request::Keep(records, to) => {
                self.gathering.records.extend(records);
                self.gathering.answers.push(Answer { to, what: Ok(Vec::new()) });
            }
            Request::Ask(ask) => self.ask(ask),
            Request::Close => self.requests.close(),
        }
    }

    fn input(&mut self, input: Input, to: Option<oneshot::Sender<Result<Vec<Record>, Error>>>) {
        let what = self.cluster.handle(now(), input).map(|step| self.gather(step, to.is_some()));
        if let Some(to) = to {
            self.gathering.answers.push(Answer { to, what });
        }
    }

    fn gather(&mut self, step: Step, answered: bool) -> Vec<Record> {
        let Step { records, effects } = step;
        let copy = if answered { records.clone() } else { Vec::new() };
        self.gathering.records.extend(records);
        self.gathering.effects.extend(effects);
        copy
    }

    /// A heartbeat makes no record of its own; what becomes possible because of it goes the usual way.
    fn beat(&mut self, beat: Beat) {
        let Beat { node, session, to } = beat;
        let result = self.cluster.handle(now(), Input::Heartbeat { node, session });
        let heard = result.map(|step| drop(self.gather(step, false)));
        drop(to.send(heard));
    }

    fn ask(&mut self, ask: Ask) {
        let now = now();
        match ask {
            Ask::Nodes(to) => drop(to.send(self.cluster.node_views(now))),
            Ask::Waiting { limit, to } => {
                let waiting = self.cluster.waiting(now).take(limit).collect();
                drop(to.send((waiting, self.cluster.queued_jobs())));
            }
            Ask::Reason { job, to } => {
                drop(to.send(self.cluster.reason(now, job).zip(self.cluster.ahead_of(job))));
            }
            Ask::Counts(to) => {
                let counts =
                    Counts { queued: self.cluster.queued_jobs(), live: self.cluster.live_jobs() };
                drop(to.send(counts));
            }
            Ask::Knows { node, identity, to } => {
                let _ = to.send(self.cluster.knows(&node, &identity));
            }
            Ask::CouldRun { spec, to } => drop(to.send(self.cluster.refuse_impossible(&spec))),
        }
    }
}

/// Both clocks, read together.
pub fn now() -> Now {
    Now { wall: Timestamp(clock::Wall::now()), mono: Mono(clock::Boottime::now()) }
}

/// Waits for the commit that is out; for ever if none is.
async fn land(flight: &mut Option<Flight>) -> (Result<(), CommitError>, Pending) {
    let Some(Flight { fate, .. }) = flight else { return std::future::pending().await };
    let result = fate.await.expect("a commit neither panics nor is cancelled");
    let Flight { pending, .. } = flight.take().expect("it was there");
    (result, pending)
}
