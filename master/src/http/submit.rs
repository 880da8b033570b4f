//! Jobs come in: one, or thousands that share a bundle.

use std::collections::BTreeMap;

use aide::OperationOutput;
use aide::axum::ApiRouter;
use aide::axum::routing::post_with;
use aide::generate::GenContext;
use aide::openapi::Operation;
use atlas_proto::wire;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::App;
use super::asked::{Body, Path, Query, Traced, UUID, Who};
use super::error::{Problem, Said};
use super::jobs::JobPath;
use super::submitted::{Bundle, Git, Overrides, Params, Quantity};
use super::views::Job;
use crate::service::{Error, Submitted};

/// Jobs of one call.
const MOST: usize = 10_000;

/// A job that is to run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Submission {
    /// A random UUID that the client chooses. The same id and content again is the same job.
    #[schemars(regex(pattern = UUID))]
    id: String,
    bundle: Bundle,
    /// Name of the submitted folder: the project, if nothing else names one.
    #[serde(default)]
    dir_name: String,
    /// The text of job.config.yaml.
    job_config_yaml: Option<String>,
    #[serde(default)]
    overrides: Overrides,
    git: Option<Git>,
    /// What was not committed, as `git diff` tells it: it becomes the job's file `git.diff`.
    #[schemars(length(max = 262_144))]
    git_diff: Option<String>,
    /// Values of secret environment by name. The refusal `secrets_wanted` names those that job.config.yaml wants and that are not here.
    #[serde(default)]
    secrets: BTreeMap<String, String>,
}

/// Jobs that share a bundle and a job.config.yaml, in the order in which they are to wait.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Batch {
    bundle: Bundle,
    #[serde(default)]
    dir_name: String,
    job_config_yaml: Option<String>,
    git: Option<Git>,
    /// What was not committed, as `git diff` tells it: the file `git.diff` of each of them.
    #[schemars(length(max = 262_144))]
    git_diff: Option<String>,
    #[serde(default)]
    secrets: BTreeMap<String, String>,
    #[schemars(length(min = 1, max = 10_000))]
    jobs: Vec<One>,
}

/// What a job of a batch has for itself.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "BatchJob")]
struct One {
    #[schemars(regex(pattern = UUID))]
    id: String,
    #[serde(default)]
    overrides: Overrides,
}

/// A job that is to run again.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rerun")]
struct Again {
    /// Of the new job: a random UUID that the client chooses. The same request again is the same job.
    #[schemars(regex(pattern = UUID))]
    id: String,
    /// What is named here takes the place of that parameter of the job.
    params: Option<Params>,
    /// In place of the job's; seconds, or a text such as `90s`, `30m`, `1h30m`, `2d`.
    time_limit: Option<Quantity>,
    /// Values of all of the job's secrets: nobody keeps them.
    #[serde(default)]
    secrets: BTreeMap<String, String>,
    /// Give it the job's checkpoints.
    #[serde(default)]
    resume: bool,
}

