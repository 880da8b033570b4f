//! What a job finds on a disk. All of it blocks, and part of it as long as the shared storage does.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use atlas_core::JobSpec;
use atlas_runtime::storage;
use tokio_util::sync::CancellationToken;

use super::bundle::{Cancellable, Located};
use super::error::Error;
use super::volumes::{self, Mount, Rules};
use crate::node::Node;
use crate::paths::JobDir;
use crate::unpack::{self, Owner, Snapshot};
use crate::venv::Requirements;

const PARAMETERS: &str = "foundations_job_parameters.json";
const REQUIREMENTS: &str = "requirements.txt";

/// What was made and found.
#[derive(Debug)]
pub struct Files {
    pub checkpoints: PathBuf,
    /// The checkpoints of the job that this one goes on from.
    pub resume: Option<PathBuf>,
    pub mounts: Vec<Mount>,
    /// Of requirements.txt, where there is one and it counts.
    pub requirements: Option<Requirements>,
}

/// The part that waits for storage.
pub(super) struct Task {
    pub node: Arc<Node>,
    pub dir: JobDir,
    pub spec: Arc<JobSpec>,
    pub bundle: Located,
    pub checkpoints: PathBuf,
    pub resume: Option<PathBuf>,
    pub cancel: CancellationToken,
}

impl Task {
    pub(super) fn run(&self) -> Result<Files, Error> {
        let mounts = self.volumes()?;
        let mut snapshot = self.unpack()?;
        self.parameters(&mut snapshot)?;
        let path = self.dir.snapshot();
        let text = serde_json::to_vec(&snapshot).expect("times are always JSON");
        fs::write(&path, text).map_err(|source| Error::Disk { path, source })?;
        let requirements = self.requirements()?;
        let (checkpoints, resume) = (self.checkpoints.clone(), self.resume.clone());
        Ok(Files { checkpoints, resume, mounts, requirements })
    }

    /// A link of that name counts too, as long as it stays in the tree.
    fn requirements(&self) -> Result<Option<Requirements>, Error> {
        let work = self.dir.work();
        let path = work.join(REQUIREMENTS);
        let Ok(real) = path.canonicalize() else { return Ok(None) };
        let root = work.canonicalize().unwrap_or(work);
        let Ok(inside) = real.strip_prefix(&root) else { return Ok(None) };
        let read = File::open(&root)
            .and_then(|root| storage::open(root.as_fd(), inside))
            .and_then(|file| Requirements::read(file, &self.bundle.path, self.spec.bundle));
        read.map(Some).map_err(|source| Error::Requirements { source })
    }

    fn volumes(&self) -> Result<Vec<Mount>, Error> {
        let settings = &self.node.settings;
        let shared = self.node.storage.mount().map(|it| it.root().to_owned());
        let ours: Vec<PathBuf> =
            [Some(self.node.data.root().to_owned()), shared].into_iter().flatten().collect();
        let rules = Rules { allowed: &settings.volumes, ours: &ours, executor: settings.executor };
        let asked = &self.spec.worker.volumes;
        Ok(volumes::check(&rules, asked, &settings.default_volumes)?)
    }

    fn unpack(&self) -> Result<Snapshot, Error> {
        let file = File::open(&self.bundle.path)
            .map_err(|source| Error::Bundle { path: self.bundle.path.clone(), source })?;
        let reader = Cancellable { inner: file, cancel: self.cancel.clone() };
        let user = &self.node.settings.job_user;
        let owner = (!user.is_this_process()).then_some(Owner { uid: user.uid, gid: user.gid });
        unpack::unpack(reader, &self.spec.bundle, &self.dir.work(), owner).map_err(|error| {
            if self.cancel.is_cancelled() {
                return Error::Cancelled;
            }
            if let unpack::Error::Damaged { .. } = &error {
                self.node.bundles.distrust(self.spec.bundle.id);
            }
            Error::Unpack(error)
        })
    }

    /// Whatever the bundle has under that name is replaced, and no link is followed.
    fn parameters(&self, snapshot: &mut Snapshot) -> Result<(), Error> {
        let Some(text) = &self.spec.params else { return Ok(()) };
        let path = self.dir.work().join(PARAMETERS);
        let write = || {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = File::options().write(true).create_new(true).mode(0o644).open(&path)?;
            file.write_all(text.as_bytes())?;
            let user = &self.node.settings.job_user;
            if !user.is_this_process() {
                // The open file, whatever the job's user has put in its place since.
                fchown(&file, Some(user.uid), Some(user.gid))?;
            }
            drop(file);
            snapshot.adopt(&self.dir.work(), Path::new(PARAMETERS))
        };
        let mut write = write;
        write().map_err(|source| Error::Disk { path: path.clone(), source })
    }
}
