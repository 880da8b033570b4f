//! Projects, and what their jobs have to be compared by.

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::App;
use super::answer::Tagged;
use super::asked::{Path, Query};
use super::error::Problem;
use crate::runs::index::{CellKind, Key, Project};
use crate::runs::query::Field;

#[derive(Deserialize, JsonSchema)]
struct ProjectPath {
    project: String,
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
    tags: Vec<Column>,
    params: Vec<Column>,
    metrics: Vec<Column>,
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
    let (project, keys) = app.service.project(&project).await?;
    let (mut tags, mut params, mut metrics) = (Vec::new(), Vec::new(), Vec::new());
    for Key { field, kinds, runs } in keys {
        let (of, key) = match field {
            Field::Tag(key) => (&mut tags, key),
            Field::Param(key) => (&mut params, key),
            Field::Metric(key, _) => (&mut metrics, key),
            // What every job has is no key.
            _ => continue,
        };
        let mut kinds: Vec<_> = kinds.into_iter().filter_map(word).collect();
        kinds.dedup();
        of.push(Column { key, kinds, jobs: runs });
    }
    Ok(Tagged(Described { project: project.into(), tags, params, metrics }))
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
