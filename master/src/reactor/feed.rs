//! News of what is kept. A listener is told every record; whoever follows a job, or everything, is told that something changed and
//! reads the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use atlas_core::{Epoch, JobId, Record};
use tokio::sync::watch;

use super::news::News;

/// Hears of each record before whoever asked for it; never waits, for the reactor would.
pub type Listener = Box<dyn Fn(&Record) + Send + Sync>;

/// Who listens, who follows which job (nobody, nothing kept), and what changed last.
#[derive(Clone)]
pub struct Feed {
    listeners: Arc<Vec<Listener>>,
    news: News,
    followers: Arc<Mutex<HashMap<JobId, watch::Sender<()>>>>,
}

impl Feed {
    /// Of the leader of this epoch.
    pub fn new(epoch: Epoch, listeners: Vec<Listener>) -> Self {
        let (listeners, news) = (Arc::new(listeners), News::new(epoch));
        Self { listeners, news, followers: Arc::default() }
    }

    /// Of everything.
    pub fn news(&self) -> &News {
        &self.news
    }

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
        self.listeners.iter().for_each(|listener| listener(record));
        self.news.publish(record);
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
