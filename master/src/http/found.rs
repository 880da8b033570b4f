//! Runs, found as jobs are, each with what it told: what compares many of them asks for here.

use std::collections::BTreeMap;

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use atlas_core::run::Value;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::App;
use super::asked::{Limit, Query};
use super::error::Problem;
use super::told::Metric;
use super::views::Job;
use crate::service::{Listing, ToldRun};

#[derive(Deserialize, JsonSchema)]
struct RunsQuery {
    project: Option<String>,
    /// queued, running, completed or failed.
    status: Option<String>,
    user: Option<String>,
    /// Which runs, and in which order: `params.lr<=0.01 and status=failed sort -metrics.acc.max` (docs/using/finding-runs.md).
    filter: Option<String>,
    /// The order alone: `-metrics.acc.max, name`. The filter may end with one instead.
    sort: Option<String>,
    limit: Option<Limit>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of runs, newest first where no order was asked for. It may have fewer than `limit` where they told much.
#[derive(Serialize, JsonSchema)]
struct Runs {
    runs: Vec<FoundRun>,
    /// Of all pages.
    total: usize,
    /// Asks for the next page; null = there is none.
    next_cursor: Option<String>,
}

/// A job and what it told, numbers as in `Run`.
#[derive(Serialize, JsonSchema)]
struct FoundRun {
    job: Job,
    /// The name that it gave itself, else the submitted one.
    name: Option<String>,
    /// Those of its submission, and those that it set.
    tags: BTreeMap<String, String>,
    /// Those of its submission, flat (`net_layers_0`), and those that it logged.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    params: BTreeMap<String, Value>,
    metrics: BTreeMap<String, Metric>,
}

pub fn routes() -> ApiRouter<App> {
    ApiRouter::new().api_route(
        "/runs",
        get_with(list, |it| {
            let what = "Runs with their tags, parameters and metrics, newest first";
            it.id("list_runs").summary(what).tag("runs")
        }),
    )
}

async fn list(State(app): State<App>, query: Query<RunsQuery>) -> Result<Json<Runs>, Problem> {
    let Query(RunsQuery { project, status, user, filter, sort, limit, cursor }) = query;
    let listing = Listing {
        project,
        status,
        user,
        filter: filter.unwrap_or_default(),
        sort: sort.unwrap_or_default(),
        columns: String::new(),
        cursor: cursor.unwrap_or_default(),
        limit: limit.unwrap_or_default().get(),
    };
    let page = app.service.list_runs(&listing).await?;
    let runs = page.runs.iter().map(FoundRun::of).collect();
    Ok(Json(Runs { runs, total: page.total, next_cursor: page.next }))
}

impl FoundRun {
    fn of(told: &ToldRun) -> Self {
        let metrics = told.run.metrics.iter().map(|(key, it)| (key.clone(), Metric::of(it)));
        Self {
            job: Job::from(&told.job),
            name: told.name(),
            tags: told.tags(),
            params: told.params(),
            metrics: metrics.collect(),
        }
    }
}
