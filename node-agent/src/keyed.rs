//! One at a time for each key.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// A lock per key. Keys that nobody waits for are forgotten.
#[derive(Debug)]
pub struct Keyed<K>(Mutex<HashMap<K, Arc<Turn<()>>>>);

impl<K> Default for Keyed<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Keyed<K> {
    /// Waits for this key's turn, which lasts as long as the guard.
    pub async fn lock(&self, key: K) -> OwnedMutexGuard<()> {
        let turn = {
            // No code of others runs under this lock.
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            turns.entry(key).or_default().clone()
        };
        turn.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_key_is_locked_and_another_is_not() {
        let keyed = Keyed::default();
        let first = keyed.lock("a").await;
        let _other = keyed.lock("b").await;
        let mut waiting = std::pin::pin!(keyed.lock("a"));
        assert!(futures::poll!(&mut waiting).is_pending());
        drop(first);
        waiting.await;
    }

    #[tokio::test]
    async fn keys_that_nobody_holds_are_forgotten() {
        let keyed = Keyed::default();
        for key in 0..100 {
            drop(keyed.lock(key).await);
        }
        assert_eq!(keyed.0.lock().unwrap().len(), 1);
    }
}
