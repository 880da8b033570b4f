//! What is kept of a job: listed, read file by file, and all at once.

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use async_compression::tokio::bufread::{GzipEncoder, ZstdEncoder};
use atlas_proto::wire::{FileEntry, FileKind};
use axum::extract::State;
use axum::http::header;
use bytes::Bytes;
use futures::stream::{Stream, StreamExt, TryStreamExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncBufRead;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::{ReaderStream, StreamReader};

use super::App;
use super::answer::Streamed;
use super::asked::{Path, Query};
use super::bytes::{Ranged, Raw, begun, pieces};
use super::error::Problem;
use super::jobs::JobPath;
use crate::service::Error;

#[derive(Deserialize, JsonSchema)]
struct BelowQuery {
    /// What is at or below this path alone.
    path: Option<String>,
}

/// `source/` as submitted, and `work/` while the job runs, or `outputs/`, `log/`, `checkpoints/`, … when it is done.
#[derive(Serialize, JsonSchema)]
pub struct FileList {
    files: Vec<Listed>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "File")]
struct Listed {
    path: String,
    /// file, folder or link.
    kind: &'static str,
    bytes: u64,
    /// 0 = not known, as in a bundle.
    modified_ms: u64,
    /// Of a link.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    target: String,
}

#[derive(Deserialize, JsonSchema)]
struct FilePath {
    /// The job's id, or any unique beginning of it of 4 or more digits.
    #[schemars(regex(pattern = "^[0-9A-Fa-f-]{4,36}$"))]
    job: String,
    /// As it is listed, slashes included.
    path: String,
}

#[derive(Deserialize, JsonSchema)]
struct ArchiveQuery {
    /// What is at or below this path alone.
    path: Option<String>,
    /// tar.zst unless said.
    format: Option<Format>,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
enum Format {
    #[serde(rename = "tar")]
    Tar,
    #[serde(rename = "tgz")]
    Gzip,
    #[default]
    #[serde(rename = "tar.zst")]
    Zstd,
}

pub fn routes() -> ApiRouter<App> {
    ApiRouter::new()
        .api_route(
            "/jobs/{job}/files",
            get_with(list, |it| it.id("list_files").summary("What is kept of a job").tag("jobs")),
        )
        .api_route(
            "/jobs/{job}/files/{*path}",
            get_with(file, |it| it.id("get_file").summary("A file of a job, as bytes").tag("jobs")),
        )
        .api_route(
            "/jobs/{job}/archive",
            get_with(archive, |it| {
                it.id("get_archive").summary("All that is kept of a job, in one file").tag("jobs")
            }),
        )
}

async fn list(
    State(app): State<App>,
    Path(JobPath { job }): Path<JobPath>,
    Query(BelowQuery { path }): Query<BelowQuery>,
) -> Result<Streamed<FileList>, Problem> {
    let entries = app.service.list_files(&job, path.as_deref().unwrap_or_default()).await?;
    let entries = begun(ReceiverStream::new(entries)).await?;
    Ok(Streamed::list("files", entries.map_ok(Listed::from)))
}

async fn file(
    State(app): State<App>,
    Path(FilePath { job, path }): Path<FilePath>,
    _: Query<()>,
    ranged: Ranged,
) -> Result<Raw, Problem> {
    let opened = app.service.open_file(&job, &path).await?;
    let part = match ranged.of_total(opened.bytes) {
        Ok(part) => part,
        Err(beyond) => return Ok(beyond.into()),
    };
    let (kind, shown) = kind_of(&path);
    let tag = format!("W/\"{}-{}\"", opened.bytes, opened.modified_ms);
    let bytes = pieces(opened.read(part.range.clone()));
    let raw = Raw::part(&kind, &part, bytes).sandboxed().with(header::ETAG, &tag);
    Ok(if shown { raw } else { raw.with(header::CONTENT_DISPOSITION, &saved_as(&path)) })
}

async fn archive(
    State(app): State<App>,
    Path(JobPath { job }): Path<JobPath>,
    Query(ArchiveQuery { path, format }): Query<ArchiveQuery>,
) -> Result<Raw, Problem> {
    let id = app.service.find(&job).await?.id;
    let path = path.unwrap_or_default();
    let tar = app.service.read_files(&id.to_string(), &path).await?;
    let tar = begun(pieces(tar)).await?.map_err(std::io::Error::other);
    let tar = StreamReader::new(tar.boxed());
    let (raw, ending) = match format.unwrap_or_default() {
        Format::Tar => (Raw::stream("application/x-tar", read(tar)), "tar"),
        Format::Gzip => {
            (Raw::stream("application/gzip", read(buffered(GzipEncoder::new(tar)))), "tgz")
        }
        Format::Zstd => {
            (Raw::stream("application/zstd", read(buffered(ZstdEncoder::new(tar)))), "tar.zst")
        }
    };
    Ok(raw.with(header::CONTENT_DISPOSITION, &saved_as(&format!("{id}.{ending}"))))
}

fn buffered(reader: impl tokio::io::AsyncRead) -> impl AsyncBufRead {
    tokio::io::BufReader::with_capacity(64 * 1024, reader)
}

fn read(
    reader: impl AsyncBufRead + Send + 'static,
) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
    ReaderStream::with_capacity(reader, 64 * 1024)
        .map_err(|source| Error::Io { what: "read what is kept of the job".into(), source })
}

