//! News of single jobs for those who follow them. A follower is told that something changed and reads the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use atlas_core::{JobId, Record};
use tokio::sync::watch;

/// Who follows which job. Nobody, nothing kept.
#[derive(Clone, Default)]
pub struct Feed {
    followers: Arc<Mutex<HashMap<JobId, watch::Sender<()>>>>,
}

impl Feed {
    /// Changes of this job from now on. Read the store after this, not before.
    pub fn follow(&self, job: JobId) -> watch::Receiver<()> {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        let follower = followers.entry(job).or_insert_with(|| watch::channel(()).0).subscribe();
        // Jobs that ended while nobody followed any more; looked for each time the number has doubled.
        if followers.len().is_power_of_two() {
            followers.retain(|_, sender| sender.receiver_count() > 0);
        }
        follower
    }

    /// After the record is kept.
    pub(super) fn publish(&self, record: &Record) {
        if let Some(job) = record.job() {
            self.tell(job);
        }
    }

    /// There is something new of the job.
    pub fn tell(&self, job: JobId) {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = followers.get(&job)
            && sender.send(()).is_err()
        {
            followers.remove(&job);
        }
    }
}
