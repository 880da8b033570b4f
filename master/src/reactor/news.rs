//! What changed last, in order and numbered, for those who follow everything. Whoever was away for a while goes on where they were;
//! whoever was away for longer hears that they missed something.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use atlas_core::{Epoch, JobId, NodeName, ProjectName, Record};
use tokio::sync::watch;

/// Changes that are remembered: half a minute of a cluster that does nothing but start and end jobs.
const REMEMBERED: usize = 1 << 16;

/// What changed; how it is now, the store and the reactor say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    Job(JobId),
    JobDeleted(JobId),
    /// What it told of itself.
    Run(JobId),
    /// What people wrote of it.
    Project(ProjectName),
    Node(NodeName),
    NodeRemoved(NodeName),
}

impl Change {
    fn of(record: &Record) -> Option<Self> {
        match record {
            Record::JobQueued { id, .. } | Record::JobChanged { id, .. } => Some(Self::Job(*id)),
            Record::JobDeleted { id } => Some(Self::JobDeleted(*id)),
            Record::NodeChanged(node) => Some(Self::Node(node.spec.name.clone())),
            Record::NodeRemoved(name) => Some(Self::NodeRemoved(name.clone())),
            Record::RunChanged { id, .. } => Some(Self::Run(*id)),
            Record::ProjectChanged { name, .. } => Some(Self::Project(name.clone())),
            Record::LeaseGranted(_) => None,
        }
    }
}

/// A place among the changes: of one leader, and counted from its first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub epoch: Epoch,
    pub number: u64,
}

/// A cheap handle.
#[derive(Clone)]
pub struct News {
    epoch: Epoch,
    last: Arc<watch::Sender<u64>>,
    remembered: Arc<Mutex<VecDeque<Change>>>,
}

impl News {
    /// Of the leader of this epoch.
    pub fn new(epoch: Epoch) -> Self {
        Self { epoch, last: Arc::new(watch::channel(0).0), remembered: Arc::default() }
    }

    /// Behind everything that changed so far.
    pub fn now(&self) -> Place {
        Place { epoch: self.epoch, number: *self.last.borrow() }
    }

    /// Whether there is more to be read. Ask for a receiver before reading, so that nothing is missed.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    /// The changes behind this place, at most so many, and the place behind them. `None` = they are not remembered, or the place
    /// is another leader's.
    pub fn behind(&self, place: Place, most: usize) -> Option<(Vec<Change>, Place)> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = self.now().number.checked_sub(place.number)?;
        let missing = usize::try_from(missing).ok()?;
        let from = remembered.len().checked_sub(missing)?;
        if place.epoch != self.epoch {
            return None;
        }
        let changes: Vec<_> = remembered.range(from..).take(most).cloned().collect();
        let number = place.number + changes.len() as u64;
        Some((changes, Place { number, ..place }))
    }

    pub(super) fn publish(&self, record: &Record) {
        let Some(change) = Change::of(record) else { return };
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() == REMEMBERED {
            remembered.pop_front();
        }
        remembered.push_back(change);
        self.last.send_modify(|number| *number += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deleted(number: u8) -> Record {
        Record::JobDeleted { id: JobId::from_random([number; 16]) }
    }

    #[test]
    fn who_was_away_goes_on_where_they_were_and_who_missed_something_hears_it() {
        let news = News::new(Epoch(3));
        let start = news.now();
        assert_eq!(news.behind(start, 10), Some((Vec::new(), start)));
        for number in 0..3 {
            news.publish(&deleted(number));
        }
        let (first, place) = news.behind(start, 2).unwrap();
        assert_eq!((first.len(), place.number), (2, 2));
        let (rest, place) = news.behind(place, 2).unwrap();
        assert_eq!(rest, [Change::JobDeleted(JobId::from_random([2; 16]))]);
        assert_eq!(place, news.now());

        assert_eq!(news.behind(Place { epoch: Epoch(2), number: 1 }, 10), None, "another leader's");
        assert_eq!(news.behind(Place { epoch: Epoch(3), number: 4 }, 10), None, "not yet there");
        for _ in 0..REMEMBERED {
            news.publish(&deleted(7));
        }
        assert_eq!(news.behind(place, 10).unwrap().0.len(), 10);
        news.publish(&deleted(7));
        assert_eq!(news.behind(place, 10), None, "forgotten");
    }
}