impl From<FileEntry> for Listed {
    fn from(entry: FileEntry) -> Self {
        let kind = match entry.kind() {
            FileKind::Folder => "folder",
            FileKind::Link => "link",
            FileKind::File | FileKind::Unspecified => "file",
        };
        let FileEntry { path, bytes, modified_ms, kind: _, target } = entry;
        Self { path, kind, bytes, modified_ms, target }
    }
}

/// The content type, and whether a browser is to show it. Every other text is plain, so that it can be read at once.
fn kind_of(path: &str) -> (String, bool) {
    let guess = mime_guess::from_path(path).first();
    let Some(guess) = guess else { return ("application/octet-stream".into(), false) };
    let essence = guess.essence_str();
    match (guess.type_().as_str(), essence) {
        (_, "text/html" | "text/css") => (format!("{essence}; charset=utf-8"), true),
        ("text", _) | (_, "application/json" | "application/toml" | "application/x-sh") => {
            let kind = if essence == "application/json" { essence } else { "text/plain" };
            (format!("{kind}; charset=utf-8"), true)
        }
        ("image" | "audio" | "video", _) => (essence.to_owned(), true),
        _ => (essence.to_owned(), false),
    }
}

/// For a browser that is not to show it: under its own name (RFC 6266).
fn saved_as(path: &str) -> String {
    use std::fmt::Write;
    let name = path.rsplit('/').next().unwrap_or_default();
    let mut header = String::from("attachment; filename*=UTF-8''");
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            header.push(char::from(byte));
        } else {
            write!(header, "%{byte:02X}").expect("a text takes everything");
        }
    }
    header
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn texts_and_pictures_are_shown_and_the_rest_is_saved_under_its_name() {
        let kind = |path| kind_of(path).0;
        assert_eq!(kind("main.py"), "text/plain; charset=utf-8");
        assert_eq!(kind("a/page.HTML"), "text/html; charset=utf-8");
        assert_eq!(kind("metrics.json"), "application/json; charset=utf-8");
        assert_eq!(kind_of("loss.png"), ("image/png".into(), true));
        assert_eq!(kind_of("model.pt"), ("application/octet-stream".into(), false));
        assert_eq!(kind_of("paper.pdf"), ("application/pdf".into(), false));
        assert_eq!(
            saved_as("a/b \"ü\r\n.pt"),
            "attachment; filename*=UTF-8''b%20%22%C3%BC%0D%0A.pt"
        );
    }
}
