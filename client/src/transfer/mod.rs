//! Jobs as files of a folder, on their way to another cluster or to people: `docs/using/export-format.md`.

mod layout;
mod manifest;
mod ship;

use std::io;
use std::path::{Path, PathBuf};

pub use layout::{About, FORMAT, Layout, Note, Project, parse, write_json, write_text};
pub use manifest::{Manifest, digest, everything};
pub use ship::{Folder, ship};

/// What is wrong with an export, or why it could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("could not write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{}: {why}", path.display())]
    Wrong { path: PathBuf, why: String },
    #[error("the master does not take {}: {why}", path.display())]
    NotTaken { path: PathBuf, why: String },
}

impl Error {
    pub fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }

    pub fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }

    pub fn wrong(path: &Path, why: impl Into<String>) -> Self {
        Self::Wrong { path: path.to_owned(), why: why.into() }
    }
}
