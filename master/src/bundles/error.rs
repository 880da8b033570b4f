//! Why a bundle was not taken, and whose fault that is.

use std::io;
use std::path::{Path, PathBuf};

use atlas_core::BundleId;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the name of an upload is 1 to 64 letters, digits and dashes")]
    Token,
    #[error("the bundle is larger than the {limit} bytes that this cluster takes (--max-bundle)")]
    TooLarge { limit: u64 },
    #[error(
        "the bundle holds more than {limit} bytes when unpacked, which this cluster does not take (--max-bundle)"
    )]
    TooLargeUnpacked { limit: u64 },
    #[error("the upload goes on at byte {expected}, not at {got}: ask for the offset")]
    Offset { expected: u64, got: u64 },
    #[error("there is no such upload of bundle {bundle}: ask for the offset and send it")]
    NoUpload { bundle: BundleId },
    #[error("{most} uploads are under way, and no more are taken: try again later")]
    TooManyUploads { most: usize },
    #[error("what was sent as bundle {expected} is {found}: send it again")]
    Mismatch { expected: BundleId, found: BundleId },
    #[error("what was sent is no bundle: {0}")]
    NotABundle(&'static str),
    #[error("what was sent cannot be decompressed")]
    Decompress(#[source] io::Error),
    #[error("could not check what was sent, on the shared storage")]
    Check(#[source] io::Error),
    #[error("could not access {} on the shared storage", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl Error {
    /// Whether the same request would fail again, whatever the storage does.
    pub fn is_clients_fault(&self) -> bool {
        match self {
            Self::Token
            | Self::TooLarge { .. }
            | Self::TooLargeUnpacked { .. }
            | Self::Offset { .. }
            | Self::NoUpload { .. }
            | Self::Mismatch { .. }
            | Self::NotABundle(_)
            | Self::Decompress(_) => true,
            Self::TooManyUploads { .. } | Self::Check(_) | Self::Io { .. } => false,
        }
    }

    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}
