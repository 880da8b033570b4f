//! What jobs tell of themselves: names, tags, parameters, metrics, artifacts; and the points of metrics.

use std::collections::BTreeMap;

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use atlas_core::JobId;
use atlas_core::run::{Artifact, Left, Run, Scalar, Summary, Synced, Value};
use axum::Json;
use axum::extract::State;
use futures::{StreamExt, TryStreamExt, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::App;
use super::answer::Tagged;
use super::asked::{Body, Path, Query};
use super::error::Problem;
use super::jobs::JobPath;
use crate::service::{self, Error};

/// Series of one request: so many runs times so many metrics.
const MOST_SERIES: usize = 1000;
/// Points of one series, unless the request says otherwise.
const USUAL_POINTS: u32 = 1000;
/// Series that are read at a time for one request.
const AT_ONCE: usize = 4;

/// What a job has told of itself so far. A number that JSON has no word for is `{"$float": "nan"}` (or `inf`, `-inf`), an integer beyond
/// 64 bits `{"$int": "…"}`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Run")]
struct Told {
    job: String,
    /// The name that it gave itself.
    name: Option<String>,
    tags: BTreeMap<String, String>,
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    params: BTreeMap<String, Value>,
    metrics: BTreeMap<String, Metric>,
    artifacts: Vec<Saved>,
    /// Folders that it uploads: what each held when it was uploaded last.
    synced: Vec<Folder>,
    /// Of its process: Python, packages, arguments.
    #[schemars(with = "Option<serde_json::Value>")]
    facts: Option<Value>,
    left_out: LeftOut,
}

/// All points of a metric, in short: those of the lowest rank that logged it.
#[derive(Serialize, JsonSchema)]
pub struct Metric {
    /// Of the highest step.
    #[schemars(with = "serde_json::Value")]
    last: Scalar,
    last_step: u64,
    /// Points.
    count: u64,
    min: Option<Extreme>,
    max: Option<Extreme>,
    rank: u32,
}

/// The least or the greatest number, and the first step that had it.
#[derive(Serialize, JsonSchema)]
struct Extreme {
    #[schemars(with = "serde_json::Value")]
    value: Scalar,
    step: u64,
}

/// One version of a file or folder that was saved.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Artifact")]
struct Saved {
    key: String,
    /// Where it is among the job's files.
    path: String,
    bytes: u64,
    folder: bool,
    at_ms: u64,
    attempt: u64,
}

/// A folder that the job uploads.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RunFolder")]
struct Folder {
    key: String,
    /// Where it is among the job's files.
    path: String,
    files: u64,
    bytes: u64,
    at_ms: u64,
    attempt: u64,
}

/// What did not become part of the run, counted.
#[derive(Serialize, JsonSchema)]
struct LeftOut {
    /// Lines that are no event.
    unreadable: u64,
    /// Events beyond a limit.
    over_limit: u64,
    /// The reason, for the first keys that this happened to.
    why: BTreeMap<String, String>,
}

#[derive(Deserialize, JsonSchema)]
struct SeriesQuery {
    /// The metric.
    key: String,
    /// Of which process; the lowest that logged it, if nobody says.
    rank: Option<u32>,
    /// At most so many, or 4 where that is fewer, among which no least and no greatest value is lost; 0 = all.
    points: Option<u32>,
}

/// Series of several jobs in one call.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SeriesAsked {
    jobs: Vec<String>,
    keys: Vec<String>,
    rank: Option<u32>,
    /// Of each series at most so many, or 4 where that is fewer; 0 = all.
    points: Option<u32>,
}

/// The points of a metric in the order of their steps.
#[derive(Serialize, JsonSchema)]
struct Series {
    job: String,
    key: String,
    rank: u32,
    /// Points that there are; those that follow may be a part.
    total: usize,
    steps: Vec<u64>,
    times_ms: Vec<u64>,
    #[schemars(with = "Vec<serde_json::Value>")]
    values: Vec<Scalar>,
}

/// A job without a metric has no series of it.
#[derive(Serialize, JsonSchema)]
struct AllSeries {
    series: Vec<Series>,
}

pub fn routes() -> ApiRouter<App> {
    ApiRouter::new()
        .api_route(
            "/jobs/{job}/run",
            get_with(run, |it| {
                it.id("get_run").summary("What a job has told of itself").tag("runs")
            }),
        )
        .api_route(
            "/jobs/{job}/series",
            get_with(series, |it| {
                it.id("get_series").summary("The points of a metric").tag("runs")
            }),
        )
        .api_route(
            "/series",
            post_with(all_series, |it| {
                let what = "The points of several metrics of several jobs";
                it.id("get_all_series").summary(what).tag("runs")
            }),
        )
}

