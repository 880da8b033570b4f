//! What can go wrong inside. Whoever called knows what was tried.

use std::io;
use std::path::Path;

use crate::store::Error;

#[derive(Debug)]
pub enum Fault {
    Sqlite(rusqlite::Error),
    File(io::Error),
    /// The thread that did it is gone.
    Thread(&'static str),
    Value(Error),
}

impl Fault {
    /// The error of having tried `what` on the store in this file.
    pub fn tried(self, what: &'static str, path: &Path) -> Error {
        let source = match self {
            Self::Sqlite(source) => source.into(),
            Self::File(source) => source.into(),
            Self::Thread(source) => source.into(),
            Self::Value(error) => return error,
        };
        Error::Io { what, place: path.display().to_string(), source }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Value(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}
