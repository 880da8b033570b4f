//! Connections between nodes and master: ordered while they last, and they break.

use std::collections::{BTreeMap, VecDeque};

use atlas_core::agent::Assignment;
use atlas_core::cluster::Held;
use atlas_core::node::{NodeSpec, Troubles};
use atlas_core::time::Millis;
use atlas_core::{Attempt, Epoch, JobId};

use crate::schedule::{ConnId, Event, Life, NodeId};
use crate::world::World;

/// From a node to the master.
pub enum Up {
    Join(Box<NodeSpec>, Troubles, Vec<Held>),
    Troubles(Troubles),
    Beat(u64),
    Report(Held),
}

/// From the master to a node.
pub enum Down {
    Welcome { epoch: Epoch, list: Vec<Assignment>, lease: Option<Millis> },
    Assign(Assignment),
    Stop { job: JobId, attempt: Attempt, grace: Millis },
    Release { job: JobId, attempt: Attempt },
    Grant(Millis),
    Answer(u64),
}

pub struct Conn {
    pub node: NodeId,
    /// The incarnation of the master that it leads to.
    pub master: Life,
    up: Pipe<Up>,
    down: Pipe<Down>,
    /// What is on its way does not arrive any more.
    pub broken: bool,
}

struct Pipe<T> {
    messages: VecDeque<T>,
    last_arrives: u64,
}

#[derive(Default)]
pub struct Net {
    conns: BTreeMap<ConnId, Conn>,
    last: ConnId,
}

impl<T> Pipe<T> {
    fn new() -> Self {
        Self { messages: VecDeque::new(), last_arrives: 0 }
    }
}

impl Net {
    pub fn open(&mut self, node: NodeId, master: Life) -> ConnId {
        self.last += 1;
        let (up, down) = (Pipe::new(), Pipe::new());
        self.conns.insert(self.last, Conn { node, master, up, down, broken: false });
        self.last
    }

    pub fn get(&self, conn: ConnId) -> Option<&Conn> {
        self.conns.get(&conn)
    }

    /// The next message to arrive at the master.
    pub fn take_up(&mut self, conn: ConnId) -> Option<Up> {
        self.conns.get_mut(&conn).filter(|it| !it.broken)?.up.messages.pop_front()
    }

    pub fn take_down(&mut self, conn: ConnId) -> Option<Down> {
        self.conns.get_mut(&conn).filter(|it| !it.broken)?.down.messages.pop_front()
    }

    pub fn of_node(&self, node: NodeId) -> Vec<ConnId> {
        self.conns.iter().filter(|(_, it)| it.node == node && !it.broken).map(|it| *it.0).collect()
    }

    pub fn all(&self) -> Vec<ConnId> {
        self.conns.iter().filter(|(_, it)| !it.broken).map(|it| *it.0).collect()
    }
}

impl World {
    pub fn send_up(&mut self, conn: ConnId, message: Up) {
        let arrives = self.now + self.delay();
        let Some(it) = self.net.conns.get_mut(&conn).filter(|it| !it.broken) else { return };
        it.up.last_arrives = it.up.last_arrives.max(arrives);
        it.up.messages.push_back(message);
        let at = it.up.last_arrives;
        self.schedule.at(at, Event::AtMaster { conn });
    }

    pub fn send_down(&mut self, conn: ConnId, message: Down) {
        let arrives = self.now + self.delay();
        let Some(it) = self.net.conns.get_mut(&conn).filter(|it| !it.broken) else { return };
        it.down.last_arrives = it.down.last_arrives.max(arrives);
        it.down.messages.push_back(message);
        let at = it.down.last_arrives;
        self.schedule.at(at, Event::AtNode { conn });
    }

    pub fn delay(&mut self) -> u64 {
        if self.now < self.slow_until {
            self.rng.between(0, 8_000)
        } else {
            self.rng.between(0, 30)
        }
    }

    /// The connection breaks; each end notices in its own time.
    pub fn break_conn(&mut self, conn: ConnId) {
        let Some(it) = self.net.conns.get_mut(&conn) else { return };
        it.broken = true;
        let (at_master, at_node) = (self.rng.between(0, 3_000), self.rng.between(0, 3_000));
        self.schedule.at(self.now + at_master, Event::ClosedAtMaster { conn });
        self.schedule.at(self.now + at_node, Event::ClosedAtNode { conn });
    }

    /// Nothing arrives any more and nobody is told: the master notices by its keep-alive, the node by unanswered heartbeats.
    pub fn cut_conn(&mut self, conn: ConnId) {
        let Some(it) = self.net.conns.get_mut(&conn) else { return };
        it.broken = true;
        let keep_alive = self.rng.between(10_000, 60_000);
        self.schedule.at(self.now + keep_alive, Event::ClosedAtMaster { conn });
    }

    /// The process at one end is gone: what it had sent still arrives, then the other end hears of it.
    pub fn master_end_dies(&mut self, conn: ConnId) {
        let Some(it) = self.net.conns.get(&conn) else { return };
        let at = it.down.last_arrives.max(self.now) + 1;
        self.schedule.at(at, Event::ClosedAtNode { conn });
    }

    pub fn node_end_dies(&mut self, conn: ConnId) {
        let Some(it) = self.net.conns.get(&conn) else { return };
        let at = it.up.last_arrives.max(self.now) + 1;
        self.schedule.at(at, Event::ClosedAtMaster { conn });
    }
}
