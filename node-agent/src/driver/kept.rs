//! `assignment.json`: what an agent that starts again knows of an attempt. Written before anything is started.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use atlas_core::agent::Work;
use atlas_core::{Epoch, GpuId, JobSpec};
use atlas_runtime::process::write_atomic;
use serde::{Deserialize, Serialize};

/// An assignment and the start of the machine that it was made in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub spec: Arc<JobSpec>,
    #[serde(default)]
    pub gpus: Vec<GpuId>,
    pub boot_id: String,
    pub epoch: Epoch,
}

/// Why an assignment cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not an assignment", path.display())]
    Decode { path: PathBuf, source: serde_json::Error },
}

impl Kept {
    pub fn new(work: &Work, boot_id: &str, epoch: Epoch) -> Self {
        let Work { spec, gpus, sealed: _ } = work;
        Self { spec: spec.clone(), gpus: gpus.clone(), boot_id: boot_id.to_owned(), epoch }
    }

    /// Not synced: what matters survives the agent's death, and a machine's death ends the job anyway. Closed all the same: plain
    /// environment may be private. The job's secrets are not in it.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_vec(self).expect("an assignment is always JSON");
        write_atomic(path, &text, 0o600, false)
            .map_err(|source| Error::Write { path: path.to_owned(), source })
    }

    /// `None` = there is none.
    pub fn read(path: &Path) -> Result<Option<Self>, Error> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Read { path: path.to_owned(), source }),
        };
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|source| Error::Decode { path: path.to_owned(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_as_it_was_written_and_by_its_owner_only() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("assignment.json");
        assert_eq!(Kept::read(&path).unwrap(), None);
        let kept = Kept {
            spec: Arc::new(crate::tests::spec()),
            gpus: vec!["GPU-1".parse().unwrap()],
            boot_id: "b".into(),
            epoch: Epoch(3),
        };
        kept.write(&path).unwrap();
        assert_eq!(Kept::read(&path).unwrap(), Some(kept));
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        fs::write(&path, "{").unwrap();
        assert!(Kept::read(&path).is_err());
    }
}
