//! The way down to each connected node. A node that reads too slowly loses its connection, and hears a complete list when it is back.

use std::collections::BTreeMap;

use atlas_core::agent::Assignment;
use atlas_core::cluster::{Effect, Session};
use atlas_core::{ClusterId, Epoch, NodeName};
use atlas_proto::wire;
use atlas_proto::wire::master_message::Message;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::edge::keys::Keys;

/// Messages on their way to one node; bounded. A link that is cut ends its session.
#[derive(Clone)]
pub struct Link {
    messages: mpsc::Sender<Down>,
    cut: CancellationToken,
}

/// What goes down a link.
pub enum Down {
    /// The first: everything that the node should hold. It may take many messages, made as the node takes them.
    Welcome(WelcomeFacts, Vec<Assignment>),
    Message(Box<Message>),
}

impl Link {
    /// A link on which so many messages may wait.
    pub fn new(most: usize) -> (Self, mpsc::Receiver<Down>) {
        let (messages, from) = mpsc::channel(most);
        (Self { messages, cut: CancellationToken::new() }, from)
    }

    /// A message that must not be lost is one that ends the session when it does not fit.
    pub fn send(&self, what: Down) -> bool {
        let sent = self.messages.try_send(what).is_ok();
        if !sent {
            self.cut.cancel();
        }
        sent
    }

    /// Returns when the session has to end.
    pub async fn is_cut(&self) {
        self.cut.cancelled().await;
    }
}

/// What every welcome says.
#[derive(Clone, Debug)]
pub struct WelcomeFacts {
    pub cluster: ClusterId,
    pub epoch: Epoch,
    /// 0 = until the machine restarts.
    pub lease_ms: u64,
    pub heartbeat_ms: u64,
}

pub(super) struct Links {
    welcome: WelcomeFacts,
    keys: Keys,
    /// Accepted, but not welcomed yet: nothing else may arrive before the welcome.
    opening: BTreeMap<NodeName, (Session, Link)>,
    open: BTreeMap<NodeName, Link>,
}

impl Links {
    pub fn new(welcome: WelcomeFacts, keys: Keys) -> Self {
        Self { welcome, keys, opening: BTreeMap::new(), open: BTreeMap::new() }
    }

    /// The older connection of this node ends here; what was on its way is in the list that the new one begins with.
    pub fn open(&mut self, node: NodeName, session: Session, link: Link) {
        if let Some(older) = self.open.remove(&node) {
            older.cut.cancel();
        }
        self.opening.insert(node, (session, link));
    }

    /// Puts the effect on its node's stream. Whatever does not arrive is in the list that the node hears when it comes back.
    pub fn send(&mut self, effect: Effect) {
        let (node, what) = match effect {
            Effect::Assignments { node, session, list } => {
                match self.opening.remove(&node) {
                    Some((opening, link)) if opening == session => {
                        self.open.insert(node.clone(), link)
                    }
                    Some(newer) => return drop(self.opening.insert(node, newer)),
                    None => return,
                };
                (node, Down::Welcome(self.welcome.clone(), list))
            }
            Effect::Assign { node, assignment } => {
                (node, message(Message::Assign(self.keys.assignment(&assignment))))
            }
            Effect::Stop { node, job, attempt, grace } => {
                let stop = wire::StopAttempt {
                    job: job.to_string(),
                    attempt: attempt.0,
                    grace_ms: grace.0,
                };
                (node, message(Message::Stop(stop)))
            }
            Effect::Release { node, job, attempt } => {
                let release = wire::ReleaseAttempt { job: job.to_string(), attempt: attempt.0 };
                (node, message(Message::Release(release)))
            }
            Effect::Grant { node, span } => {
                (node, message(Message::Grant(wire::Grant { span_ms: span.0 })))
            }
            Effect::Trash { .. } => unreachable!("the reactor sends it to the archive"),
        };
        if let Some(link) = self.open.get(&node)
            && !link.send(what)
        {
            tracing::warn!("node {node} does not read its messages; its connection is cut");
            self.open.remove(&node);
        }
    }
}

fn message(message: Message) -> Down {
    Down::Message(Box::new(message))
}
