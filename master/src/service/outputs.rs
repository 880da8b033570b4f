//! What a job wrote: removed, and no longer there.

use std::time::Duration;

use atlas_core::access::{Verb, allow};
use atlas_core::cluster::Input;
use atlas_core::job::{Removal, Remover, Written};
use atlas_core::{Identity, JobId, JobState, Timestamp};

use super::{Error, Service};
use crate::reactor::now;
use crate::store::StoredJob;
use crate::usage::Subject;

/// Moving folders to the trash is a few renames; a share that hangs takes longer.
const REMOVAL: Duration = Duration::from_secs(30);

impl Service {
    /// Removes what a job wrote, and nothing that is known of it. The job as it is then.
    pub async fn remove_outputs(&self, who: &Identity, text: &str) -> Result<StoredJob, Error> {
        allow(who, Verb::Change)?;
        let id = self.find(text).await?.id;
        let mut news = self.feed.follow(id);
        self.begin_removal(id, Remover::User(who.user.clone())).await?;
        let removed = async {
            loop {
                let job = self.find(&id.to_string()).await?;
                let goes_on = matches!(
                    job.status.state,
                    JobState::Done { written: Written::Removing(_), .. }
                );
                if !goes_on || news.changed().await.is_err() {
                    return Ok(job);
                }
            }
        };
        let late = || {
            Error::Unavailable(format!(
                "what job {id} wrote could not be moved to the trash yet; the log of the master says why. Ask for it again later"
            ))
        };
        tokio::time::timeout(REMOVAL, removed).await.map_err(|_| late())?
    }

    /// From here on it is gone for everybody, whoever dies.
    pub async fn begin_removal(&self, id: JobId, by: Remover) -> Result<(), Error> {
        let bytes = self.written(&self.find(&id.to_string()).await?).await?;
        let _turn = self.removals.lock().await;
        let StoredJob { status, .. } = self.find(&id.to_string()).await?;
        let input = Input::RemoveOutputs { job: id, status: Box::new(status), by, bytes };
        self.reactor.ask_for(input).await?;
        Ok(())
    }

    /// Bytes of what a finished job wrote; `None` = nobody waited until they were counted.
    async fn written(&self, job: &StoredJob) -> Result<Option<u64>, Error> {
        let JobState::Done { written: Written::Kept, .. } = &job.status.state else {
            return Ok(None);
        };
        self.measure_lacking(&[Subject::of(job, now().wall)]).await?;
        Ok(self.measured.job(job.id).map(|it| it.written()))
    }
}

impl Error {
    /// What is asked for was removed.
    pub fn removed(job: JobId, removal: &Removal) -> Self {
        Self::Removed { job, by: removal.by.to_string(), at: removal.at }
    }
}

/// As people write a time.
pub(super) fn date(at: Timestamp) -> String {
    let at = i64::try_from(at.0).ok().and_then(|it| jiff::Timestamp::from_millisecond(it).ok());
    at.map_or_else(|| "an unknown day".to_owned(), |it| format!("{it:.0}"))
}
