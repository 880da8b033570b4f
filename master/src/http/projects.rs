//! Projects: what people say of them, and what their jobs have to be compared by.

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use atlas_core::run::Value;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::App;
use super::answer::Tagged;
use super::asked::{Body, Path, Query, Who};
use super::error::Problem;
use crate::retention::rule;
use crate::runs::index::{Across, CellKind, Key, Project};
use crate::runs::query::Field;
use crate::service;

#[derive(Deserialize, JsonSchema)]
pub struct ProjectPath {
    pub project: String,
}

#[derive(Serialize, JsonSchema)]
struct Projects {
    projects: Vec<Counted>,
}

/// A project with its jobs, counted.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Project")]
struct Counted {
    name: String,
    jobs: usize,
    queued: usize,
    running: usize,
    completed: usize,
    failed: usize,
    last_submitted_ms: u64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProjectDetails")]
struct Described {
    #[serde(flatten)]
    project: Counted,
    /// In Markdown, as it was written: whoever shows it makes it harmless. Empty = none.
    description: String,
    /// `outputs 30d`: what a job wrote is removed so long after its end, unless it is tagged `keep`. `off` = never.
    retention: String,
    /// So many notes.
    notes: usize,
    tags: Vec<Column>,
    params: Vec<Column>,
    metrics: Vec<Metric>,
}

/// A metric that jobs of the project have logged. The least and the greatest of all of them are of those that are numbers.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProjectMetric")]
struct Metric {
    #[serde(flatten)]
    column: Column,
    /// The last value of the newest job that has it.
    #[schemars(with = "serde_json::Value")]
    last: Option<Value>,
    #[schemars(with = "serde_json::Value")]
    min: Option<Value>,
    #[schemars(with = "serde_json::Value")]
    max: Option<Value>,
}

/// What is not said stays as it is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ProjectChange {
    /// In Markdown; empty = none.
    description: Option<String>,
    /// `outputs 30d`, or `off`.
    retention: Option<String>,
}

/// A key that jobs of the project have.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProjectKey")]
struct Column {
    key: String,
    /// What its values are (of a metric the last ones): null, bool, number, text or json, where some job has it so.
    kinds: Vec<&'static str>,
    /// So many jobs have it.
    jobs: usize,
}

pub fn routes() -> ApiRouter<App> {
    ApiRouter::new()
        .api_route(
            "/projects",
            get_with(list, |it| {
                it.id("list_projects").summary("Projects, with their jobs counted").tag("projects")
            }),
        )
        .api_route(
            "/projects/{project}",
            get_with(get, |it| {
                let what = "A project, with the tags, parameters and metrics of its jobs";
                it.id("get_project").summary(what).tag("projects")
            })
            .patch_with(change, |it| {
                it.id("change_project")
                    .summary("Describes a project, sets its retention")
                    .tag("projects")
            }),
        )
}

async fn list(State(app): State<App>, _: Query<()>) -> Result<Json<Projects>, Problem> {
    let projects = app.service.projects().await?;
    Ok(Json(Projects { projects: projects.into_iter().map(Counted::from).collect() }))
}

async fn get(
    State(app): State<App>,
    Path(ProjectPath { project }): Path<ProjectPath>,
    _: Query<()>,
) -> Result<Tagged<Described>, Problem> {
    Ok(Tagged(app.service.project(&project).await?.into()))
}

async fn change(
    State(app): State<App>,
    Who(who): Who,
    Path(ProjectPath { project }): Path<ProjectPath>,
    _: Query<()>,
    Body(ProjectChange { description, retention }): Body<ProjectChange>,
) -> Result<Tagged<Described>, Problem> {
    if let Some(text) = description {
        app.service.describe(&who, &project, text).await?;
    }
    if let Some(rule) = retention {
        app.service.retain(&who, &project, &rule).await?;
    }
    Ok(Tagged(app.service.project(&project).await?.into()))
}

impl From<service::Described> for Described {
    fn from(described: service::Described) -> Self {
        let service::Described { project, about, keys } = described;
        let (mut tags, mut params, mut metrics) = (Vec::new(), Vec::new(), Vec::new());
        for Key { field, kinds, runs, across } in keys {
            let mut kinds: Vec<_> = kinds.into_iter().filter_map(word).collect();
            kinds.dedup();
            let column = |key| Column { key, kinds, jobs: runs };
            match (field, across) {
                (Field::Tag(key), _) => tags.push(column(key)),
                (Field::Param(key), _) => params.push(column(key)),
                (Field::Metric(key, _), Some(Across { last, min, max })) => {
                    metrics.push(Metric { column: column(key), last, min, max });
                }
                // What every job has is no key.
                _ => {}
            }
        }
        let (description, notes) = (about.description.clone(), about.notes.len());
        let retention = rule::text(about.retention);
        Self { project: project.into(), description, retention, notes, tags, params, metrics }
    }
}

fn word(kind: CellKind) -> Option<&'static str> {
    match kind {
        CellKind::Missing => None,
        CellKind::Null => Some("null"),
        CellKind::Bool => Some("bool"),
        CellKind::Number | CellKind::Big => Some("number"),
        CellKind::Text => Some("text"),
        CellKind::Json => Some("json"),
    }
}

impl From<Project> for Counted {
    fn from(project: Project) -> Self {
        let Project { name, runs, queued, running, completed, failed, last_submitted } = project;
        let last_submitted_ms = last_submitted.0;
        Self { name, jobs: runs, queued, running, completed, failed, last_submitted_ms }
    }
}