/// A job that was taken.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SubmittedJob")]
pub(super) struct Taken {
    job: Job,
    /// False: this id was known already.
    created: bool,
    /// What its user should know, a sentence each.
    notices: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SubmittedBatch")]
struct TakenBatch {
    /// In the order of the request.
    jobs: Vec<Fate>,
}

/// What became of one job of a batch: it was taken, or there is a problem.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BatchFate")]
struct Fate {
    id: String,
    created: bool,
    /// Where it is, if it was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    notices: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    problem: Option<Said>,
}

pub fn routes() -> ApiRouter<App> {
    ApiRouter::new()
        .api_route(
            "/jobs",
            post_with(submit, |it| {
                it.id("submit_job").summary("Submits a job whose bundle is uploaded").tag("jobs")
            }),
        )
        .api_route(
            "/jobs/{job}/rerun",
            post_with(rerun, |it| {
                let what = "Submits a job again, as a new one with the same bundle";
                it.id("rerun_job").summary(what).tag("jobs")
            }),
        )
        .api_route(
            "/jobs/batch",
            post_with(submit_batch, |it| {
                let what = "Submits up to 10,000 jobs that share a bundle";
                it.id("submit_jobs").summary(what).tag("jobs")
            }),
        )
}

async fn rerun(
    State(app): State<App>,
    Who(who): Who,
    Traced(traceparent): Traced,
    Path(JobPath { job }): Path<JobPath>,
    _: Query<()>,
    Body(again): Body<Again>,
) -> Result<Taken, Problem> {
    let Again { id, params, time_limit, secrets, resume } = again;
    let params_json = params.map(Params::text);
    let time_limit = time_limit.map(Quantity::text);
    let request = wire::RerunRequest { id, job, params_json, secrets, resume, time_limit };
    Ok(app.service.rerun(&who, request, traceparent).await?.into())
}

async fn submit(
    State(app): State<App>,
    Who(who): Who,
    Traced(traceparent): Traced,
    _: Query<()>,
    Body(submission): Body<Submission>,
) -> Result<Taken, Problem> {
    let Submission { id, bundle, dir_name, job_config_yaml, overrides, git, git_diff, secrets } =
        submission;
    let request = wire::SubmitRequest {
        id,
        bundle: Some(bundle.into()),
        dir_name,
        job_config_yaml,
        overrides: Some(overrides.into()),
        git: git.map(Into::into),
        secrets,
        git_diff,
    };
    Ok(app.service.submit(&who, request, traceparent).await?.into())
}

async fn submit_batch(
    State(app): State<App>,
    Who(who): Who,
    Traced(traceparent): Traced,
    _: Query<()>,
    Body(batch): Body<Batch>,
) -> Result<Json<TakenBatch>, Problem> {
    let Batch { bundle, dir_name, job_config_yaml, git, git_diff, secrets, jobs } = batch;
    if jobs.is_empty() || jobs.len() > MOST {
        let why = format!("{} are not between 1 and {MOST}", jobs.len());
        return Err(Error::invalid("jobs", why).into());
    }
    let ids: Vec<String> = jobs.iter().map(|it| it.id.clone()).collect();
    let requests = jobs.into_iter().map(|One { id, overrides }| wire::SubmitRequest {
        id,
        bundle: Some(bundle.clone().into()),
        dir_name: dir_name.clone(),
        job_config_yaml: job_config_yaml.clone(),
        overrides: Some(overrides.into()),
        git: git.clone().map(Into::into),
        secrets: secrets.clone(),
        git_diff: None,
    });
    let fates = app.service.submit_all(&who, requests, git_diff, traceparent.as_deref()).await?;
    let jobs = ids.into_iter().zip(fates).map(|(id, fate)| match fate {
        Ok(Submitted { job, created, notices }) => {
            let project = Some(job.spec.project.to_string());
            Fate { id, created, project, notices, problem: None }
        }
        Err(error) => Fate {
            id,
            created: false,
            project: None,
            notices: Vec::new(),
            problem: Some(Problem::from(error).said()),
        },
    });
    Ok(Json(TakenBatch { jobs: jobs.collect() }))
}

impl From<Submitted> for Taken {
    fn from(submitted: Submitted) -> Self {
        let Submitted { job, created, notices } = submitted;
        Self { job: Job::from(&job), created, notices }
    }
}

impl IntoResponse for Taken {
    fn into_response(self) -> Response {
        if !self.created {
            return Json(self).into_response();
        }
        let place = [(header::LOCATION, format!("/api/v1/jobs/{}", self.job.id()))];
        (StatusCode::CREATED, place, Json(self)).into_response()
    }
}

impl OperationOutput for Taken {
    type Inner = Self;

    fn operation_response(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Option<aide::openapi::Response> {
        Json::<Self>::operation_response(ctx, operation)
    }

    fn inferred_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, aide::openapi::Response)> {
        let response = Self::operation_response(ctx, operation);
        [200, 201].into_iter().filter_map(|it| Some((Some(it), response.clone()?))).collect()
    }
}
