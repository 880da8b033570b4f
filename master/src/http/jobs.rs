//! Jobs: listed, shown, waited for, stopped, deleted.

use std::collections::BTreeMap;
use std::time::Duration;

use aide::axum::ApiRouter;
use aide::axum::routing::{delete_with, get_with, post_with};
use atlas_core::run::{Relabel, Value};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::App;
use super::answer::Tagged;
use super::asked::{Body, Limit, Path, Query, Who};
use super::error::Problem;
use super::views::{Details, Job};
use crate::service::{ListedJob, Listing};

/// The longest time that one request waits, in seconds, and the usual one.
const LONGEST_WAIT: u32 = 600;
const USUAL_WAIT: u32 = 60;

#[derive(Deserialize, JsonSchema)]
pub struct JobPath {
    /// Its id, or any unique beginning of it of 4 or more digits.
    #[schemars(regex(pattern = "^[0-9A-Fa-f-]{4,36}$"))]
    pub job: String,
}

#[derive(Deserialize, JsonSchema)]
struct ListQuery {
    project: Option<String>,
    /// queued, running, completed or failed.
    status: Option<String>,
    user: Option<String>,
    /// Which jobs, and in which order: `params.lr<=0.01 and status=failed sort -metrics.acc.max` (docs/using/finding-runs.md).
    filter: Option<String>,
    /// The order alone: `-metrics.acc.max, name`. The filter may end with one instead.
    sort: Option<String>,
    /// Tags, parameters and metrics to show, with commas between them: `params.lr,metrics.loss.min`; `*` = every parameter and metric.
    /// What filter and order speak of is shown beside them.
    columns: Option<String>,
    limit: Option<Limit>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of jobs, newest first where no order was asked for.
#[derive(Serialize, JsonSchema)]
struct Jobs {
    jobs: Vec<Listed>,
    /// What each job's `columns` may hold, in order.
    columns: Vec<String>,
    /// Of all pages.
    total: usize,
    /// Asks for the next page; null = there is none.
    next_cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ListedJob")]
struct Listed {
    #[serde(flatten)]
    job: Job,
    /// What it has of those that were asked for.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    columns: BTreeMap<String, Value>,
}

#[derive(Deserialize, JsonSchema)]
struct GetQuery {
    /// `done`: the answer comes when the job is done, or when `timeout_s` is over, whatever it is then.
    wait: Option<WaitFor>,
    /// Seconds.
    timeout_s: Option<Seconds>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum WaitFor {
    Done,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(try_from = "u32")]
struct Seconds(#[schemars(range(max = 600))] u32);

impl TryFrom<u32> for Seconds {
    type Error = String;

    fn try_from(seconds: u32) -> Result<Self, String> {
        if seconds <= LONGEST_WAIT {
            Ok(Self(seconds))
        } else {
            Err(format!("{seconds} s are more than {LONGEST_WAIT} s: ask again instead"))
        }
    }
}

/// What is not said stays as it is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct JobLabels {
    name: Option<String>,
    /// A tag of the value null is taken away.
    #[serde(default)]
    tags: BTreeMap<String, Option<String>>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeletedJob")]
struct Deleted {
    id: String,
}

pub fn routes() -> ApiRouter<App> {
    ApiRouter::new()
        .api_route(
            "/jobs",
            get_with(list, |it| it.id("list_jobs").summary("Jobs, newest first").tag("jobs")),
        )
        .api_route(
            "/jobs/{job}",
            get_with(get, |it| {
                it.id("get_job").summary("A job, now or when it is done").tag("jobs")
            })
            .patch_with(relabel, |it| {
                it.id("relabel_job").summary("Changes a job's name and tags").tag("jobs")
            })
            .delete_with(delete, |it| {
                let what = "Removes a job that is done, and everything that is kept of it";
                it.id("delete_job").summary(what).tag("jobs")
            }),
        )
        .api_route(
            "/jobs/{job}/outputs",
            delete_with(remove_outputs, |it| {
                let what = "Removes what a job that is done wrote; all that is known of it stays";
                it.id("remove_outputs").summary(what).tag("jobs")
            }),
        )
        .api_route(
            "/jobs/{job}/stop",
            post_with(stop, |it| {
                let what = "Ends a job: at once if it waits, else after its grace";
                it.id("stop_job").summary(what).tag("jobs")
            }),
        )
}

async fn list(State(app): State<App>, query: Query<ListQuery>) -> Result<Json<Jobs>, Problem> {
    let Query(ListQuery { project, status, user, filter, sort, columns, limit, cursor }) = query;
    let page = app
        .service
        .list(&Listing {
            project,
            status,
            user,
            filter: filter.unwrap_or_default(),
            sort: sort.unwrap_or_default(),
            columns: columns.unwrap_or_default(),
            cursor: cursor.unwrap_or_default(),
            limit: limit.unwrap_or_default().get(),
        })
        .await?;
    let names: Vec<String> = page.columns.iter().map(ToString::to_string).collect();
    let listed = |it: ListedJob| {
        let values = names.iter().cloned().zip(it.values);
        let columns = values.filter_map(|(name, value)| Some((name, value?))).collect();
        Listed { job: Job::from(&it.job), columns }
    };
    let jobs = page.jobs.into_iter().map(listed).collect();
    Ok(Json(Jobs { jobs, columns: names, total: page.total, next_cursor: page.next }))
}

async fn get(
    State(app): State<App>,
    Path(JobPath { job }): Path<JobPath>,
    Query(GetQuery { wait, timeout_s }): Query<GetQuery>,
) -> Result<Tagged<Details>, Problem> {
    let job = match wait {
        None => app.service.find(&job).await?,
        Some(WaitFor::Done) => {
            let Seconds(seconds) = timeout_s.unwrap_or(Seconds(USUAL_WAIT));
            app.service.wait(&job, Duration::from_secs(seconds.into())).await?
        }
    };
    let why = app.service.why(job.id).await?;
    Ok(Tagged(Details::of(&app.service.labelled(job).await?, why)))
}

async fn stop(
    State(app): State<App>,
    Who(who): Who,
    Path(JobPath { job }): Path<JobPath>,
    _: Query<()>,
) -> Result<Json<Job>, Problem> {
    let job = app.service.stop(&who, &job).await?;
    Ok(Json(Job::from(&app.service.labelled(job).await?)))
}

async fn relabel(
    State(app): State<App>,
    Who(who): Who,
    Path(JobPath { job }): Path<JobPath>,
    _: Query<()>,
    Body(JobLabels { name, tags }): Body<JobLabels>,
) -> Result<Tagged<Details>, Problem> {
    let job = app.service.relabel(&who, &job, Relabel { name, tags }).await?;
    let why = app.service.why(job.id).await?;
    Ok(Tagged(Details::of(&job, why)))
}

async fn remove_outputs(
    State(app): State<App>,
    Who(who): Who,
    Path(JobPath { job }): Path<JobPath>,
    _: Query<()>,
) -> Result<Json<Details>, Problem> {
    let job = app.service.remove_outputs(&who, &job).await?;
    Ok(Json(Details::of(&app.service.labelled(job).await?, None)))
}

async fn delete(
    State(app): State<App>,
    Who(who): Who,
    Path(JobPath { job }): Path<JobPath>,
    _: Query<()>,
) -> Result<Json<Deleted>, Problem> {
    let id = app.service.delete(&who, &job).await?.to_string();
    Ok(Json(Deleted { id }))
}
