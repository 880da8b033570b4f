//! Runs outside the scheduler: they begin, tell of themselves, and say how they ended.

use std::collections::BTreeMap;

use aide::axum::ApiRouter;
use aide::axum::routing::post_with;
use atlas_core::agent::ExitKind;
use atlas_core::spec::Outside;
use atlas_core::{Cause, Timestamp};
use atlas_proto::wire;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::App;
use super::asked::{Body, Octets, Path, Query, Who};
use super::error::Problem;
use super::jobs::JobPath;
use super::submit::Taken;
use super::submitted::{Bundle, Git, Params};
use super::views::Details;
use crate::service::{Brought, Ended, Error, Heard};

/// A script that somebody runs on a machine of their own.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewRun {
    /// A random UUID that the client chooses. The same id and content again is the same run.
    id: String,
    /// The folder that the script was started in, or the script alone.
    bundle: Bundle,
    /// Name of that folder: the project, if nothing else names one.
    #[serde(default)]
    dir_name: String,
    /// The name of the machine.
    host: String,
    started_ms: u64,
    command: Vec<String>,
    project: Option<String>,
    name: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    note: Option<String>,
    /// An object.
    params: Option<Params>,
    git: Option<Git>,
    /// What was not committed, as `git diff` tells it: it becomes the run's file `git.diff`.
    #[schemars(length(max = 262_144))]
    git_diff: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
struct OffsetQuery {
    /// Where in the whole the body begins.
    offset: u64,
}

#[derive(Deserialize, JsonSchema)]
struct SpoolQuery {
    /// Where in the whole the body begins.
    offset: u64,
    /// Nothing follows: a last line without an end is read as one.
    last: Option<bool>,
    /// The files of artifacts are sent as well: the answer names those that are to be there before it goes on.
    files: Option<bool>,
    /// With `files`: paths of which all was sent, a line each.
    kept: Option<String>,
    /// With `files`: a path that will not come. The artifact is left out.
    missing: Option<String>,
    /// And the reason, for people.
    why: Option<String>,
}

/// What the master has.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RunProgress")]
struct Progress {
    /// Bytes that are there: less than the body's end, and the rest is to be sent again; less than its offset, and something is missing.
    offset: u64,
    /// Somebody has asked the run to stop.
    stop: bool,
}

/// What the master has of a spool.
#[derive(Serialize, JsonSchema)]
struct SpoolProgress {
    /// Bytes that are there: less than the body's end, and the rest is to be sent again; less than its offset, and something is missing.
    offset: u64,
    /// Somebody has asked the run to stop.
    stop: bool,
    /// With `files`: artifacts that are to be sent (`PUT /runs/{job}/artifacts/{path}`) before the line that names the first of them is
    /// taken.
    wanted: Vec<String>,
}

/// How a run ended: with a code, by a signal, or, where neither is said, in a way that nobody saw.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RunEnd {
    /// Of its process.
    exit_code: Option<i32>,
    /// The number of the signal that ended it.
    signal: Option<i32>,
    /// It had been asked to stop, and that was passed on.
    #[serde(default)]
    stopped: bool,
    ended_ms: u64,
    /// Bytes of its log, all of which came before.
    log_bytes: u64,
    /// Bytes of its spool.
    spool_bytes: u64,
    /// One line for people, such as the last one of a traceback.
    #[serde(default)]
    detail: String,
}

pub fn routes() -> ApiRouter<App> {
    ApiRouter::new()
        .api_route(
            "/runs",
            post_with(begin, |it| {
                it.id("begin_run").summary("Begins a run outside the scheduler").tag("runs")
            }),
        )
        .api_route(
            "/runs/{job}/log",
            post_with(log, |it| {
                let what = "Appends to the log of a run, and says that it is still there";
                it.id("append_to_run_log").summary(what).tag("runs")
            }),
        )
        .api_route(
            "/runs/{job}/spool",
            post_with(spool, |it| {
                let what = "Appends to what a run tells of itself (docs/using/spool-format.md)";
                it.id("append_to_run_spool").summary(what).tag("runs")
            }),
        )
        .api_route(
            "/runs/{job}/end",
            post_with(end, |it| it.id("end_run").summary("Says how a run ended").tag("runs")),
        )
}

async fn begin(
    State(app): State<App>,
    Who(who): Who,
    _: Query<()>,
    Body(run): Body<NewRun>,
) -> Result<Taken, Problem> {
    let NewRun { id, bundle, dir_name, host, started_ms, command, .. } = run;
    let overrides = wire::JobOverrides {
        command,
        project: run.project,
        name: run.name,
        tags: run.tags,
        note: run.note,
        params_json: run.params.map(Params::text),
        ..Default::default()
    };
    let request = wire::SubmitRequest {
        id,
        bundle: Some(bundle.into()),
        dir_name,
        overrides: Some(overrides),
        git: run.git.map(Into::into),
        git_diff: run.git_diff,
        ..Default::default()
    };
    let outside = Outside { host, started: Timestamp(started_ms) };
    Ok(app.service.begin_run(&who, request, outside).await?.into())
}

async fn log(
    State(app): State<App>,
    Who(who): Who,
    Path(JobPath { job }): Path<JobPath>,
    Query(OffsetQuery { offset }): Query<OffsetQuery>,
    Octets(data): Octets,
) -> Result<Json<Progress>, Problem> {
    Ok(Json(app.service.append_run_log(&who, &job, offset, data).await?.into()))
}

async fn spool(
    State(app): State<App>,
    Who(who): Who,
    Path(JobPath { job }): Path<JobPath>,
    Query(query): Query<SpoolQuery>,
    Octets(data): Octets,
) -> Result<Json<SpoolProgress>, Problem> {
    let SpoolQuery { offset, last, files, kept, missing, why } = query;
    let brought = files.unwrap_or_default().then(|| Brought {
        kept: kept.iter().flat_map(|it| it.split('\n')).map(str::to_owned).collect(),
        missing: missing.map(|path| (path, why.unwrap_or_default())),
    });
    let last = last.unwrap_or_default();
    let taken = app.service.append_run_spool(&who, &job, offset, data, last, brought).await?;
    let (Heard { length, stop }, wanted) = taken;
    Ok(Json(SpoolProgress { offset: length, stop, wanted }))
}

async fn end(
    State(app): State<App>,
    Who(who): Who,
    Path(JobPath { job }): Path<JobPath>,
    _: Query<()>,
    Body(end): Body<RunEnd>,
) -> Result<Json<Details>, Problem> {
    let RunEnd { exit_code, signal, stopped, ended_ms, log_bytes, spool_bytes, detail } = end;
    let kind = match (exit_code, signal) {
        (Some(code), None) => ExitKind::Code(code),
        (None, Some(signal)) => ExitKind::Signal(signal),
        (None, None) => ExitKind::Failed(Cause::Unknown),
        (Some(_), Some(_)) => {
            let why = "a process that a signal ended has no code: one of the two is said";
            return Err(Error::invalid("exit_code", why).into());
        }
    };
    let ended = Ended {
        kind,
        stopped,
        at: Timestamp(ended_ms),
        log_length: log_bytes,
        spool_length: spool_bytes,
        detail,
    };
    let job = app.service.end_run(&who, &job, ended).await?;
    Ok(Json(Details::of(&job, None)))
}

impl From<Heard> for Progress {
    fn from(heard: Heard) -> Self {
        let Heard { length, stop } = heard;
        Self { offset: length, stop }
    }
}
