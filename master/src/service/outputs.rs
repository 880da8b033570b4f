//! What a job wrote: removed, and no longer there.

use std::time::Duration;

use atlas_core::access::{Verb, allow};
use atlas_core::cluster::Input;
use atlas_core::job::{Removal, Remover, Written};
use atlas_core::retention::KEEP;
use atlas_core::run::Labels;
use atlas_core::{Identity, JobId, JobState, ProjectName, Retention, Timestamp};

use super::{Error, Service};
use crate::reactor::now;
use crate::retention::rule;
use crate::runs::index::{Columns, Found};
use crate::runs::query::Query;
use crate::store::StoredJob;
use crate::usage::Subject;

/// Moving folders to the trash is a few renames; a share that hangs takes longer.
const REMOVAL: Duration = Duration::from_secs(30);

impl Service {
    /// Removes what a job wrote, and nothing that is known of it. The job as it is then.
    pub async fn remove_outputs(&self, who: &Identity, text: &str) -> Result<StoredJob, Error> {
        allow(who, Verb::Change)?;
        let id = self.find(text).await?.id;
        let by = Remover::User(who.user.clone());
        self.removed_by(id, self.begin_removal(id, by)).await
    }

    /// The job, when the removal that begins now has ended.
    async fn removed_by(
        &self,
        id: JobId,
        begin: impl Future<Output = Result<(), Error>>,
    ) -> Result<StoredJob, Error> {
        let mut news = self.feed.follow(id);
        begin.await?;
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

    /// Jobs that ended longer ago than their project's rule allows, the oldest first.
    pub async fn outlived(
        &self,
        project: &ProjectName,
        rule: Retention,
        most: usize,
    ) -> Result<Vec<JobId>, Error> {
        Ok(self.due(project.as_str(), rule, most).await?.ids)
    }

    /// So many of them there are.
    pub(super) async fn due(
        &self,
        project: &str,
        rule: Retention,
        most: usize,
    ) -> Result<Found, Error> {
        let text = format!("{} sort ended", rule::due(rule));
        let query = Query::parse(&text).expect("a rule is a filter").of_project(project);
        let none = Columns::These(Vec::new());
        Ok(self.runs.find(query, None, most, now().wall, none).await?.0)
    }

    /// Removes what a job wrote because its time is over; false = somebody keeps it, or it is gone. As long as this looks nobody
    /// changes the job's tags: whoever set the tag before is heard.
    pub async fn retire(&self, id: JobId, rule: Retention) -> Result<bool, Error> {
        let rule = rule::text(Some(rule));
        let begin = async {
            let Some(job) = self.store.job(id).await? else { return Ok(false) };
            let untouched = self.tracker.while_untouched(id, async |run| {
                if Labels::of(&job.spec, Some(run)).tags.contains_key(KEEP) {
                    return Ok(false);
                }
                self.begin_removal(id, Remover::Retention(rule.clone())).await.map(|()| true)
            });
            untouched.await?
        };
        if !begin.await? {
            return Ok(false);
        }
        let job = self.removed_by(id, async { Ok(()) }).await?;
        let project = &job.spec.project;
        tracing::info!(job.id = %id, "what job {id} wrote was removed: the retention of project {project} is {rule}");
        Ok(true)
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
