//! How jobs run here: under a slot's supervisor on the machine itself, or under a supervisor in a container. From the moment
//! a supervisor has a job, both are the same.

mod docker;
mod process;
mod seats;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use atlas_core::node::ExecutorKind;
use atlas_core::{Cause, JobSpec};
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::conditions::Conditions;
use crate::logs::Prelude;
use crate::paths::{AttemptId, Data, JobDir};
use crate::slot::{self, Event, Slot};
use crate::start::{Files, Launch, Places};
use crate::supervisor::ExitFile;
use crate::venv::{self, Venv};

pub use docker::{Docker, Error as DockerError, Image};
pub use process::Process;
use seats::Seat;

/// The executor of this node.
pub enum Executor {
    Process(Process),
    Docker(Box<Docker>),
}

/// What a job's environment is built on.
#[derive(Clone, Debug, Default)]
pub struct Base {
    pub env: BTreeMap<String, String>,
    /// The image's own.
    pub entrypoint: Vec<String>,
    /// The interpreter for commands that want one.
    pub python: Option<String>,
    /// Installed packages fit only where this is the same: the image's digest, or the interpreter.
    pub key: String,
    image: Option<Arc<Image>>,
}

impl Base {
    /// Of the image, where there is one.
    pub fn digest(&self) -> Option<&str> {
        self.image.as_deref().map(|it| it.digest.as_str())
    }
}

/// A job that a supervisor has, and the connection to it.
pub struct Supervised {
    /// `None` = it was over before there was one.
    slot: Option<Slot>,
    /// The answer to the job, where it was an event already.
    first: Option<Event>,
    /// The slot, where it is one of this machine's.
    seat: Option<Seat>,
}

/// The building of a virtual environment.
pub struct Build<'a> {
    /// Of the environment and all that belongs to it.
    pub folder: &'a Path,
    pub base: &'a Base,
}

/// Paths as a build sees them.
pub struct BuildPlaces {
    pub venv: String,
    pub home: String,
    pub tmp: String,
    pub source: String,
}

/// What has become of a job whose supervisor was not heard.
pub enum Standing {
    Runs(Box<Supervised>),
    /// No process of it is left. If it finished its work, its exit file is there.
    Gone(Fate),
}

/// What can be said of a job that is gone with its supervisor.
pub struct Fate {
    pub message: String,
    pub out_of_memory: bool,
}

/// Why a job could not be started or found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Supervisor(#[from] slot::Error),
    #[error("the supervisor refused the job: {0}")]
    Refused(String),
    #[error("the supervisor ended before its work was done")]
    Gone,
    #[error("could not look for what is left of a job in /proc")]
    Look(#[source] std::io::Error),
    #[error("{0} processes of the job are about to end")]
    Ending(usize),
    #[error("could not write the job's log")]
    Log(#[from] crate::logs::PreludeError),
    #[error(transparent)]
    Docker(#[from] DockerError),
}

/// What a failed start means for a job: it is tried on another node. A strike is this node's fault whatever the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub cause: Cause,
    pub strike: bool,
}

impl Error {
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Supervisor(_)
            | Self::Refused(_)
            | Self::Gone
            | Self::Look(_)
            | Self::Ending(_)
            | Self::Log(_) => Verdict { cause: Cause::Internal, strike: true },
            Self::Docker(error) => error.verdict(),
        }
    }
}

/// The `atlas` that was installed with the agent: jobs log by it (`atlas log`).
fn command_beside(supervisor: &Path) -> Option<PathBuf> {
    Some(supervisor.with_file_name("atlas")).filter(|it| it.is_file())
}

impl Executor {
    pub fn kind(&self) -> ExecutorKind {
        match self {
            Self::Process(_) => ExecutorKind::Process,
            Self::Docker(_) => ExecutorKind::Docker,
        }
    }

    /// Looks after what jobs need here, as long as the agent runs.
    pub async fn attend(&self, conditions: &Conditions) {
        match self {
            Self::Process(_) => {}
            Self::Docker(docker) => docker.attend(conditions).await,
        }
    }

    /// Whether there is anybody to ask about jobs. Until then whoever asks waits.
    pub fn answers(&self) -> bool {
        match self {
            Self::Process(_) => true,
            Self::Docker(docker) => docker.answers(),
        }
    }

    /// What the job's environment is built on. Takes as long as pulling an image does.
    pub async fn base(
        &self,
        spec: &JobSpec,
        log: &mut Prelude,
        cancel: &CancellationToken,
    ) -> Result<Base, Error> {
        match self {
            Self::Process(process) => process.base(spec, log),
            Self::Docker(docker) => Ok(docker.base(spec, log, cancel).await?),
        }
    }

    /// Paths as the job sees them.
    pub fn places(&self, data: &Data, dir: &JobDir, files: &Files, venv: Option<&Venv>) -> Places {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        match self {
            Self::Process(process) => Places {
                work: dir.work(),
                home: text(dir.home()),
                tmp: text(dir.tmp()),
                spool: text(dir.spool().join("events")),
                checkpoints: text(files.checkpoints.clone()),
                resume: files.resume.clone().map(text),
                venv: venv.map(|it| text(it.path())),
                sdk: text(data.sdk()),
                bin: process.command().and_then(|it| Some(text(it.parent()?.into()))),
            },
            Self::Docker(docker) => Places {
                work: docker::WORK.into(),
                home: docker::HOME.into(),
                tmp: docker::TMP.into(),
                spool: format!("{}/spool/events", docker::CONTROL),
                checkpoints: docker::CHECKPOINTS.into(),
                resume: files.resume.as_ref().map(|_| docker::RESUME.into()),
                venv: venv.map(|_| docker::VENV.into()),
                sdk: docker::SDK.into(),
                bin: docker.command().map(|_| docker::BIN.into()),
            },
        }
    }

