//! The JSON API, read side.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;

use super::App;
use super::error::Problem;
use super::views::{Job, Jobs, Node, Queue, Queued};
use crate::grpc;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobsQuery {
    project: Option<String>,
    status: Option<String>,
    user: Option<String>,
    limit: usize,
    cursor: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueQuery {
    limit: usize,
}

/// A query that may not be one.
type Asked<T> = Result<Query<T>, QueryRejection>;

pub async fn jobs(State(app): State<App>, query: Asked<JobsQuery>) -> Result<Json<Jobs>, Problem> {
    let Query(JobsQuery { project, status, user, limit, cursor }) = query?;
    let (filter, before) = grpc::filter(project, status, user, &cursor)?;
    let page = app.service.list(&filter, before, limit).await?;
    let jobs = page.jobs.iter().map(Job::from).collect();
    Ok(Json(Jobs { jobs, next_cursor: page.next.map(|it| it.to_string()) }))
}

pub async fn job(State(app): State<App>, Path(job): Path<String>) -> Result<Json<Job>, Problem> {
    Ok(Json(Job::from(&app.service.find(&job).await?)))
}

pub async fn queue(
    State(app): State<App>,
    query: Asked<QueueQuery>,
) -> Result<Json<Queue>, Problem> {
    let (waiting, total) = app.service.queue(query?.limit).await?;
    let queued = |it: &crate::service::Waiting| Queued {
        place: it.place,
        reason: it.reason.clone(),
        job: Job::from(&it.job),
    };
    Ok(Json(Queue { total, jobs: waiting.iter().map(queued).collect() }))
}

pub async fn nodes(State(app): State<App>) -> Result<Json<Vec<Node>>, Problem> {
    let nodes = app.service.nodes().await?;
    Ok(Json(nodes.iter().map(|it| Node::from(grpc::node_view(it))).collect()))
}
