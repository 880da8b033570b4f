//! Runs, found as jobs are, each with all that it told: what compares thousands of them asks once for a page.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use atlas_core::run::{Labels, Value};
use atlas_core::{JobId, Run};

use super::{Error, Listing, Service};
use crate::reactor::now;
use crate::runs::index::{Columns, Cursor, Found};
use crate::runs::params;
use crate::runs::query::Query;
use crate::store::StoredJob;

/// What the runs of a page may weigh together: it ends before the one with which it would be more. A run alone is within the limits
/// of a run.
const PAGE: u64 = 16 << 20;

/// Bytes of runs that are read from the store together.
const AT_ONCE: usize = 4 << 20;

/// A part of a listing; the newest first where nothing else was asked for.
pub struct RunPage {
    pub runs: Vec<ToldRun>,
    /// Of all pages.
    pub total: usize,
    /// Asks for the next page; `None` = no more.
    pub next: Option<String>,
}

/// A job and what it told.
pub struct ToldRun {
    pub job: StoredJob,
    pub run: Arc<Run>,
}

impl ToldRun {
    /// The one that it or people gave it last, else the submitted one.
    pub fn name(&self) -> Option<String> {
        Labels::of(&self.job.spec, Some(&self.run)).name
    }

    /// Those of its submission, and what it or people changed of them since.
    pub fn tags(&self) -> BTreeMap<String, String> {
        Labels::of(&self.job.spec, Some(&self.run)).tags
    }

    /// Those of its submission, flat, and those that it logged.
    pub fn params(&self) -> BTreeMap<String, Value> {
        let mut all: BTreeMap<String, Value> = params::of(&self.job.spec).into_iter().collect();
        all.extend(self.run.params.clone());
        all
    }
}

impl Service {
    /// A page, which may be shorter than was asked for where runs told much.
    pub async fn list_runs(&self, listing: &Listing) -> Result<RunPage, Error> {
        self.runs_within(listing, PAGE).await
    }

    async fn runs_within(&self, listing: &Listing, most: u64) -> Result<RunPage, Error> {
        let query = listing.query()?;
        let (after, now) = (listing.after(&query)?, now().wall);
        let find = async |limit: usize| {
            let (query, after): (Query, Option<Cursor>) = (query.clone(), after.clone());
            self.runs.find(query, after, limit, now, Columns::These(Vec::new())).await
        };
        let (mut found, _) = find(listing.limit()).await?;
        let mut told = HashMap::new();
        let fit = self.read_told(&found.ids, most, &mut told).await?;
        if fit < found.ids.len() {
            found = find(fit).await?.0;
            // Other ones may be the first by now: there are no more of them.
            self.read_told(&found.ids, u64::MAX, &mut told).await?;
        }
        let Found { ids, total, next } = found;
        let jobs = self.store.jobs_of(&ids).await?.into_iter();
        let runs = jobs.map(|job| ToldRun { run: told.remove(&job.id).unwrap_or_default(), job });
        Ok(RunPage { runs: runs.collect(), total, next: next.map(|it| it.text()) })
    }

    /// Reads what these told as long as it weighs no more than that. How many were read, at least one.
    async fn read_told(
        &self,
        ids: &[JobId],
        most: u64,
        told: &mut HashMap<JobId, Arc<Run>>,
    ) -> Result<usize, Error> {
        let mut weight = 0_u64;
        let (places, wanted): (Vec<usize>, Vec<JobId>) =
            ids.iter().enumerate().filter(|(_, id)| !told.contains_key(id)).unzip();
        let mut read = 0;
        while read < wanted.len() {
            for run in self.store.runs_of(&wanted[read..], AT_ONCE).await? {
                let (at, run) = (places[read], run.unwrap_or_default());
                weight = weight.saturating_add(run.weight.max(1));
                if weight > most && at > 0 {
                    return Ok(at);
                }
                told.insert(wanted[read], run);
                read += 1;
            }
        }
        Ok(ids.len())
    }
}

#[cfg(test)]
mod unit {
    use std::collections::BTreeSet;

    use super::*;
    use crate::service::tests::World;

    #[tokio::test]
    async fn a_page_ends_where_its_runs_told_too_much_and_the_next_one_goes_on_there() {
        let world = World::new().await;
        let mut wanted = BTreeSet::new();
        for number in 0..3 {
            wanted.insert(world.submit_as(number).await);
        }
        let mut listing = Listing { sort: "id".into(), ..Listing::default() };
        let mut found = BTreeSet::new();
        for left in [true, true, false] {
            // Nothing is ever within it, but for the first run of a page.
            let page = world.service.runs_within(&listing, 0).await.unwrap();
            assert_eq!((page.runs.len(), page.total, page.next.is_some()), (1, 3, left));
            found.extend(page.runs.iter().map(|it| it.job.id));
            listing.cursor = page.next.unwrap_or_default();
        }
        assert_eq!(found, wanted);
    }
}
