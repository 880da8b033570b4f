//! Files that jobs and runs keep by themselves while they go on: what a run outside the scheduler saved, what TensorBoard shows, and
//! folders that are uploaded and downloaded as a whole.

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, put_with};
use atlas_runtime::storage::incoming::Announced;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::App;
use super::asked::{Body, Octets, Path, Query, Who};
use super::error::Problem;
use crate::service::{Error, Received, SyncedFile, Version, digest};

#[derive(Deserialize, JsonSchema)]
struct FilePath {
    /// The job's id, or any unique beginning of it of 4 or more digits.
    #[schemars(regex(pattern = "^[0-9A-Fa-f-]{4,36}$"))]
    job: String,
    /// Slashes included.
    path: String,
}

#[derive(Deserialize, JsonSchema)]
struct KeyPath {
    /// The job's id, or any unique beginning of it of 4 or more digits.
    #[schemars(regex(pattern = "^[0-9A-Fa-f-]{4,36}$"))]
    job: String,
    /// What the folder is known by: a plain name.
    key: String,
}

#[derive(Deserialize, JsonSchema)]
struct ContentPath {
    /// The job's id, or any unique beginning of it of 4 or more digits.
    #[schemars(regex(pattern = "^[0-9A-Fa-f-]{4,36}$"))]
    job: String,
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    sha256: String,
}

#[derive(Deserialize, JsonSchema)]
struct ArtifactQuery {
    /// Where in the file the body begins.
    offset: Option<u64>,
    /// Of all of it. With `sha256` it says what the file is.
    bytes: Option<u64>,
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    sha256: Option<String>,
    /// It is a folder, which is made; the body is empty.
    folder: Option<bool>,
}

#[derive(Deserialize, JsonSchema)]
struct ContentQuery {
    /// Where in the content the body begins.
    offset: u64,
    /// Of all of it.
    bytes: u64,
}

#[derive(Deserialize, JsonSchema)]
struct GrowingQuery {
    /// Where in the file the body begins.
    offset: u64,
    /// With `offset` 0: what was there goes first.
    anew: Option<bool>,
}

/// How far a file has come.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FileProgress")]
struct Progress {
    /// Bytes that are there: less than the body's end, and the rest is to be sent again; less than its offset, and something is missing.
    offset: u64,
    /// All of it is there, and is what was announced.
    whole: bool,
}

/// The bytes that are there of a file that grows.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FileLength")]
struct Length {
    offset: u64,
}

/// A file of a folder.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Synced {
    /// Below the folder.
    path: String,
    bytes: u64,
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    sha256: String,
}

/// Everything that a folder is to hold.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewVersion {
    files: Vec<Synced>,
}

/// What a folder holds; each file is among the job's files, below `synced/` and the key.
#[derive(Serialize, JsonSchema)]
struct SyncedFolder {
    /// When it was uploaded; absent = never.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_ms: Option<u64>,
    files: Vec<Synced>,
}

/// Whether a folder was replaced.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SyncedAnswer")]
struct Lacks {
    /// Content that the master does not have: nothing was changed; send it, and ask again. None = the folder is as it was asked for.
    lacks: Vec<String>,
}

pub fn routes() -> ApiRouter<App> {
    ApiRouter::new()
        .api_route(
            "/runs/{job}/artifacts/{*path}",
            put_with(artifact, |it| {
                let what = "Sends a piece of a file that a run outside the scheduler saved";
                it.id("put_run_artifact").summary(what).tag("runs")
            }),
        )
        .api_route(
            "/jobs/{job}/tensorboard/{*path}",
            put_with(tensorboard, |it| {
                let what = "Appends to a file that TensorBoard reads, of a job that runs";
                it.id("append_to_tensorboard").summary(what).tag("jobs")
            }),
        )
        .api_route(
            "/jobs/{job}/synced/{key}",
            get_with(synced, |it| {
                it.id("get_synced").summary("What is in a folder that a job uploaded").tag("jobs")
            })
            .put_with(put_synced, |it| {
                let what = "Replaces such a folder as a whole, once its content is there";
                it.id("put_synced").summary(what).tag("jobs")
            }),
        )
        .api_route(
            "/jobs/{job}/synced-content/{sha256}",
            put_with(content, |it| {
                let what = "Sends a piece of content for folders of a job that runs";
                it.id("put_synced_content").summary(what).tag("jobs")
            }),
        )
}

async fn artifact(
    State(app): State<App>,
    Who(who): Who,
    Path(FilePath { job, path }): Path<FilePath>,
    Query(ArtifactQuery { offset, bytes, sha256, folder }): Query<ArtifactQuery>,
    Octets(data): Octets,
) -> Result<Json<Progress>, Problem> {
    if folder.unwrap_or_default() {
        app.service.put_artifact_folder(&who, &job, path.into()).await?;
        return Ok(Json(Progress { offset: 0, whole: true }));
    }
    let bytes = bytes.ok_or_else(|| Error::invalid("bytes", "is missing: how long the file is"))?;
    let sha256 = digest(&sha256.unwrap_or_default())?;
    let file = Announced { path: path.into(), bytes, sha256 };
    let offset = offset.unwrap_or_default();
    Ok(Json(app.service.put_artifact(&who, &job, file, offset, data).await?.into()))
}

async fn tensorboard(
    State(app): State<App>,
    Who(who): Who,
    Path(FilePath { job, path }): Path<FilePath>,
    Query(GrowingQuery { offset, anew }): Query<GrowingQuery>,
    Octets(data): Octets,
) -> Result<Json<Length>, Problem> {
    let at = (offset, anew.unwrap_or_default());
    let offset = app.service.append_tensorboard(&who, &job, path.into(), at, data).await?;
    Ok(Json(Length { offset }))
}

async fn synced(
    State(app): State<App>,
    Path(KeyPath { job, key }): Path<KeyPath>,
    _: Query<()>,
) -> Result<Json<SyncedFolder>, Problem> {
    let Version { at_ms, files } = app.service.synced(&job, &key).await?;
    let files =
        files.into_iter().map(|SyncedFile { path, bytes, sha256 }| Synced { path, bytes, sha256 });
    Ok(Json(SyncedFolder { at_ms, files: files.collect() }))
}

async fn put_synced(
    State(app): State<App>,
    Who(who): Who,
    Path(KeyPath { job, key }): Path<KeyPath>,
    _: Query<()>,
    Body(NewVersion { files }): Body<NewVersion>,
) -> Result<Json<Lacks>, Problem> {
    let files =
        files.into_iter().map(|Synced { path, bytes, sha256 }| SyncedFile { path, bytes, sha256 });
    let lacks = app.service.put_synced(&who, &job, &key, files.collect()).await?;
    Ok(Json(Lacks { lacks }))
}

async fn content(
    State(app): State<App>,
    Who(who): Who,
    Path(ContentPath { job, sha256 }): Path<ContentPath>,
    Query(ContentQuery { offset, bytes }): Query<ContentQuery>,
    Octets(data): Octets,
) -> Result<Json<Progress>, Problem> {
    let of = (&*sha256, bytes);
    Ok(Json(app.service.put_synced_content(&who, &job, of, offset, data).await?.into()))
}

impl From<Received> for Progress {
    fn from(received: Received) -> Self {
        let Received { offset, whole } = received;
        Self { offset, whole }
    }
}
