//! The global queue: jobs by position. A job that is set aside keeps its position and does not block.

use std::collections::BTreeMap;

use crate::id::{JobId, Position};

#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    eligible: BTreeMap<Position, JobId>,
    aside: BTreeMap<Position, JobId>,
    /// The head was looked at and nothing that could change the answer has happened since.
    head_waits: bool,
}

impl Queue {
    pub fn insert(&mut self, position: Position, job: JobId) {
        let first = self.eligible.keys().next().is_none_or(|head| position < *head);
        if first {
            self.head_waits = false;
        }
        self.eligible.insert(position, job);
    }

    pub fn remove(&mut self, position: Position) {
        if self.eligible.keys().next() == Some(&position) {
            self.head_waits = false;
        }
        if self.eligible.remove(&position).is_none() {
            self.aside.remove(&position);
        }
    }

    /// The head, unless it is known to wait.
    pub fn next(&self) -> Option<(Position, JobId)> {
        if self.head_waits { None } else { self.head() }
    }

    pub fn head(&self) -> Option<(Position, JobId)> {
        self.eligible.first_key_value().map(|(position, job)| (*position, *job))
    }

    pub fn head_waits(&mut self) {
        self.head_waits = true;
    }

    /// Resources were freed: the head may fit now.
    pub fn look_again(&mut self) {
        self.head_waits = false;
    }

    pub fn set_aside(&mut self, position: Position) {
        if let Some(job) = self.eligible.remove(&position) {
            self.aside.insert(position, job);
        }
        self.head_waits = false;
    }

    /// The nodes changed: whoever was set aside is looked at anew, at its old position.
    pub fn reconsider(&mut self) {
        self.eligible.append(&mut self.aside);
        self.head_waits = false;
    }

    pub fn is_aside(&self, position: Position) -> bool {
        self.aside.contains_key(&position)
    }

    pub fn len(&self) -> usize {
        self.eligible.len() + self.aside.len()
    }

    pub fn contains(&self, position: Position) -> bool {
        self.eligible.contains_key(&position) || self.aside.contains_key(&position)
    }

    /// All waiting jobs in order.
    pub fn iter(&self) -> impl Iterator<Item = (Position, JobId)> + '_ {
        let mut all: Vec<_> =
            self.eligible.iter().chain(&self.aside).map(|(at, job)| (*at, *job)).collect();
        all.sort_unstable();
        all.into_iter()
    }

    /// The waiting jobs before this position.
    pub fn ahead_of(&self, position: Position) -> usize {
        self.eligible.range(..position).count() + self.aside.range(..position).count()
    }
}
