//! Notes: what people have to say about a project.

use aide::axum::ApiRouter;
use aide::axum::routing::{delete_with, get_with};
use atlas_core::project::Note;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::App;
use super::answer::Tagged;
use super::asked::{Body, Path, Query, Who};
use super::error::Problem;
use super::projects::ProjectPath;

#[derive(Deserialize, JsonSchema)]
struct NotePath {
    project: String,
    note: u64,
}

/// The oldest first.
#[derive(Serialize, JsonSchema)]
struct Notes {
    notes: Vec<Written>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Note")]
struct Written {
    id: u64,
    author: String,
    at_ms: u64,
    /// In Markdown, as it was written: whoever shows it makes it harmless.
    text: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewNote {
    text: String,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeletedNote")]
struct Deleted {
    id: u64,
}

pub fn routes() -> ApiRouter<App> {
    ApiRouter::new()
        .api_route(
            "/projects/{project}/notes",
            get_with(list, |it| {
                it.id("list_notes").summary("What people noted about a project").tag("projects")
            })
            .post_with(add, |it| {
                it.id("add_note").summary("Notes something about a project").tag("projects")
            }),
        )
        .api_route(
            "/projects/{project}/notes/{note}",
            delete_with(delete, |it| {
                it.id("delete_note").summary("Removes a note").tag("projects")
            }),
        )
}

async fn list(
    State(app): State<App>,
    Path(ProjectPath { project }): Path<ProjectPath>,
    _: Query<()>,
) -> Result<Tagged<Notes>, Problem> {
    let notes = app.service.notes(&project).await?;
    Ok(Tagged(Notes { notes: notes.into_iter().map(Written::from).collect() }))
}

async fn add(
    State(app): State<App>,
    Who(who): Who,
    Path(ProjectPath { project }): Path<ProjectPath>,
    _: Query<()>,
    Body(NewNote { text }): Body<NewNote>,
) -> Result<Json<Written>, Problem> {
    let note = app.service.add_note(&who, &project, text).await?;
    Ok(Json(note.into()))
}

async fn delete(
    State(app): State<App>,
    Who(who): Who,
    Path(NotePath { project, note }): Path<NotePath>,
    _: Query<()>,
) -> Result<Json<Deleted>, Problem> {
    app.service.remove_note(&who, &project, note).await?;
    Ok(Json(Deleted { id: note }))
}

impl From<Note> for Written {
    fn from(note: Note) -> Self {
        let Note { number, author, at, text } = note;
        Self { id: number, author, at_ms: at.0, text }
    }
}
