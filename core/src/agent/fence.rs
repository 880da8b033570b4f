//! Refuses a master that has been replaced.

use crate::id::Epoch;

/// The highest epoch that a node has heard.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fence(Epoch);

/// An older master spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("master of epoch {got} was replaced by one of epoch {seen}")]
pub struct Stale {
    pub seen: Epoch,
    pub got: Epoch,
}

impl Fence {
    pub fn admit(&mut self, got: Epoch) -> Result<(), Stale> {
        if got < self.0 {
            return Err(Stale { seen: self.0, got });
        }
        self.0 = got;
        Ok(())
    }
}
