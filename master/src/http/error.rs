//! The one table from refusal to HTTP status and code, as `application/problem+json` (RFC 9457).

use aide::OperationOutput;
use aide::generate::GenContext;
use aide::openapi::{MediaType, Operation, SchemaObject};
use atlas_core::cluster::Rejection;
use atlas_runtime::Chain;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::service::Error;
use crate::{bundles, proxy};

/// What was refused, for programs. A word keeps its meaning for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Something of the request is not right; `field` says what.
    Invalid,
    /// Values of secrets are missing; `secrets` names them.
    SecretsWanted,
    NoJob,
    /// The beginning of an id that several jobs share.
    AmbiguousJob,
    NoProject,
    /// Of a project.
    NoNote,
    NoNode,
    NoFile,
    /// What the job wrote was removed; what is known of it is not.
    OutputsRemoved,
    /// A folder or a link, where a file was asked for.
    NotAFile,
    /// `range` asks for nothing that is there.
    BeyondTheEnd,
    /// The job has not logged it.
    NoMetric,
    /// The job has not begun.
    NoLogYet,
    /// The bundle was not uploaded.
    NoBundle,
    NoUpload,
    /// An upload goes on somewhere else; `offset` says where.
    WrongOffset,
    NotABundle,
    BundleTooLarge,
    TooManyUploads,
    /// The id belongs to another job.
    SpecDiffers,
    /// No node could ever run it.
    FitsNoNode,
    AlreadyEnded,
    NotFinished,
    /// Only a run outside the scheduler that goes on tells of itself this way.
    NotOutside,
    /// Only a job that runs keeps files this way.
    NotRunning,
    NodeConflict,
    Unauthenticated,
    Denied,
    /// The request is for a host that this master does not know as its own.
    OtherHost,
    /// A page of another site may change nothing.
    OtherOrigin,
    NodeAway,
    Unavailable,
    Internal,
    NoSuchPage,
    NoSuchMethod,
    /// This address is for nodes.
    UpgradeRequired,
    BodyTooLarge,
    UnsupportedBody,
    /// What jobs left cannot be handed to a node.
    Checkpoints,
}

/// An error as its reader gets it.
#[derive(Debug)]
pub struct Problem(Box<Said>);

/// Why a request was refused (RFC 9457).
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct Said {
    title: String,
    status: u16,
    code: Code,
    /// For people: what was tried, on what, and what to do.
    detail: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let status = status(code);
        Self(Box::new(Said {
            title: status.canonical_reason().unwrap_or("error").to_owned(),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            field: None,
            secrets: Vec::new(),
            offset: None,
        }))
    }

    /// As one of many answers in one body.
    pub fn said(self) -> Said {
        *self.0
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let code = code(&error);
        if code == Code::Internal {
            tracing::error!("{}", Chain(&error));
        }
        let Self(mut said) = Self::new(code, Chain(&error).to_string());
        match error {
            Error::Invalid { field, .. } => said.field = Some(field),
            Error::SecretsWanted(names) => said.secrets = names,
            Error::Bundle(bundles::Error::Offset { expected, .. }) => said.offset = Some(expected),
            _ => {}
        }
        Self(said)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(said) = self;
        let status = status(said.code);
        let body = serde_json::to_string(&said).expect("its keys are texts");
        let kind = [
            (header::CONTENT_TYPE, "application/problem+json"),
            // Who has no token hears it before the router is asked, which says this of everything.
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        let mut response = (status, kind, body).into_response();
        let (name, value) = match status {
            StatusCode::UNAUTHORIZED => (header::WWW_AUTHENTICATE, "Bearer"),
            StatusCode::SERVICE_UNAVAILABLE => (header::RETRY_AFTER, "1"),
            _ => return response,
        };
        response.headers_mut().insert(name, HeaderValue::from_static(value));
        response
    }
}

impl OperationOutput for Problem {
    type Inner = Said;

    fn operation_response(
        ctx: &mut GenContext,
        _: &mut Operation,
    ) -> Option<aide::openapi::Response> {
        let json_schema = ctx.schema.subschema_for::<Said>();
        let schema = SchemaObject { json_schema, external_docs: None, example: None };
        let media = MediaType { schema: Some(schema), ..Default::default() };
        Some(aide::openapi::Response {
            description: "It was refused: `code` says what for, `detail` says it to people.".into(),
            content: [("application/problem+json".to_owned(), media)].into_iter().collect(),
            ..Default::default()
        })
    }

    fn inferred_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, aide::openapi::Response)> {
        Self::operation_response(ctx, operation).map(|it| (None, it)).into_iter().collect()
    }
}

pub async fn no_such_page(uri: Uri) -> Problem {
    let detail = format!("there is nothing at {}; the API begins at /api/v1", uri.path());
    Problem::new(Code::NoSuchPage, detail)
}

pub async fn no_such_method(method: Method, uri: Uri) -> Problem {
    Problem::new(Code::NoSuchMethod, format!("{} takes no {method}", uri.path()))
}

/// What went wrong, as JSON.
pub fn problem(code: Code, detail: impl Into<String>) -> Response {
    Problem::new(code, detail).into_response()
}

