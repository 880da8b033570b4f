//! How answers go out: marked so that nobody has to be sent what they have, compressed where that helps, and never taken for
//! something else than what they are.

use std::fmt::Write;
use std::marker::PhantomData;

use aide::OperationOutput;
use aide::generate::GenContext;
use aide::openapi::Operation;
use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{And, Predicate, SizeAbove};

use crate::service::Error;

/// Items of a list that are written at once.
const LISTED: usize = 256;

/// One thing as JSON, with a mark that changes when it changes.
pub struct Tagged<T>(pub T);

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let Ok(body) = serde_json::to_vec(&self.0) else { return Json(self.0).into_response() };
        ([(header::CONTENT_TYPE, "application/json")], tagged(body.into())).into_response()
    }
}

impl<T: JsonSchema> OperationOutput for Tagged<T> {
    type Inner = T;

    fn operation_response(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Option<aide::openapi::Response> {
        Json::<T>::operation_response(ctx, operation)
    }

    fn inferred_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, aide::openapi::Response)> {
        Json::<T>::inferred_responses(ctx, operation)
    }
}

/// One list as JSON, sent as it is found: nobody holds all of it.
pub struct Streamed<T> {
    body: Body,
    /// What it reads like when it has come.
    of: PhantomData<T>,
}

impl<T> Streamed<T> {
    /// An object with one list of this name. What fails on the way breaks the connection off.
    pub fn list<I: Serialize>(
        name: &'static str,
        items: impl Stream<Item = Result<I, Error>> + Send + 'static,
    ) -> Self {
        let mut first = true;
        let items = items.ready_chunks(LISTED).map(move |items| {
            let mut text = Vec::new();
            for item in items {
                if !std::mem::take(&mut first) {
                    text.push(b',');
                }
                serde_json::to_writer(&mut text, &item?)
                    .map_err(|it| Error::io("list")(it.into()))?;
            }
            Ok::<_, Error>(Bytes::from(text))
        });
        let text = |text: String| stream::iter([Ok(Bytes::from(text))]);
        let body = text(format!("{{\"{name}\":[")).chain(items).chain(text("]}".into()));
        Self { body: super::bytes::body(body), of: PhantomData }
    }
}

impl<T> IntoResponse for Streamed<T> {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], self.body).into_response()
    }
}

impl<T: JsonSchema> OperationOutput for Streamed<T> {
    type Inner = T;

    fn operation_response(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Option<aide::openapi::Response> {
        Json::<T>::operation_response(ctx, operation)
    }

    fn inferred_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, aide::openapi::Response)> {
        Json::<T>::inferred_responses(ctx, operation)
    }
}

/// The bytes with the header that marks them. They are the same to whoever reads them, compressed or not: a weak mark.
pub fn tagged(body: Bytes) -> impl IntoResponse {
    let mut tag = String::from("W/\"");
    for byte in &Sha256::digest(&body)[..16] {
        write!(tag, "{byte:02x}").expect("a text takes everything");
    }
    tag.push('"');
    ([(header::ETAG, tag)], body)
}

/// Answers 304 to whoever has it already.
pub async fn unless_known(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let known = reads.then(|| request.headers().get(header::IF_NONE_MATCH).cloned()).flatten();
    let response = next.run(request).await;
    let (Some(known), Some(tag)) = (known, response.headers().get(header::ETAG)) else {
        return response;
    };
    if response.status() == StatusCode::OK && matches(&known, tag) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag.clone())]).into_response();
    }
    response
}

/// Whether a list of marks, or `*`, has this one. Strong or weak is no difference for reading (RFC 9110, 13.1.2).
fn matches(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(known), Ok(tag)) = (known.to_str(), tag.to_str()) else { return false };
    let bare = |it: &str| it.trim().trim_start_matches("W/").to_owned();
    known.trim() == "*" || known.split(',').any(|it| bare(it) == bare(tag))
}

/// Compresses JSON of ours. What is kept of jobs goes out as it is: its bytes are asked for by their numbers.
pub fn compression() -> CompressionLayer<And<SizeAbove, JsonAlone>> {
    CompressionLayer::new().compress_when(SizeAbove::new(1024).and(JsonAlone))
}

#[derive(Clone, Copy, Debug)]
pub struct JsonAlone;

impl Predicate for JsonAlone {
    fn should_compress<B: axum::body::HttpBody>(&self, response: &axum::http::Response<B>) -> bool {
        let headers = response.headers();
        let kind = headers.get(header::CONTENT_TYPE);
        let is_json = kind.is_some_and(|it| it.as_bytes().starts_with(b"application/json"));
        is_json && !headers.contains_key(header::ACCEPT_RANGES)
    }
}

/// No browser guesses at what an answer is, and no cache keeps one without asking.
pub async fn as_it_is(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn a_mark_is_known_in_any_list_and_strength() {
        let value = |it: &str| HeaderValue::from_str(it).unwrap();
        let tag = value("W/\"a\"");
        for known in ["W/\"a\"", "\"a\"", "*", "\"b\", W/\"a\""] {
            assert!(matches(&value(known), &tag), "{known}");
        }
        for other in ["", "\"b\"", "a", "\"ab\""] {
            assert!(!matches(&value(other), &tag), "{other}");
        }
    }
}
