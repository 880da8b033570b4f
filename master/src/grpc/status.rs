//! The one table from refusal to gRPC status, without `_ =>`: a new refusal does not compile until its code is chosen.

use atlas_core::cluster::Rejection;
use atlas_proto::{FIELD, WANTED_SECRETS};
use atlas_runtime::Chain;
use tonic::{Code, Status};

use crate::service::Error;
use crate::{bundles, proxy};

pub fn status(error: &Error) -> Status {
    let code = match error {
        Error::Invalid { .. } | Error::SecretsWanted(_) | Error::NotAFile { .. } => {
            Code::InvalidArgument
        }
        // What was named is no job, or no single one.
        Error::NoJob(_)
        | Error::NoProject(_)
        | Error::NoNote { .. }
        | Error::NotAnId { .. }
        | Error::Ambiguous { .. }
        | Error::NoSuchMetric { .. }
        | Error::NoSuchPath { .. }
        | Error::Removed { .. } => Code::NotFound,
        Error::NoLogYet(_)
        | Error::NoBundle(_)
        | Error::BundleGone(_)
        | Error::NotOutside(_)
        | Error::NotRunning(_) => Code::FailedPrecondition,
        // Nothing is wrong with the request, and clients are not to try it again and again as they do with a master that is away.
        Error::StoreAway(_) | Error::NodeGone(_) => return Status::internal(error.to_string()),
        Error::Proxy(error) => return node(error),
        Error::SpecDiffers(_) | Error::ImportDiffers { .. } => Code::AlreadyExists,
        Error::Unauthenticated(_) => Code::Unauthenticated,
        Error::OtherHost(_)
        | Error::OtherOrigin(_)
        | Error::Denied(_)
        | Error::NotHeld { .. }
        | Error::UnreadableCheckpoint { .. } => Code::PermissionDenied,
        Error::TooManyCheckpoints { .. } => Code::OutOfRange,
        Error::Rejected(rejection) => rejected(rejection),
        Error::Bundle(error) => bundle(error),
        Error::Unavailable(_) => Code::Unavailable,
        Error::Store(error) if error.is_away() => Code::Unavailable,
        Error::Store(_) | Error::Io { .. } => Code::Internal,
    };
    if code == Code::Internal {
        tracing::error!("{}", Chain(error));
    }
    let mut status = Status::new(code, Chain(error).to_string());
    if let Error::SecretsWanted(names) = error {
        let names = names.join(",").parse().expect("names of letters, digits and underscores");
        status.metadata_mut().insert(WANTED_SECRETS, names);
    }
    if let Some(field) = field(error).and_then(|it| it.parse().ok()) {
        status.metadata_mut().insert(FIELD, field);
    }
    status
}

/// What the message is about. Fields that are lines of a file are called the same everywhere.
fn field(error: &Error) -> Option<&str> {
    match error {
        Error::Invalid { field, .. } => Some(field),
        Error::Rejected(Rejection::FitsNoNode { .. }) => Some("wait_for_capacity"),
        _ => None,
    }
}

/// What a node says of the request itself is passed on.
fn node(error: &proxy::Error) -> Status {
    let code = match error {
        proxy::Error::Refused { source, .. } => match source.code() {
            code @ (Code::NotFound | Code::InvalidArgument | Code::FailedPrecondition) => code,
            _ => Code::Internal,
        },
        proxy::Error::Address { .. } | proxy::Error::Away { .. } => Code::Internal,
    };
    Status::new(code, Chain(error).to_string())
}

fn rejected(rejection: &Rejection) -> Code {
    match rejection {
        Rejection::UnknownJob(_) | Rejection::UnknownNode(_) => Code::NotFound,
        Rejection::SpecDiffers(_) | Rejection::IdTaken(_) => Code::AlreadyExists,
        Rejection::FitsNoNode { .. } => Code::InvalidArgument,
        Rejection::AlreadyEnded { .. }
        | Rejection::NotFinished { .. }
        | Rejection::StillWrites { .. }
        | Rejection::NameTaken(_)
        | Rejection::NodeElsewhere { .. }
        | Rejection::NodeConnected(_)
        | Rejection::NodeHoldsJobs { .. }
        | Rejection::OldSession(_) => Code::FailedPrecondition,
    }
}

fn bundle(error: &bundles::Error) -> Code {
    if error.is_clients_fault() { Code::InvalidArgument } else { Code::Internal }
}