fn code(error: &Error) -> Code {
    match error {
        Error::Invalid { .. } => Code::Invalid,
        Error::SecretsWanted(_) => Code::SecretsWanted,
        Error::NoJob(_) | Error::NotAnId { .. } => Code::NoJob,
        Error::NoProject(_) => Code::NoProject,
        Error::NoNote { .. } => Code::NoNote,
        Error::Ambiguous { .. } => Code::AmbiguousJob,
        Error::NoSuchPath { .. } => Code::NoFile,
        Error::Removed { .. } => Code::OutputsRemoved,
        Error::NotAFile { .. } => Code::NotAFile,
        Error::NoSuchMetric { .. } => Code::NoMetric,
        Error::NoLogYet(_) => Code::NoLogYet,
        Error::NoBundle(_) | Error::BundleGone(_) => Code::NoBundle,
        Error::SpecDiffers(_) | Error::ImportDiffers { .. } => Code::SpecDiffers,
        Error::NotOutside(_) => Code::NotOutside,
        Error::NotRunning(_) => Code::NotRunning,
        Error::Unauthenticated(_) => Code::Unauthenticated,
        Error::OtherHost(_) => Code::OtherHost,
        Error::OtherOrigin(_) => Code::OtherOrigin,
        Error::Denied(_) | Error::NotHeld { .. } => Code::Denied,
        Error::UnreadableCheckpoint { .. } | Error::TooManyCheckpoints { .. } => Code::Checkpoints,
        Error::Rejected(rejection) => rejected(rejection),
        Error::Bundle(error) => bundle(error),
        Error::Proxy(error) => node(error),
        Error::NodeGone(_) => Code::NodeAway,
        Error::StoreAway(_) | Error::Unavailable(_) => Code::Unavailable,
        Error::Store(error) if error.is_away() => Code::Unavailable,
        Error::Store(_) | Error::Io { .. } => Code::Internal,
    }
}

fn rejected(rejection: &Rejection) -> Code {
    match rejection {
        Rejection::UnknownJob(_) => Code::NoJob,
        Rejection::UnknownNode(_) => Code::NoNode,
        Rejection::FitsNoNode { .. } => Code::FitsNoNode,
        Rejection::SpecDiffers(_) | Rejection::IdTaken(_) => Code::SpecDiffers,
        Rejection::AlreadyEnded { .. } => Code::AlreadyEnded,
        Rejection::NotFinished { .. } | Rejection::StillWrites { .. } => Code::NotFinished,
        Rejection::NameTaken(_)
        | Rejection::NodeElsewhere { .. }
        | Rejection::NodeConnected(_)
        | Rejection::NodeHoldsJobs { .. }
        | Rejection::OldSession(_) => Code::NodeConflict,
    }
}

fn bundle(error: &bundles::Error) -> Code {
    match error {
        bundles::Error::Token => Code::Invalid,
        bundles::Error::TooLarge { .. } | bundles::Error::TooLargeUnpacked { .. } => {
            Code::BundleTooLarge
        }
        bundles::Error::Offset { .. } => Code::WrongOffset,
        bundles::Error::NoUpload { .. } => Code::NoUpload,
        bundles::Error::TooManyUploads { .. } => Code::TooManyUploads,
        bundles::Error::Mismatch { .. }
        | bundles::Error::NotABundle(_)
        | bundles::Error::Decompress(_) => Code::NotABundle,
        bundles::Error::Check(_) | bundles::Error::Io { .. } => Code::Internal,
    }
}

/// What a node says of the request itself is passed on.
fn node(error: &proxy::Error) -> Code {
    match error {
        proxy::Error::Refused { source, .. } => match source.code() {
            tonic::Code::NotFound => Code::NoFile,
            tonic::Code::InvalidArgument => Code::Invalid,
            tonic::Code::FailedPrecondition => Code::NoLogYet,
            _ => Code::NodeAway,
        },
        proxy::Error::Address { .. } | proxy::Error::Away { .. } => Code::NodeAway,
    }
}

fn status(code: Code) -> StatusCode {
    match code {
        Code::Invalid | Code::SecretsWanted => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::OtherHost => StatusCode::MISDIRECTED_REQUEST,
        Code::Denied | Code::OtherOrigin => StatusCode::FORBIDDEN,
        Code::NoJob
        | Code::AmbiguousJob
        | Code::NoProject
        | Code::NoNote
        | Code::NoNode
        | Code::NoFile
        | Code::NoMetric
        | Code::NoUpload
        | Code::NoSuchPage => StatusCode::NOT_FOUND,
        Code::OutputsRemoved => StatusCode::GONE,
        Code::NoSuchMethod => StatusCode::METHOD_NOT_ALLOWED,
        Code::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
        Code::BeyondTheEnd => StatusCode::RANGE_NOT_SATISFIABLE,
        Code::NoLogYet
        | Code::NotAFile
        | Code::NoBundle
        | Code::WrongOffset
        | Code::SpecDiffers
        | Code::AlreadyEnded
        | Code::NotFinished
        | Code::NotOutside
        | Code::NotRunning
        | Code::NodeConflict => StatusCode::CONFLICT,
        Code::BundleTooLarge | Code::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::UnsupportedBody => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::NotABundle | Code::FitsNoNode | Code::Checkpoints => StatusCode::UNPROCESSABLE_ENTITY,
        Code::TooManyUploads | Code::NodeAway | Code::Unavailable => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
