//! What of a job's tree somebody asks for, and where it is.

use std::io;
use std::path::{Component, Path, PathBuf};

use atlas_core::{BundleId, JobId};
use atlas_runtime::storage::is_part;

use super::files::{SOURCE, WORK};
use super::{Error, Service};
use crate::archive::{WRITTEN, tree};
use crate::proxy::Host;

/// What of a job is asked for, and where it is.
pub(super) struct Wanted {
    pub job: JobId,
    pub bundle: BundleId,
    /// The folder of the archive.
    pub kept: PathBuf,
    pub path: PathBuf,
    pub host: Option<Host>,
    /// That was removed: it is not shown, whatever is still there.
    pub without_written: bool,
}

impl Service {
    pub(super) async fn wanted(&self, job: &str, path: &str) -> Result<Wanted, Error> {
        let job = self.find(job).await?;
        let host = self.host(job.id, &job.status).await?;
        let path = clean(path)?;
        let wanted = Wanted {
            job: job.id,
            bundle: job.spec.bundle.id,
            kept: self.archive.job(job.id),
            path,
            host,
            without_written: job.status.state.removal().is_some(),
        };
        let known = match wanted.first() {
            None | Some(SOURCE) => true,
            Some(WORK) => wanted.host.is_some(),
            Some(folder) if wanted.without_written && WRITTEN.contains(&folder) => {
                let removal = job.status.state.removal().expect("that is why it is without");
                return Err(Error::removed(job.id, removal));
            }
            Some(_) => {
                let (kept, path) = (wanted.kept.clone(), wanted.path.clone());
                let look = self.storage.looks.run(move || tree::look(&kept, &path));
                let look = look.await.map_err(|it| Error::Unavailable(it.to_string()))?;
                look.map_err(Error::io("look into the archive"))?.is_some()
            }
        };
        if known {
            Ok(wanted)
        } else {
            Err(Error::NoSuchPath { job: wanted.job, path: wanted.path.display().to_string() })
        }
    }
}

impl Wanted {
    pub fn first(&self) -> Option<&str> {
        self.path.components().next().and_then(|it| it.as_os_str().to_str())
    }

    /// The part of the path below `top`, if what is asked for includes it.
    pub fn below(&self, top: &str) -> Option<PathBuf> {
        match self.first() {
            None => Some(PathBuf::new()),
            Some(first) if first == top => {
                Some(self.path.strip_prefix(top).expect("it begins with it").to_owned())
            }
            Some(_) => None,
        }
    }

    /// The part that is in the archive; a job on a node has none of it yet but its checkpoints.
    pub fn below_kept(&self) -> Option<PathBuf> {
        match self.first() {
            Some(SOURCE | WORK) => None,
            _ => Some(self.path.clone()),
        }
    }

    /// What of the archive is shown: one path, or all that is left. Blocks.
    pub fn parts(&self, below: PathBuf) -> io::Result<Vec<PathBuf>> {
        if !self.without_written || !below.as_os_str().is_empty() {
            return Ok(vec![below]);
        }
        let entries = match std::fs::read_dir(&self.kept) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut left = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            if !WRITTEN.iter().any(|it| name == *it) && !is_part(name.as_encoded_bytes()) {
                left.push(name.into());
            }
        }
        left.sort();
        Ok(left)
    }
}

/// A path that a client sent: relative, without `..`.
fn clean(path: &str) -> Result<PathBuf, Error> {
    let mut clean = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            _ => return Err(Error::invalid("path", format!("{path:?} leaves the job's archive"))),
        }
    }
    Ok(clean)
}
