//! The one task that owns what this node decides ([`Agent`]): orders and news go in, actions come out and are carried out
//! here. Each attempt has a task of its own, which this one tells what is wished.

mod attempt;
mod exit;
mod found;
mod keeping;
mod kept;
mod left;

use std::collections::BTreeMap;
use std::sync::Arc;

use atlas_core::agent::{Action, Agent, Assignment, Input, Report, Stale};
use atlas_core::cluster::Held;
use atlas_core::time::Millis;
use atlas_core::{Epoch, JobId};
use atlas_proto::convert::{Assigned, Entrusted};
use atlas_proto::wire::{self, node_message};
use atlas_runtime::config::Secret;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::logs::LogState;
use crate::node::Node;
use crate::paths::{AttemptId, JobDir};

use attempt::{Attempt, Origin};
pub use found::{Found, find};
pub use kept::{Error as KeptError, Kept};

/// Orders and news that may wait for the driver.
const INBOX: usize = 256;

/// A handle on the driver.
#[derive(Clone)]
pub struct Handle(mpsc::Sender<Message>);

/// The way up to the master, as long as a session lasts.
#[derive(Clone)]
pub struct Up {
    pub messages: mpsc::Sender<wire::NodeMessage>,
    /// Set when something could not be said: the session must begin anew, and then says everything.
    pub overrun: CancellationToken,
}

/// What the master wants of an attempt. Wishes only ever grow, so that none is lost and none counts twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    pub stop: Option<Millis>,
    pub kill: bool,
    pub archive: bool,
    pub remove: bool,
}

/// An attempt as the proxy sees it.
#[derive(Clone, Debug)]
pub struct View {
    pub dir: JobDir,
    pub log: watch::Receiver<LogState>,
}

/// What is for a job alone.
type ForJob = Secret<Entrusted>;

/// Beside the assignments of one message.
type ForJobs = BTreeMap<AttemptId, Option<ForJob>>;

enum Message {
    /// A session begins; its stream takes what is reported from now on.
    Open {
        up: Up,
        held: oneshot::Sender<Vec<Held>>,
    },
    Assignments {
        epoch: Epoch,
        list: Vec<Assigned>,
        reply: oneshot::Sender<Result<(), Stale>>,
    },
    Assign(Assigned),
    Order(Input),
    Report(AttemptId, Report),
    Find(AttemptId, oneshot::Sender<Option<View>>),
}

/// `None` from any of these: the agent shuts down.
impl Handle {
    /// Everything that is held, as the first word of a session.
    pub async fn open(&self, up: Up) -> Option<Vec<Held>> {
        let (held, answer) = oneshot::channel();
        self.0.send(Message::Open { up, held }).await.ok()?;
        answer.await.ok()
    }

    /// The complete list of what should be held.
    pub async fn assignments(
        &self,
        epoch: Epoch,
        list: Vec<Assigned>,
    ) -> Option<Result<(), Stale>> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Message::Assignments { epoch, list, reply }).await.ok()?;
        answer.await.ok()
    }

    /// One more to hold.
    pub async fn assign(&self, assigned: Assigned) -> Option<()> {
        self.0.send(Message::Assign(assigned)).await.ok()
    }

    /// Any other order of the master.
    pub async fn obey(&self, order: Input) -> Option<()> {
        self.0.send(Message::Order(order)).await.ok()
    }

    /// What the proxy may show of an attempt.
    pub async fn find(&self, id: AttemptId) -> Option<View> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Message::Find(id, reply)).await.ok()?;
        answer.await.ok()?
    }

    async fn report(&self, id: AttemptId, report: Report) {
        // It fails only while the agent shuts down; the next one finds out by itself.
        let _ = self.0.send(Message::Report(id, report)).await;
    }
}

/// The driver itself.
pub struct Driver {
    node: Arc<Node>,
    agent: Agent,
    attempts: BTreeMap<AttemptId, Entry>,
    /// Of jobs that were begun here, the last attempt: cancelled when no process of it is left.
    alive: BTreeMap<JobId, CancellationToken>,
    /// The present session's stream.
    up: Option<Up>,
    inbox: mpsc::Receiver<Message>,
    handle: Handle,
    epoch: watch::Sender<Epoch>,
}

struct Entry {
    wishes: watch::Sender<Wishes>,
    view: View,
}

impl Driver {
    /// A driver that goes on with what was found on the disk.
    pub fn new(node: Arc<Node>, epoch: watch::Sender<Epoch>, found: Vec<Found>) -> (Self, Handle) {
        let (sender, inbox) = mpsc::channel(INBOX);
        let handle = Handle(sender);
        let held = found.iter().map(|it| (it.id.job, it.id.attempt, it.report.clone())).collect();
        let mut driver = Self {
            node,
            agent: Agent::new(held),
            attempts: BTreeMap::new(),
            alive: BTreeMap::new(),
            up: None,
            inbox,
            handle: handle.clone(),
            epoch,
        };
        for found in found {
            driver.begin(found.id, Origin::Found(found.state));
        }
        (driver, handle)
    }

