//! Where the log of an attempt goes.

use std::path::PathBuf;

use atlas_runtime::storage::log;

use super::{Error, Remote};
use crate::paths::{AttemptId, Shared};

/// The log of one attempt. All of it blocks.
#[derive(Clone)]
pub enum Log {
    Mounted { text: PathBuf, index: PathBuf, jobs: PathBuf },
    Master(Remote, AttemptId),
}

/// The two files of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFile {
    Text,
    Index,
}

impl Log {
    pub(super) fn mounted(shared: &Shared, id: AttemptId) -> Self {
        let (text, index) = (shared.log(id), shared.log_index(id));
        Self::Mounted { text, index, jobs: shared.jobs() }
    }

    /// The bytes that are there.
    pub fn length(&self, file: LogFile) -> Result<u64, Error> {
        self.append(file, 0, Vec::new())
    }

    /// Appends what belongs at `offset`; the bytes that are there then.
    pub fn append(&self, file: LogFile, offset: u64, data: Vec<u8>) -> Result<u64, Error> {
        match self {
            Self::Mounted { text, index, .. } => {
                let path = match file {
                    LogFile::Text => text,
                    LogFile::Index => index,
                };
                log::append(path, offset, &data)
                    .map_err(|source| Error::Write { path: path.clone(), source })
            }
            Self::Master(remote, id) => remote.append_log(*id, file, offset, data),
        }
    }

    /// The node's own copy goes when the log has ended and all of it is there.
    pub fn sync(&self) -> Result<(), Error> {
        match self {
            Self::Mounted { text, index, jobs } => log::sync(jobs, text.clone(), index.clone())
                .map_err(|source| Error::Write { path: text.clone(), source }),
            Self::Master(remote, id) => remote.sync_log(*id),
        }
    }
}
