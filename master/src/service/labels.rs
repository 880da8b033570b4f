//! What jobs are called: shown as it is now, and changed afterwards.

use atlas_core::Identity;
use atlas_core::access::{Verb, allow};
use atlas_core::run::{Labels, Relabel};

use super::{Error, Service};
use crate::store::StoredJob;

impl Service {
    /// The job with the name and tags that it has now.
    pub async fn labelled(&self, job: StoredJob) -> Result<StoredJob, Error> {
        let mut jobs = self.all_labelled(vec![job]).await?;
        Ok(jobs.pop().expect("as many as there were"))
    }

    pub async fn all_labelled(&self, jobs: Vec<StoredJob>) -> Result<Vec<StoredJob>, Error> {
        let ids = jobs.iter().map(|it| it.id).collect();
        let labels = match self.runs.labels_if_complete(ids).await? {
            Some(labels) => labels,
            None => self.labels_of_store(&jobs).await?,
        };
        let put_on = |(job, labels): (StoredJob, Option<Labels>)| match labels {
            Some(labels) => StoredJob { spec: labels.put_on(job.spec), ..job },
            // It was deleted just now.
            None => job,
        };
        Ok(jobs.into_iter().zip(labels).map(put_on).collect())
    }

    /// While the index is being built.
    async fn labels_of_store(&self, jobs: &[StoredJob]) -> Result<Vec<Option<Labels>>, Error> {
        let mut all = Vec::with_capacity(jobs.len());
        for job in jobs {
            let run = self.store.run(job.id).await?;
            all.push(Some(Labels::of(&job.spec, run.as_deref())));
        }
        Ok(all)
    }

    /// Returns the job as it is called then.
    pub async fn relabel(
        &self,
        who: &Identity,
        job: &str,
        change: Relabel,
    ) -> Result<StoredJob, Error> {
        allow(who, Verb::Change)?;
        let id = self.find(job).await?.id;
        self.tracker.relabel(id, change).await?;
        self.labelled(self.find(&id.to_string()).await?).await
    }
}
