//! What the agent itself writes into a job's log before the supervisor does: the banner, the progress of a pull, what pip says.
//! The supervisor goes on at the end of it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use tokio::sync::watch;

use super::LogState;
use crate::paths::JobDir;
use crate::supervisor::wall_now;
use atlas_core::log_index as index;

/// The beginning of a log. Local and short, so that it is written at once.
pub struct Prelude {
    path: PathBuf,
    log: File,
    index: File,
    writer: index::Writer,
    length: u64,
    state: watch::Sender<LogState>,
}

/// The beginning of a log cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("could not write {}", path.display())]
pub struct Error {
    path: PathBuf,
    source: io::Error,
}

impl Prelude {
    /// Begins the log of a control directory that has none.
    pub fn create(dir: &JobDir, state: watch::Sender<LogState>) -> Result<Self, Error> {
        let make = |path: PathBuf| {
            let file = OpenOptions::new().append(true).create_new(true).mode(0o644).open(&path);
            file.map_err(|source| Error { path, source })
        };
        Ok(Self {
            path: dir.log(),
            log: make(dir.log())?,
            index: make(dir.log_index())?,
            writer: index::Writer::default(),
            length: 0,
            state,
        })
    }

    /// Adds these bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.try_write(bytes).map_err(|source| Error { path: self.path.clone(), source })
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.log.write_all(bytes)?;
        if let Some(entry) = self.writer.batch(wall_now(), self.length) {
            self.index.write_all(&entry.encode())?;
        }
        self.length += bytes.len() as u64;
        self.state.send_modify(|it| it.length = self.length);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Data;

    #[test]
    fn what_is_written_can_be_read_at_once_and_has_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::new(folder.path().into());
        let dir = data.job("45540b52-ffe2-44ab-9838-db467d3499c0.1".parse().unwrap());
        std::fs::create_dir_all(dir.control()).unwrap();
        let (state, seen) = watch::channel(LogState::default());
        let mut log = Prelude::create(&dir, state.clone()).unwrap();
        log.write(b"one\n").unwrap();
        log.write(b"two\n").unwrap();
        assert_eq!(std::fs::read(dir.log()).unwrap(), b"one\ntwo\n");
        assert_eq!(*seen.borrow(), LogState { length: 8, ended: false });
        let records = std::fs::read(dir.log_index()).unwrap();
        assert_eq!(index::Index::new(&records).entries().next().unwrap().offset, 0);
        assert!(Prelude::create(&dir, state).is_err(), "a log was begun twice");
    }
}
