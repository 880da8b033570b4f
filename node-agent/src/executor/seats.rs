//! Which slots of this node are in use. A slot is a folder with a number; the lowest free one is taken, so that there are never
//! more of them than jobs ran at the same time.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The numbers in use.
#[derive(Clone, Debug, Default)]
pub(super) struct Seats(Arc<Mutex<BTreeSet<u32>>>);

/// A number that is in use as long as this lives.
#[derive(Debug)]
pub(super) struct Seat {
    number: u32,
    seats: Seats,
}

impl Seats {
    /// The lowest number that is free.
    pub(super) fn take(&self) -> Seat {
        let mut taken = self.taken();
        let number =
            (0..).find(|number| !taken.contains(number)).expect("jobs are fewer than that");
        taken.insert(number);
        Seat { number, seats: self.clone() }
    }

    /// This very number; `None` = it is in use.
    pub(super) fn take_this(&self, number: u32) -> Option<Seat> {
        self.taken().insert(number).then(|| Seat { number, seats: self.clone() })
    }

    fn taken(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    pub(super) fn number(&self) -> u32 {
        self.number
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_number_is_taken() {
        let seats = Seats::default();
        let found = seats.take_this(1).unwrap();
        assert!(seats.take_this(1).is_none());
        let [first, second] = [(); 2].map(|()| seats.take());
        assert_eq!((first.number(), second.number()), (0, 2));
        drop(found);
        assert_eq!(seats.take().number(), 1);
    }
}
