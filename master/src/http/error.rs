//! The one table from refusal to HTTP status, as `application/problem+json` (RFC 9457).

use atlas_core::cluster::Rejection;
use atlas_runtime::Chain;
use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::service::Error;

/// An error as its reader gets it.
pub struct Problem(pub Error);

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self(Error::invalid("query", rejection.body_text()))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let code = code(&self.0);
        if code == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!("{}", Chain(&self.0));
        }
        problem(code, &Chain(&self.0).to_string())
    }
}

pub async fn no_such_page(uri: Uri) -> Response {
    problem(
        StatusCode::NOT_FOUND,
        &format!("there is nothing at {}; the API begins at /api/v1", uri.path()),
    )
}

/// What went wrong, as JSON.
pub fn problem(code: StatusCode, detail: &str) -> Response {
    let title = code.canonical_reason().unwrap_or("error");
    let body = serde_json::json!({ "title": title, "status": code.as_u16(), "detail": detail });
    let mut response =
        (code, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string())
            .into_response();
    if code == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}

fn code(error: &Error) -> StatusCode {
    match error {
        Error::Invalid { .. } | Error::SecretsWanted(_) => StatusCode::BAD_REQUEST,
        Error::NoJob(_)
        | Error::NotAnId { .. }
        | Error::Ambiguous { .. }
        | Error::NoSuchPath { .. } => StatusCode::NOT_FOUND,
        Error::NoLogYet(_) | Error::NoBundle(_) | Error::BundleGone(_) | Error::SpecDiffers(_) => {
            StatusCode::CONFLICT
        }
        Error::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
        Error::Denied(_) | Error::NotHeld { .. } | Error::UnreadableCheckpoint { .. } => {
            StatusCode::FORBIDDEN
        }
        Error::TooManyCheckpoints { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        Error::Rejected(rejection) => rejected(rejection),
        Error::Bundle(error) if error.is_clients_fault() => StatusCode::BAD_REQUEST,
        Error::StoreAway(_) | Error::Unavailable(_) | Error::Proxy(_) | Error::NodeGone(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Error::Store(error) if error.is_away() => StatusCode::SERVICE_UNAVAILABLE,
        Error::Bundle(_) | Error::Store(_) | Error::Io { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn rejected(rejection: &Rejection) -> StatusCode {
    match rejection {
        Rejection::UnknownJob(_) | Rejection::UnknownNode(_) => StatusCode::NOT_FOUND,
        Rejection::FitsNoNode { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        Rejection::SpecDiffers(_)
        | Rejection::AlreadyEnded { .. }
        | Rejection::NotFinished { .. }
        | Rejection::NameTaken(_)
        | Rejection::NodeElsewhere { .. }
        | Rejection::NodeConnected(_)
        | Rejection::NodeHoldsJobs { .. }
        | Rejection::OldSession(_) => StatusCode::CONFLICT,
    }
}
