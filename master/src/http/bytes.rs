//! Bytes that are not ours: logs, files, archives. They come as streams, in the part that is asked for, and a browser runs nothing
//! of them.

use std::convert::Infallible;
use std::ops::Range;

use aide::generate::GenContext;
use aide::openapi::{MediaType, Operation};
use aide::{OperationInput, OperationOutput};
use atlas_runtime::Chain;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use tokio_stream::wrappers::ReceiverStream;

use super::error::{Code, Problem};
use crate::service::{Error, Files};

/// What a job wrote is shown, and does nothing: no script, no form, no other origin (docs/using/rest.md).
const SANDBOX: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// Bytes of a kind that the route's description names.
#[derive(Debug)]
pub struct Raw(Response);

impl Raw {
    /// All of a stream of unknown length.
    pub fn stream(
        kind: &'static str,
        bytes: impl Stream<Item = Result<bytes::Bytes, Error>> + Send + 'static,
    ) -> Self {
        Self(([(header::CONTENT_TYPE, kind)], body(bytes)).into_response())
    }

    /// A part of something of known length.
    pub fn part(
        kind: &str,
        part: &Part,
        bytes: impl Stream<Item = Result<bytes::Bytes, Error>> + Send + 'static,
    ) -> Self {
        let mut response = (part.status(), body(bytes)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers
            .insert(header::CONTENT_LENGTH, HeaderValue::from(part.range.end - part.range.start));
        if let Some(place) = part.place() {
            headers.insert(header::CONTENT_RANGE, place);
        }
        Self(response).with(header::CONTENT_TYPE, kind)
    }

    /// Of a user's making.
    pub fn sandboxed(self) -> Self {
        self.with(header::CONTENT_SECURITY_POLICY, SANDBOX)
    }

    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers_mut().insert(name, value);
        }
        self
    }
}

impl IntoResponse for Raw {
    fn into_response(self) -> Response {
        self.0
    }
}

impl OperationOutput for Raw {
    type Inner = Self;

    fn inferred_responses(
        _: &mut GenContext,
        _: &mut Operation,
    ) -> Vec<(Option<u16>, aide::openapi::Response)> {
        let described = |text: &str| aide::openapi::Response {
            description: text.into(),
            content: [("*/*".to_owned(), MediaType::default())].into_iter().collect(),
            ..Default::default()
        };
        vec![
            (Some(200), described("All of it.")),
            (Some(206), described("The part that `range` asks for.")),
        ]
    }
}

/// Whoever reads sees that it breaks off; why, the log says.
pub fn body(bytes: impl Stream<Item = Result<bytes::Bytes, Error>> + Send + 'static) -> Body {
    Body::from_stream(bytes.inspect_err(|error| {
        tracing::warn!("an answer broke off: {}", Chain(error));
    }))
}

/// What comes over a channel, as a body's stream.
pub fn pieces(files: Files<bytes::Bytes>) -> impl Stream<Item = Result<bytes::Bytes, Error>> {
    ReceiverStream::new(files)
}

/// The stream once its first item is there, so that what fails at once is told with a status of its own.
pub async fn begun<T: Send + 'static>(
    stream: impl Stream<Item = Result<T, Error>> + Send + Unpin + 'static,
) -> Result<impl Stream<Item = Result<T, Error>> + Send + 'static, Error> {
    let mut stream = stream;
    let first = stream.next().await.transpose()?;
    Ok(stream::iter(first.map(Ok)).chain(stream))
}

/// The `range` of a request: one part, or all. Several parts are answered with all, as is one of a thing that may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranged {
    All,
    From(u64),
    Within(u64, u64),
    Last(u64),
}

impl<S: Sync> FromRequestParts<S> for Ranged {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers).unwrap_or(Self::All))
    }
}

impl OperationInput for Ranged {}

impl Ranged {
    fn of(headers: &HeaderMap) -> Option<Self> {
        if headers.contains_key(header::IF_RANGE) {
            return None;
        }
        let asked = headers.get(header::RANGE)?.to_str().ok()?;
        let (first, last) = asked.trim().strip_prefix("bytes=")?.trim().split_once('-')?;
        match (first.trim(), last.trim()) {
            ("", last) => Some(Self::Last(last.parse().ok()?)),
            (first, "") => Some(Self::From(first.parse().ok()?)),
            (first, last) => {
                let (first, last) = (first.parse().ok()?, last.parse().ok()?);
                (first <= last).then_some(Self::Within(first, last))
            }
        }
    }

    /// Of something of so many bytes.
    pub fn of_total(self, total: u64) -> Result<Part, Beyond> {
        let range = match self {
            Self::All => return Ok(Part { range: 0..total, total, partial: false }),
            Self::From(first) => first..total,
            Self::Within(first, last) => first..total.min(last.saturating_add(1)),
            Self::Last(bytes) => total.saturating_sub(bytes)..total,
        };
        if range.is_empty() {
            Err(Beyond { total })
        } else {
            Ok(Part { range, total, partial: true })
        }
    }
}

/// The part that is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub range: Range<u64>,
    total: u64,
    partial: bool,
}

impl Part {
    fn status(&self) -> StatusCode {
        if self.partial { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK }
    }

    fn place(&self) -> Option<HeaderValue> {
        let Range { start, end } = self.range;
        let text = format!("bytes {start}-{}/{}", end.checked_sub(1)?, self.total);
        HeaderValue::from_str(&text).ok().filter(|_| self.partial)
    }
}

/// Nothing of what is asked for is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beyond {
    total: u64,
}

impl From<Beyond> for Raw {
    fn from(Beyond { total }: Beyond) -> Self {
        let problem = Problem::new(Code::BeyondTheEnd, format!("it has {total} bytes"));
        Self(problem.into_response()).with(header::CONTENT_RANGE, &format!("bytes */{total}"))
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    fn part(asked: &str, total: u64) -> Option<(Range<u64>, bool)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, asked.parse().unwrap());
        let ranged = Ranged::of(&headers).unwrap_or(Ranged::All);
        ranged.of_total(total).ok().map(|it| (it.range, it.partial))
    }

    #[test]
    fn one_part_is_answered_and_whatever_is_not_understood_with_all() {
        assert_eq!(part("bytes=0-3", 10), Some((0..4, true)));
        assert_eq!(part("bytes=4-", 10), Some((4..10, true)));
        assert_eq!(part("bytes=-3", 10), Some((7..10, true)));
        assert_eq!(part("bytes=-30", 10), Some((0..10, true)));
        assert_eq!(part("bytes=8-18446744073709551615", 10), Some((8..10, true)));
        for beyond in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            assert_eq!(part(beyond, 10), None, "{beyond}");
        }
        for other in ["bytes=3-1", "bytes=0-1,4-5", "lines=1-2", "bytes=-", "bytes=a-b", ""] {
            assert_eq!(part(other, 10), Some((0..10, false)), "{other}");
        }
    }
}
