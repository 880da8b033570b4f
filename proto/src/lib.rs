//! The wire of Atlas: generated messages and services, and their conversion to and from core.
//!
//! **Invariant:** the wire is parsed once, at the edge, into types that cannot be wrong. Wire to core may refuse, and says which
//! field; core to wire cannot fail.

pub mod convert;
pub mod list;

/// Generated from `proto/atlas/v1/*.proto`.
#[expect(
    clippy::allow_attributes_without_reason,
    clippy::allow_attributes,
    clippy::large_enum_variant,
    clippy::too_many_lines,
    reason = "generated code"
)]
pub mod wire {
    tonic::include_proto!("atlas.v1");
}

pub use convert::Invalid;

/// Carries the name of who asks, while there are no accounts.
pub const USER_HEADER: &str = "x-atlas-user";
/// Carries the cluster's join token between master and nodes.
pub const JOIN_TOKEN_HEADER: &str = "x-atlas-join-token";
/// Names the secrets, between commas, whose values a refused submission lacks.
pub const WANTED_SECRETS: &str = "x-atlas-wanted-secrets";
/// Names the field of a refused request that its message is about; a client may call it as its users know it.
pub const FIELD: &str = "x-atlas-field";
/// Where a node opens a connection for the requests of its jobs, on the master.
pub const TUNNEL_PATH: &str = "/nodes/tunnel";
/// What such a connection is upgraded to.
pub const TUNNEL_PROTOCOL: &str = "atlas-jobs";
/// Where a master marks the shared storage as its cluster's: below it, in a folder of its own.
pub const SHARE_MARKS: &str = "share";
/// The most bytes of one chunk of a stream.
pub const CHUNK: usize = 256 * 1024;
/// The most bytes of one message: a submission must fit.
pub const MAX_MESSAGE: usize = 64 * 1024 * 1024;
