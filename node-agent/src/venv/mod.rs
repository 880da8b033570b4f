//! Virtual environments with jobs' requirements: built once per node for what they are made of, shared by jobs, read-only to
//! them, renewed when one asks for it, removed when they are used least.

mod build;
mod cache;
mod own;
mod source;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::cache::{Cache, Held, Name};
use crate::executor::Base;
use crate::keyed::Keyed;
use crate::logs::Prelude;
use crate::node::Node;
use crate::paths::Data;

pub use build::{CONTROL, HOME, SOURCE, TMP};
pub use cache::{VENV, kept};
pub use source::Requirements;

/// The environments of this node.
#[derive(Debug)]
pub struct Venvs {
    folder: PathBuf,
    turns: Keyed<String>,
    cache: Cache,
}

/// As long as this lives, its environment is not removed.
#[derive(Debug)]
pub struct Venv {
    /// The folder of the environment and of all that belongs to it.
    folder: PathBuf,
    _held: Held,
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
    pub fn new(data: &Data, cache: &Cache) -> Self {
        Self { folder: data.environments(), turns: Keyed::default(), cache: cache.clone() }
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
        self.cache.grew();
        Ok(venv)
    }

    /// An environment that a running job uses.
    pub fn hold(&self, folder: PathBuf) -> Venv {
        let held = self.cache.hold(Name::from(folder.file_name().unwrap_or_default()));
        Venv { folder, _held: held }
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
