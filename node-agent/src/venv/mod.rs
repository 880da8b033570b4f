//! Virtual environments with jobs' requirements: built once per node for what they are made of, shared by jobs, read-only to
//! them, renewed when one asks for it, removed when they are used least.

mod build;
mod cache;
mod own;
mod source;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::executor::Base;
use crate::keyed::Keyed;
use crate::logs::Prelude;
use crate::node::Node;
use crate::paths::Data;

pub use build::{CONTROL, HOME, SOURCE, TMP};
pub use cache::VENV;
pub use source::Requirements;

/// Bytes of environments that are kept for the next job.
const CACHE: u64 = 20_000_000_000;

/// The environments of this node.
#[derive(Debug)]
pub struct Venvs {
    folder: PathBuf,
    turns: Keyed<String>,
    used: Arc<Mutex<BTreeMap<PathBuf, usize>>>,
}

/// As long as this lives, its environment is not removed.
#[derive(Debug)]
pub struct Venv {
    /// The folder of the environment and of all that belongs to it.
    folder: PathBuf,
    used: Arc<Mutex<BTreeMap<PathBuf, usize>>>,
}

/// What an environment is wanted for.
pub struct Want<'a> {
    pub node: &'a Node,
    pub base: &'a Base,
    pub requirements: &'a Requirements,
    pub fresh: bool,
    pub log: &'a mut Prelude,
    pub cancel: &'a CancellationToken,
}

/// Why there is no environment.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not keep virtual environments in {}", path.display())]
    Disk { path: PathBuf, source: io::Error },
    #[error("installing requirements.txt failed ({0}); the job's log says why")]
    Failed(String),
    #[error("there is no python to install requirements.txt with")]
    NoPython,
    #[error(transparent)]
    Executor(#[from] crate::executor::Error),
    #[error("could not prepare the supervisor")]
    Supervisor(#[from] crate::supervisor::Error),
    #[error("could not write the job's log")]
    Log(#[from] crate::logs::PreludeError),
    #[error("could not unpack the bundle that requirements.txt refers to")]
    Unpack(#[source] crate::unpack::Error),
    #[error("stopped while its requirements were being installed")]
    Cancelled,
}

impl Venvs {
    pub fn new(data: &Data) -> Self {
        Self { folder: data.environments(), turns: Keyed::default(), used: Arc::default() }
    }

    /// Removes what an agent before this one could not finish. Blocks.
    pub fn clean(&self) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        cache::remove_unfinished(&self.folder)
    }

    /// The environment of these requirements, built if there is none yet.
    pub async fn provide(&self, mut want: Want<'_>) -> Result<Venv, Error> {
        let key = key(&want);
        let turn = want.cancel.run_until_cancelled(self.turns.lock(key.clone()));
        let _turn = turn.await.ok_or(Error::Cancelled)?;
        let newest = cache::newest(&self.folder, &key);
        if let (Some((_, folder)), false) = (&newest, want.fresh) {
            // Held first, so that nobody removes it in between.
            let venv = self.hold(folder.clone());
            if cache::touch(folder) {
                want.log.write(b"Requirements are installed already.\n")?;
                return Ok(venv);
            }
        }
        let generation = newest.map_or(0, |(generation, _)| generation) + 1;
        let venv = self.hold(cache::folder(&self.folder, &key, generation));
        build::build(&mut want, venv.folder()).await?;
        self.make_room().await;
        Ok(venv)
    }

    /// An environment that a running job uses.
    pub fn hold(&self, folder: PathBuf) -> Venv {
        *used(&self.used).entry(folder.clone()).or_default() += 1;
        Venv { folder, used: self.used.clone() }
    }

    async fn make_room(&self) {
        let (folder, used) = (self.folder.clone(), self.used.clone());
        let swept = tokio::task::spawn_blocking(move || {
            cache::sweep(&folder, CACHE, |it| self::used(&used).contains_key(it))
        });
        if let Ok(Err(error)) = swept.await {
            tracing::warn!("could not make room among the virtual environments: {error}");
        }
    }
}

impl Venv {
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The environment itself, as the node sees it.
    pub fn path(&self) -> PathBuf {
        self.folder.join(cache::VENV)
    }
}

impl Drop for Venv {
    fn drop(&mut self) {
        let mut used = used(&self.used);
        if let Some(count) = used.get_mut(&self.folder) {
            *count -= 1;
            if *count == 0 {
                used.remove(&self.folder);
            }
        }
    }
}

fn used(used: &Mutex<BTreeMap<PathBuf, usize>>) -> MutexGuard<'_, BTreeMap<PathBuf, usize>> {
    used.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything that decides what is installed, and who may have written to it.
fn key(want: &Want<'_>) -> String {
    let mut hash = Sha256::new();
    for part in [
        want.requirements.digest.as_slice(),
        want.base.key.as_bytes(),
        want.base.python.as_deref().unwrap_or_default().as_bytes(),
        &want.node.settings.job_user.uid.to_le_bytes(),
    ] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_in_use_until_its_last_job_has_ended() {
        let venvs = Venvs::new(&Data::new("/d".into()));
        let [first, second] = [(); 2].map(|()| venvs.hold("/d/venvs/a.1".into()));
        drop(first);
        assert!(used(&venvs.used).contains_key(Path::new("/d/venvs/a.1")));
        drop(second);
        assert!(used(&venvs.used).is_empty());
    }
}
