//! What this node finds wrong with itself. While there is anything, its master gives it no new jobs; what runs is not touched.
//! Each condition is looked after by one watcher, and ends by itself.

pub mod clock;
pub mod disk;
pub mod share;

use std::sync::Arc;

use atlas_core::node::{Condition, Troubles};
use tokio::sync::watch;

/// A handle for those who look and those who tell.
#[derive(Clone, Debug, Default)]
pub struct Conditions(Arc<watch::Sender<Troubles>>);

impl Conditions {
    /// Sets a condition with its reason, or clears it. It is said when it comes and when it goes.
    pub fn set(&self, condition: Condition, reason: Option<String>) {
        self.0.send_if_modified(|troubles| {
            let word = condition.word();
            match (troubles.has(condition), &reason) {
                (false, Some(why)) => tracing::warn!("this node takes no new jobs: {word}: {why}"),
                (true, None) => tracing::info!("{word} is in order again"),
                _ => {}
            }
            troubles.set(condition, reason)
        });
    }

    pub fn subscribe(&self) -> watch::Receiver<Troubles> {
        self.0.subscribe()
    }
}

#[cfg(test)]
impl Conditions {
    pub fn now(&self) -> Troubles {
        self.0.borrow().clone()
    }
}
