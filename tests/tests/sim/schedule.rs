//! What happens when. Events of one moment happen in the order in which they were scheduled.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use atlas_core::cluster::Trash;
use atlas_core::node::Condition;
use atlas_core::{Attempt, JobId};

use crate::faults::Fault;

pub type NodeId = usize;
pub type ConnId = u64;
/// One incarnation of a process, or one start of a machine.
pub type Life = u64;
pub type Key = (JobId, Attempt);

#[derive(Clone, Copy, Debug)]
pub enum Event {
    MasterStarts,
    Tick { life: Life },
    StoreWrites { write: u64 },
    StoreAnswers { life: Life, answer: Answer },
    CommitsAgain { life: Life },
    MasterExits { life: Life },
    Trashed { life: Life, job: JobId, what: Trash },
    AtMaster { conn: ConnId },
    ClosedAtMaster { conn: ConnId },

    Boots { node: NodeId },
    AgentStarts { node: NodeId },
    Connects { node: NodeId, life: Life },
    AtNode { conn: ConnId },
    ClosedAtNode { conn: ConnId },
    WelcomeIsDue { conn: ConnId },
    Beats { conn: ConnId },
    Unpacked { node: NodeId, life: Life, key: Key },
    ArchiveWritten { node: NodeId, life: Life, key: Key },
    Notice { node: NodeId, life: Life, key: Key },
    Ships { node: NodeId, life: Life, key: Key },
    Told { call: u64, length: Option<u64> },
    GivesUp { call: u64 },

    Asked { call: u64 },
    Written { life: Life, job: JobId },
    Compacts { life: Life, job: JobId },

    Prepared { node: NodeId, boot: Life, key: Key },
    Tells { node: NodeId, boot: Life, key: Key },
    Exits { node: NodeId, boot: Life, key: Key, because: Because },
    Deadline { node: NodeId, boot: Life, key: Key },
    TimeLimit { node: NodeId, boot: Life, key: Key },

    Submits { job: usize },
    Stops { job: usize },
    Clears,
    Deletes { job: usize },
    RemovesNode { node: NodeId },
    Recovers { node: NodeId, condition: Condition },

    Strikes { fault: Fault },
    CalmBegins,
}

/// What a store says of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Kept,
    Refused,
    /// The answer was lost.
    Unknown,
    Overtaken,
}

/// Why a process of a job ends at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// It has done its work.
    Done,
    /// It obeyed SIGTERM.
    Obeyed,
    /// SIGKILL after the grace.
    Killed,
}

#[derive(Default)]
pub struct Schedule {
    due: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    last: u64,
}

impl Schedule {
    pub fn at(&mut self, time: u64, event: Event) {
        self.last += 1;
        self.due.push(Reverse((time, self.last)));
        self.events.insert(self.last, event);
    }

    pub fn pop(&mut self) -> Option<(u64, Event)> {
        let Reverse((time, number)) = self.due.pop()?;
        Some((time, self.events.remove(&number).expect("it was scheduled")))
    }
}
