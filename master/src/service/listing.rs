//! Jobs, found by what they are and what they told.

use std::collections::HashMap;

use atlas_core::run::Value;
use atlas_core::{JobId, ProjectName, Status, id};

use super::{Error, Service};
use crate::reactor::now;
use crate::runs::index::{Columns, Cursor, Values};
use crate::runs::query::{Field, Query};
use crate::store::StoredJob;

/// The most jobs of one page, and how many it has if nobody says.
const MOST: usize = 1000;
const USUAL: usize = 100;

/// What is asked for, as it came; all of it must hold.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    pub project: Option<String>,
    pub status: Option<String>,
    pub user: Option<String>,
    /// In the language of [`Query`], an order behind it if there is one.
    pub filter: String,
    /// The order alone.
    pub sort: String,
    /// What is shown of the runs: tags, parameters and metrics with commas between them, `*` = every parameter and metric. What
    /// filter and order speak of is shown without asking.
    pub columns: String,
    /// Of the page before; empty = the first page.
    pub cursor: String,
    /// 0 = the usual number.
    pub limit: usize,
}

/// A part of a listing; the newest first where nothing else was asked for.
pub struct JobPage {
    pub jobs: Vec<ListedJob>,
    pub columns: Vec<Field>,
    /// Of all pages.
    pub total: usize,
    /// Asks for the next page; `None` = no more.
    pub next: Option<String>,
}

/// A job and what its run has in each column of the page.
pub struct ListedJob {
    pub job: StoredJob,
    pub values: Vec<Option<Value>>,
}

impl Service {
    pub async fn list(&self, listing: &Listing) -> Result<JobPage, Error> {
        let query = listing.query()?;
        let (after, limit) = (listing.after(&query)?, listing.limit());
        let columns = listing.columns(&query)?;
        let (found, values) = self.runs.find(query, after, limit, now().wall, columns).await?;
        let Values { columns, rows } = values;
        let mut rows: HashMap<JobId, Vec<Option<Value>>> =
            found.ids.iter().copied().zip(rows).collect();
        let jobs = self.store.jobs_of(&found.ids).await?;
        let jobs = self.all_labelled(jobs).await?.into_iter();
        let listed = |job: StoredJob| {
            let values = rows.remove(&job.id).unwrap_or_default();
            ListedJob { job, values }
        };
        let jobs = jobs.map(listed).collect();
        Ok(JobPage { jobs, columns, total: found.total, next: found.next.map(|it| it.text()) })
    }
}

impl Listing {
    /// Where the page before ended.
    pub(super) fn after(&self, query: &Query) -> Result<Option<Cursor>, Error> {
        let wrong = || Error::invalid("cursor", "it is of no page of this listing");
        match self.cursor.as_str() {
            "" => Ok(None),
            text => Cursor::read(text, query).ok_or_else(wrong).map(Some),
        }
    }

    pub(super) fn limit(&self) -> usize {
        if self.limit == 0 { USUAL } else { self.limit.min(MOST) }
    }

    fn columns(&self, query: &Query) -> Result<Columns, Error> {
        if self.columns.trim() == "*" {
            return Ok(Columns::All);
        }
        let asked = Query::parse_keys(&self.columns)
            .map_err(|why| Error::invalid("columns", why.to_string()))?;
        let mut keys = query.keys();
        asked.into_iter().for_each(|it| it.add_to(&mut keys));
        Ok(Columns::These(keys))
    }

    pub(super) fn query(&self) -> Result<Query, Error> {
        let wrong =
            |field| move |why: crate::runs::query::Invalid| Error::invalid(field, why.to_string());
        let mut query = Query::parse(&self.filter).map_err(wrong("filter"))?;
        let sort = Query::parse_sort(&self.sort).map_err(wrong("sort"))?;
        match (sort.is_empty(), query.sort.is_empty()) {
            (false, false) => {
                return Err(Error::invalid("sort", "the filter ends with an order already"));
            }
            (false, true) => query.sort = sort,
            (true, _) => {}
        }
        if let Some(project) = &self.project {
            let project: ProjectName = project
                .parse()
                .map_err(|why: id::Invalid| Error::invalid("project", why.to_string()))?;
            query = query.of_project(project.as_str());
        }
        if let Some(status) = &self.status {
            query = query.with_status(parse_status(status)?);
        }
        Ok(match &self.user {
            Some(user) => query.of_user(user),
            None => query,
        })
    }
}

fn parse_status(text: &str) -> Result<Status, Error> {
    use Status::{Completed, Failed, Queued, Running};
    let known = [Queued, Running, Completed, Failed];
    let found = known.into_iter().find(|it| it.word() == text.to_ascii_lowercase());
    found.ok_or_else(|| {
        Error::invalid("status", format!("{text:?} is none of queued, running, completed, failed"))
    })
}
