//! Why a bundle was not unpacked, and whose fault that is.

use std::io;
use std::path::PathBuf;

use atlas_core::BundleId;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the bundle")]
    Read(#[source] io::Error),
    #[error("the file of bundle {expected} is damaged: what it holds is {found}")]
    Damaged { expected: BundleId, found: BundleId },
    #[error("the bundle is refused at {name:?}: {why}")]
    Refused { name: String, why: Refusal },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot look through {}", dir.display())]
    Look { dir: PathBuf, source: io::Error },
    #[error("{pattern:?} is no pattern of files to leave out: {why}")]
    Pattern { pattern: String, why: String },
}

/// What a bundle must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("an absolute path")]
    Absolute,
    #[error("a path with '.', '..' or an empty part")]
    Dots,
    #[error("a name that is empty, too long or holds a zero byte")]
    Name,
    #[error("a folder's name has to end in a slash, and no other")]
    Slash,
    #[error("a hard link")]
    HardLink,
    #[error("a device or a named pipe")]
    Device,
    #[error("a kind of entry that bundles do not have")]
    Kind,
    #[error("a header that is not right")]
    Header,
    #[error("the path is out of order or there twice")]
    Order,
    #[error("the path is there twice")]
    Twice,
    #[error("its folder has no entry before it")]
    NoFolder,
    #[error("folders within folders, too many")]
    TooDeep,
    #[error("more bytes than declared")]
    TooManyBytes,
    #[error("more entries than declared")]
    TooManyEntries,
    #[error("more links than can be kept in memory")]
    TooManyLinks,
    #[error("the archive ends too early")]
    Truncated,
    #[error("there is something behind the end of the archive")]
    Trailing,
}

impl Error {
    /// Whether no other node would fare better: what the bundle says is wrong, not how it was kept, read or written.
    pub fn is_of_the_bundle(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::Pattern { .. } => true,
            Self::Read(_) | Self::Damaged { .. } | Self::Write { .. } | Self::Look { .. } => false,
        }
    }

    pub(super) fn refused(name: &[u8], why: Refusal) -> Self {
        Self::Refused { name: String::from_utf8_lossy(name).chars().take(200).collect(), why }
    }
}