async fn run(
    State(app): State<App>,
    Path(JobPath { job }): Path<JobPath>,
    _: Query<()>,
) -> Result<Tagged<Told>, Problem> {
    let (job, run) = app.service.run(&job).await?;
    Ok(Tagged(Told::of(job.id, &run)))
}

async fn series(
    State(app): State<App>,
    Path(JobPath { job }): Path<JobPath>,
    Query(SeriesQuery { key, rank, points }): Query<SeriesQuery>,
) -> Result<Json<Series>, Problem> {
    let found = app.service.series(&job, &key, rank, most(points)).await?;
    Ok(Json(Series::of(app.service.find(&job).await?.id, key, found)))
}

async fn all_series(
    State(app): State<App>,
    _: Query<()>,
    Body(asked): Body<SeriesAsked>,
) -> Result<Json<AllSeries>, Problem> {
    let SeriesAsked { jobs, keys, rank, points } = asked;
    if jobs.len().saturating_mul(keys.len()) > MOST_SERIES {
        let why =
            format!("{} jobs times {} keys are more than {MOST_SERIES}", jobs.len(), keys.len());
        return Err(Error::invalid("jobs", why).into());
    }
    let pair = |job: &String, key: &String| (job.clone(), key.clone());
    let pairs: Vec<_> =
        jobs.iter().flat_map(|job| keys.iter().map(move |key| pair(job, key))).collect();
    let read = move |(job, key)| one_of_many(app.clone(), job, key, rank, most(points));
    let found = stream::iter(pairs).map(read).buffered(AT_ONCE);
    let series: Vec<Option<Series>> = found.try_collect().await?;
    Ok(Json(AllSeries { series: series.into_iter().flatten().collect() }))
}

async fn one_of_many(
    app: App,
    job: String,
    key: String,
    rank: Option<u32>,
    points: Option<usize>,
) -> Result<Option<Series>, Problem> {
    match app.service.series(&job, &key, rank, points).await {
        Ok(found) => Ok(Some(Series::of(app.service.find(&job).await?.id, key, found))),
        Err(Error::NoSuchMetric { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn most(points: Option<u32>) -> Option<usize> {
    Some(points.unwrap_or(USUAL_POINTS) as usize).filter(|it| *it > 0)
}

impl Series {
    fn of(job: JobId, key: String, found: service::Series) -> Self {
        let service::Series { rank, total, samples } = found;
        let mut series = Self {
            job: job.to_string(),
            key,
            rank,
            total,
            steps: Vec::with_capacity(samples.len()),
            times_ms: Vec::with_capacity(samples.len()),
            values: Vec::with_capacity(samples.len()),
        };
        for sample in samples {
            series.steps.push(sample.step);
            series.times_ms.push(sample.at.0);
            series.values.push(sample.value);
        }
        series
    }
}

impl Told {
    fn of(job: JobId, run: &Run) -> Self {
        let Run { name, tags, params, metrics, artifacts, synced, facts, left, .. } = run;
        let saved = artifacts.iter().flat_map(|(key, all)| all.iter().map(|it| Saved::of(key, it)));
        let Left { unreadable, over_limit, why } = left.clone();
        Self {
            job: job.to_string(),
            name: name.clone(),
            tags: tags.clone(),
            params: params.clone(),
            metrics: metrics.iter().map(|(key, it)| (key.clone(), Metric::of(it))).collect(),
            artifacts: saved.collect(),
            synced: synced.iter().map(|(key, it)| Folder::of(key, it)).collect(),
            facts: facts.clone(),
            left_out: LeftOut { unreadable, over_limit, why },
        }
    }
}

impl Metric {
    pub fn of(summary: &Summary) -> Self {
        let Summary { last, last_step, count, min, max, rank } = summary.clone();
        let extreme = |it: atlas_core::run::Extreme| Extreme { value: it.value, step: it.step };
        Self { last, last_step, count, min: min.map(extreme), max: max.map(extreme), rank }
    }
}

impl Folder {
    fn of(key: &str, synced: &Synced) -> Self {
        let Synced { files, bytes, at, attempt } = *synced;
        Self {
            key: key.to_owned(),
            path: format!("synced/{key}"),
            files,
            bytes,
            at_ms: at.0,
            attempt: attempt.0,
        }
    }
}

impl Saved {
    fn of(key: &str, artifact: &Artifact) -> Self {
        let Artifact { path, bytes, folder, at, attempt } = artifact;
        Self {
            key: key.to_owned(),
            path: format!("artifacts/{path}"),
            bytes: *bytes,
            folder: *folder,
            at_ms: at.0,
            attempt: attempt.0,
        }
    }
}
