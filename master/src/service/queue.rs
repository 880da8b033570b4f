//! The queue as people see it: who waits, and why.

use super::{Error, Service};
use crate::store::StoredJob;

/// A waiting job.
pub struct Waiting {
    /// 1 = next.
    pub place: u64,
    pub job: StoredJob,
    pub reason: String,
}

impl Service {
    /// The first `limit` waiting jobs in order, and how many wait in all.
    pub async fn queue(&self, limit: usize) -> Result<(Vec<Waiting>, u64), Error> {
        let limit = if limit == 0 { 100 } else { limit.min(1000) };
        let (waiting, total) = self.reactor.waiting(limit).await?;
        let mut jobs = Vec::with_capacity(waiting.len());
        for (place, (id, reason)) in (1..).zip(waiting) {
            // It may have left the queue since.
            if let Some(job) = self.store.job(id).await? {
                jobs.push(Waiting { place, job, reason: reason.to_string() });
            }
        }
        Ok((jobs, total as u64))
    }

    /// Why this job waits; `None` = it does not.
    pub async fn why(&self, job: atlas_core::JobId) -> Result<Option<String>, Error> {
        Ok(self
            .reactor
            .reason(job)
            .await?
            .map(|(reason, ahead)| format!("{reason}; {ahead} before it")))
    }
}
