//! Who fills a folder of the archive: whoever began last, and one piece of work at a time. A stream that was cut may leave work behind
//! that the storage holds on to; whoever ships again waits for that.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// The folders that are being filled. Those that nobody fills are forgotten.
#[derive(Debug, Default)]
pub struct Fillings(Mutex<HashMap<PathBuf, Arc<Turn<u64>>>>);

/// The right to fill a folder, until somebody else begins to.
#[derive(Debug)]
pub struct Filling {
    last: Arc<Turn<u64>>,
    number: u64,
}

/// While it is held, nobody else writes to the folder.
pub type Alone = OwnedMutexGuard<u64>;

impl Fillings {
    /// Waits for work that goes on in the folder. Whoever filled it before does so no more.
    pub async fn begin(&self, folder: &Path) -> Filling {
        let last = {
            // No code of others runs under this lock.
            let mut folders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            folders.retain(|_, it| Arc::strong_count(it) > 1);
            folders.entry(folder.to_owned()).or_default().clone()
        };
        let mut number = last.clone().lock_owned().await;
        *number += 1;
        Filling { last, number: *number }
    }
}

impl Filling {
    /// `None` = somebody else has begun.
    pub async fn alone(&self) -> Option<Alone> {
        let last = self.last.clone().lock_owned().await;
        (*last == self.number).then_some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_began_last_fills_a_folder_when_the_work_before_has_ended() {
        let fillings = Fillings::default();
        let first = fillings.begin(Path::new("a")).await;
        let other = fillings.begin(Path::new("b")).await;
        let works = first.alone().await.unwrap();
        let mut second = Box::pin(fillings.begin(Path::new("a")));
        assert!(futures::poll!(&mut second).is_pending(), "two write at the same time");
        assert!(other.alone().await.is_some());
        drop(works);
        let second = second.await;
        assert!(first.alone().await.is_none());
        assert!(second.alone().await.is_some());
        drop((first, second, other));
        drop(fillings.begin(Path::new("c")).await);
        assert_eq!(fillings.0.lock().unwrap().len(), 1);
    }
}