    /// Works until the agent shuts down. Jobs are left to their supervisors.
    pub async fn run(mut self) {
        let shutdown = self.node.tasks.clone();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                message = self.inbox.recv() => match message {
                    Some(message) => self.handle(message),
                    None => return,
                },
            }
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Open { up, held } => {
                let list = self.agent.held().map(|(job, attempt, report)| Held {
                    job,
                    attempt,
                    report: report.clone(),
                });
                if held.send(list.collect()).is_ok() {
                    self.up = Some(up);
                }
            }
            Message::Assignments { epoch, list, reply } => {
                let (list, for_jobs) = list.into_iter().map(part).unzip();
                let done = self.agent.handle(Input::Assignments { epoch, list });
                let done = done.map(|actions| {
                    self.epoch.send_replace(epoch);
                    self.perform(actions, for_jobs);
                });
                let _ = reply.send(done); // a session that is gone asks again
            }
            Message::Assign(assigned) => {
                let (assignment, for_job) = part(assigned);
                self.apply(Input::Assign { assignment }, [for_job].into());
            }
            Message::Order(input) => self.apply(input, ForJobs::new()),
            Message::Report(id, report) => {
                let AttemptId { job, attempt } = id;
                self.apply(Input::Local { job, attempt, report }, ForJobs::new());
            }
            Message::Find(id, reply) => {
                let _ = reply.send(self.attempts.get(&id).map(|it| it.view.clone()));
            }
        }
    }

    fn apply(&mut self, input: Input, for_jobs: ForJobs) {
        match self.agent.handle(input) {
            Ok(actions) => self.perform(actions, for_jobs),
            Err(stale) => tracing::warn!("{stale}: not obeyed"),
        }
    }

    fn perform(&mut self, actions: Vec<Action>, mut for_jobs: ForJobs) {
        for action in actions {
            match action {
                Action::Start { job, attempt, work } => {
                    let id = AttemptId { job, attempt };
                    // A supervisor that an agent before this one started may have it.
                    if !self.attempts.contains_key(&id) {
                        let entrusted = for_jobs.remove(&id).flatten();
                        let entrusted =
                            entrusted.expect("what is to start was assigned just now, to run");
                        self.begin(id, Origin::Assigned(work, entrusted));
                    }
                }
                Action::Stop { job, attempt, grace } => {
                    self.wish(AttemptId { job, attempt }, |it| it.stop = Some(grace));
                }
                Action::Kill { job, attempt } => {
                    let id = AttemptId { job, attempt };
                    // Now, not when it is gone: the heartbeats that follow are not for it.
                    self.node.leases.end(&self.node.data.job(id).control());
                    self.wish(id, |it| it.kill = true);
                }
                Action::Archive { job, attempt } => {
                    self.wish(AttemptId { job, attempt }, |it| it.archive = true);
                }
                Action::Remove { job, attempt } => {
                    let id = AttemptId { job, attempt };
                    self.wish(id, |it| it.remove = true);
                    self.attempts.remove(&id);
                }
                Action::Report { job, attempt, report } => {
                    self.tell(wire::Held::of(job, attempt, &report));
                }
            }
        }
    }

    fn begin(&mut self, id: AttemptId, origin: Origin) {
        let (wishes, wished) = watch::channel(Wishes::default());
        let (log, seen) = watch::channel(LogState::default());
        let dir = self.node.data.job(id);
        let gone = CancellationToken::new();
        self.alive.retain(|_, gone| !gone.is_cancelled());
        let before = self.alive.insert(id.job, gone.clone());
        self.attempts.insert(id, Entry { wishes, view: View { dir: dir.clone(), log: seen } });
        let attempt = Attempt {
            node: self.node.clone(),
            driver: self.handle.clone(),
            id,
            dir,
            wishes: wished,
            log,
            spool: watch::Sender::new(None),
            before,
            gone: Some(gone.drop_guard()),
        };
        let tasks = self.node.tasks.clone();
        self.node.tasks.spawn(&format!("job {id}"), async move {
            tokio::select! {
                () = tasks.cancelled() => {}
                () = attempt.run(origin) => {}
            }
        });
    }

    fn wish(&self, id: AttemptId, change: impl FnOnce(&mut Wishes)) {
        if let Some(entry) = self.attempts.get(&id) {
            entry.wishes.send_modify(change);
        }
    }

    /// What the stream cannot take now is said again when the next one begins.
    fn tell(&mut self, held: wire::Held) {
        let Some(up) = &self.up else { return };
        let message = wire::NodeMessage { message: Some(node_message::Message::Report(held)) };
        if up.messages.try_send(message).is_err() {
            up.overrun.cancel();
            self.up = None;
        }
    }
}

/// An assignment for the core, and what the core has no use for.
fn part(assigned: Assigned) -> (Assignment, (AttemptId, Option<ForJob>)) {
    let Assigned { assignment, entrusted } = assigned;
    let id = AttemptId { job: assignment.job, attempt: assignment.attempt };
    (assignment, (id, entrusted.map(Secret::new)))
}
