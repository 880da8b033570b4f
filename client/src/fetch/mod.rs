//! A job's files, as they come from the master, onto this machine's disk. The archive may hold what a hostile job wrote.

mod beneath;
mod untar;

use std::io;
use std::path::PathBuf;

pub use beneath::{Beneath, may_be_part};
pub use untar::{Fetched, untar};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not write to {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    /// The connection broke, or what it brought is not an archive.
    #[error("could not read the archive")]
    Read(#[source] io::Error),
    #[error("the archive names {}, which {why}: nothing was written there", path.display())]
    Hostile { path: PathBuf, why: &'static str },
}
