//! What this node finds wrong with itself. While there is anything, its master gives it no new jobs; what runs is not touched.
//! Each condition is looked after by one watcher, and ends by itself.

pub mod clock;
pub mod disk;
pub mod share;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use atlas_core::node::{Condition, Troubles};
use tokio::sync::watch;

/// A handle for those who look and those who tell.
#[derive(Clone, Debug, Default)]
pub struct Conditions(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    troubles: watch::Sender<Troubles>,
    /// Those that people were told of.
    said: Mutex<BTreeSet<Condition>>,
}

impl Conditions {
    /// Sets a condition with its reason, or clears it. It is said when it comes and when it goes.
    pub fn set(&self, condition: Condition, reason: Option<String>) {
        let word = condition.word();
        let mut said = self.0.said.lock().unwrap_or_else(PoisonError::into_inner);
        match &reason {
            Some(why) if said.insert(condition) => {
                tracing::warn!("this node takes no new jobs: {word}: {why}");
            }
            None if said.remove(&condition) => tracing::info!("{word} is in order again"),
            _ => {}
        }
        drop(said);
        self.0.troubles.send_if_modified(|troubles| troubles.set(condition, reason));
    }

    /// Nobody has looked yet, which is no reason to tell people.
    pub fn unknown(&self, condition: Condition, reason: &str) {
        self.0.troubles.send_if_modified(|it| it.set(condition, Some(reason.to_owned())));
    }

    pub fn subscribe(&self) -> watch::Receiver<Troubles> {
        self.0.troubles.subscribe()
    }
}

#[cfg(test)]
impl Conditions {
    pub fn now(&self) -> Troubles {
        self.0.troubles.borrow().clone()
    }
}
