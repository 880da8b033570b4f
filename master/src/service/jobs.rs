//! Jobs: look up, follow, stop, delete.

use std::time::Duration;

use atlas_core::access::{Verb, allow};
use atlas_core::cluster::Input;
use atlas_core::{Identity, JobId, Phase};
use tokio::sync::mpsc;

use super::{Error, Service};
use crate::store::StoredJob;

/// Queued jobs that one step of clearing ends.
const CLEARED_AT_ONCE: usize = 500;
/// Moving a folder to the trash is one rename; a share that hangs takes longer.
const REMOVAL: Duration = Duration::from_secs(30);

impl Service {
    /// The job now and after each change, until it is done; ends early when nobody listens.
    pub async fn follow(&self, text: &str, to: mpsc::Sender<StoredJob>) -> Result<(), Error> {
        let id = self.find(text).await?.id;
        let mut news = self.feed.follow(id);
        let mut last = None;
        loop {
            news.mark_unchanged();
            let Some(job) = self.store.job(id).await? else { return Ok(()) };
            let done = job.status.phase() == Phase::Done;
            if last.as_ref() != Some(&job.status) {
                last = Some(job.status.clone());
                if to.send(job).await.is_err() {
                    return Ok(());
                }
            }
            if done {
                return Ok(());
            }
            tokio::select! {
                changed = news.changed() => if changed.is_err() { return Ok(()) },
                () = to.closed() => return Ok(()),
            }
        }
    }

    /// The job when it is done, or as it is when so much time has passed.
    pub async fn wait(&self, text: &str, at_most: Duration) -> Result<StoredJob, Error> {
        let id = self.find(text).await?.id;
        let (to, mut jobs) = mpsc::channel(1);
        let drained = async { while jobs.recv().await.is_some() {} };
        let followed = async { tokio::join!(self.follow(text, to), drained).0 };
        if let Ok(followed) = tokio::time::timeout(at_most, followed).await {
            followed?;
        }
        // Who was deleted meanwhile is not there any more.
        self.find(&id.to_string()).await
    }

    /// A queued job ends at once, a running one after its grace.
    pub async fn stop(&self, who: &Identity, text: &str) -> Result<StoredJob, Error> {
        allow(who, Verb::Change)?;
        let job = self.find(text).await?;
        if job.status.phase() == Phase::Done {
            let status = job.status.status();
            return Err(Error::Rejected(atlas_core::cluster::Rejection::AlreadyEnded {
                job: job.id,
                status,
            }));
        }
        self.reactor.ask_for(Input::Stop { job: job.id, by: who.user.clone() }).await?;
        self.find(text).await
    }

    /// Removes everything that is the job's, and nothing else.
    pub async fn delete(&self, who: &Identity, text: &str) -> Result<JobId, Error> {
        allow(who, Verb::Change)?;
        let id = self.find(text).await?.id;
        let mut news = self.feed.follow(id);
        {
            let _turn = self.removals.lock().await;
            let StoredJob { status, .. } = self.find(&id.to_string()).await?;
            self.reactor.ask_for(Input::Delete { job: id, status: Box::new(status) }).await?;
        }
        let removed = async {
            while self.store.job(id).await?.is_some() {
                if news.changed().await.is_err() {
                    break;
                }
            }
            Ok(id)
        };
        let late = || {
            Error::Unavailable(format!(
                "the files of {id} could not be moved to the trash yet; the log of the master says why. Delete it again later"
            ))
        };
        tokio::time::timeout(REMOVAL, removed).await.map_err(|_| late())?
    }

    /// Ends all queued jobs; says how many.
    pub async fn clear_queue(&self, who: &Identity) -> Result<u64, Error> {
        allow(who, Verb::ClearQueue)?;
        let mut ended = 0;
        loop {
            let input = Input::ClearQueue { by: who.user.clone(), limit: CLEARED_AT_ONCE };
            let records = self.reactor.ask_for(input).await?;
            ended += records.len() as u64;
            if records.len() < CLEARED_AT_ONCE {
                return Ok(ended);
            }
        }
    }
}
