//! What a job wrote.

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use atlas_proto::wire::{LogChunk, ReadLogRequest};
use axum::extract::State;
use bytes::Bytes;
use futures::stream::{Stream, StreamExt};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_stream::wrappers::ReceiverStream;

use super::App;
use super::asked::{Path, Query};
use super::bytes::{Ranged, Raw, begun};
use super::error::Problem;
use super::jobs::JobPath;
use crate::service::Error;

/// A browser shows it, whatever is in it.
const KIND: &str = "text/plain; charset=utf-8";

#[derive(Deserialize, JsonSchema)]
struct LogQuery {
    /// Counted from 1; the last one unless said.
    attempt: Option<u64>,
    /// Goes on until the job is done, and waits for it to begin. Another attempt follows the one before without a gap.
    follow: Option<bool>,
    /// From this byte on.
    offset: Option<u64>,
    /// The last lines alone.
    tail_lines: Option<u64>,
    /// From this time on.
    since_ms: Option<u64>,
}

pub fn routes() -> ApiRouter<App> {
    ApiRouter::new().api_route(
        "/jobs/{job}/log",
        get_with(log, |it| {
            let what =
                "What a job wrote to stdout and stderr, as bytes; `range` works once it is done";
            it.id("get_log").summary(what).tag("jobs")
        }),
    )
}

async fn log(
    State(app): State<App>,
    Path(JobPath { job }): Path<JobPath>,
    Query(query): Query<LogQuery>,
    ranged: Ranged,
) -> Result<Raw, Problem> {
    let LogQuery { attempt, follow, offset, tail_lines, since_ms } = query;
    let places = [offset, tail_lines, since_ms];
    if places.iter().flatten().count() > 1 {
        let why = "only one of offset, tail_lines and since_ms can be said";
        return Err(Error::invalid("query", why).into());
    }
    let job = app.service.find(&job).await?;
    let mut request = ReadLogRequest {
        job: job.id.to_string(),
        follow: follow.unwrap_or_default(),
        since_offset: offset,
        since_ms,
        tail_lines,
        timestamps: false,
        attempt: attempt.unwrap_or_default(),
    };
    let whole = places.iter().all(Option::is_none);
    if whole && let Some(total) = app.service.whole_log(&job, request.attempt).await? {
        let part = match ranged.of_total(total) {
            Ok(part) => part,
            Err(beyond) => return Ok(beyond.into()),
        };
        request.since_offset = Some(part.range.start);
        let chunks = ReceiverStream::new(app.service.read_log(request).await?);
        let bytes = up_to(part.range.end - part.range.start, bytes_of(begun(chunks).await?));
        return Ok(Raw::part(KIND, &part, bytes).sandboxed());
    }
    let follow = request.follow;
    let chunks = ReceiverStream::new(app.service.read_log(request).await?);
    // Who follows hears at once that it does.
    let raw = if follow {
        Raw::stream(KIND, bytes_of(chunks))
    } else {
        Raw::stream(KIND, bytes_of(begun(chunks).await?))
    };
    Ok(raw.sandboxed())
}

/// Why nothing comes at the moment is for who reads messages; here, nothing comes.
fn bytes_of(
    chunks: impl Stream<Item = Result<LogChunk, Error>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
    chunks.map(|it| it.map(|chunk| chunk.data))
}

/// The first bytes alone.
fn up_to(
    mut left: u64,
    bytes: impl Stream<Item = Result<Bytes, Error>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
    bytes.map(move |piece| {
        let mut piece = piece?;
        piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= piece.len() as u64;
        Ok(piece)
    })
}