    /// The agent's socket for jobs, as a supervisor sees it.
    pub fn api(&self, data: &Data) -> PathBuf {
        match self {
            Self::Process(_) => data.api().join(api::SOCKET),
            Self::Docker(_) => Path::new(docker::API).join(api::SOCKET),
        }
    }

    /// Hands a job whose `run.json` is written to a supervisor.
    pub async fn launch(&self, launch: Launch<'_>) -> Result<Supervised, Error> {
        match self {
            Self::Process(process) => process.launch(&launch.dir.control()).await,
            Self::Docker(docker) => docker.launch(launch).await,
        }
    }

    /// Paths as a build of a virtual environment sees them.
    pub fn build_places(&self, build: &Build<'_>) -> BuildPlaces {
        let text = |name: &str| build.folder.join(name).to_string_lossy().into_owned();
        match self {
            Self::Process(_) => BuildPlaces {
                venv: text(venv::VENV),
                home: text(venv::HOME),
                tmp: text(venv::TMP),
                source: text(venv::SOURCE),
            },
            Self::Docker(_) => BuildPlaces {
                venv: docker::VENV.into(),
                home: docker::HOME.into(),
                tmp: docker::TMP.into(),
                source: docker::WORK.into(),
            },
        }
    }

    /// Hands the building of a virtual environment to a supervisor.
    pub async fn build(&self, build: &Build<'_>) -> Result<Supervised, Error> {
        match self {
            Self::Process(process) => process.launch(&build.folder.join(venv::CONTROL)).await,
            Self::Docker(docker) => docker.build(build).await,
        }
    }

    /// The building is over.
    pub async fn end_build(&self, supervised: Supervised, build: &Build<'_>) {
        match self {
            Self::Process(process) => process.give_back(supervised),
            Self::Docker(docker) => docker.end_build(build).await,
        }
    }

    /// Finds the jobs that supervisors run already.
    pub async fn adopt(&self, dirs: &[(AttemptId, JobDir)]) -> BTreeMap<AttemptId, Supervised> {
        match self {
            Self::Process(process) => process.adopt(dirs).await,
            Self::Docker(docker) => docker.adopt(dirs).await,
        }
    }

    /// A job has ended. Returns whether it had run out of memory.
    pub async fn ended(&self, id: AttemptId, supervised: Supervised, exit: &ExitFile) -> bool {
        match self {
            Self::Process(process) => {
                process.give_back(supervised);
                false
            }
            Self::Docker(docker) => docker.ran_out_of_memory(id, exit).await,
        }
    }

    /// Whether a job that ended while no agent watched had run out of memory.
    pub async fn ran_out_of_memory(&self, id: AttemptId, exit: &ExitFile) -> bool {
        match self {
            Self::Process(_) => false,
            Self::Docker(docker) => docker.ran_out_of_memory(id, exit).await,
        }
    }

    /// Its supervisor is not heard any more.
    pub async fn lost(&self, supervised: Supervised) {
        match self {
            Self::Process(process) => process.lost(supervised).await,
            Self::Docker(_) => {}
        }
    }

    /// What has become of a job whose supervisor is not heard. An error = that cannot be known now: ask again. Not to be dropped.
    pub async fn look(&self, id: AttemptId, dir: &JobDir) -> Result<Standing, Error> {
        match self {
            Self::Process(process) => process.look(id, dir).await,
            Self::Docker(docker) => docker.look(id, dir).await,
        }
    }

    /// Ends what is left of a job, without its supervisor. An error = something may be left: ask again.
    pub async fn end(&self, id: AttemptId, dir: &JobDir) -> Result<Fate, Error> {
        match self {
            Self::Process(_) => process::end(id, dir).await,
            Self::Docker(docker) => Ok(docker.end(id).await?),
        }
    }

    /// Nothing of the attempt is needed any more.
    pub async fn forget(&self, id: AttemptId) {
        match self {
            Self::Process(_) => {}
            Self::Docker(docker) => docker.forget(id).await,
        }
    }
}

impl Supervised {
    /// What happens next to the job. After [`Event::Lost`] nothing else comes.
    pub async fn next(&mut self) -> Event {
        match (self.first.take(), &mut self.slot) {
            (Some(event), _) => event,
            (None, Some(slot)) => slot.next().await,
            (None, None) => Event::Lost,
        }
    }

    /// SIGTERM now, SIGKILL after the grace. A supervisor that does not hear it is gone, which is told as its next event.
    pub async fn stop(&mut self, grace: Duration) {
        if let Some(slot) = &mut self.slot {
            let _ = slot.stop(grace).await;
        }
    }

    /// SIGKILL now.
    pub async fn kill(&mut self) {
        if let Some(slot) = &mut self.slot {
            let _ = slot.kill().await;
        }
    }
}
