//! Jobs in containers, each with a supervisor of its own as its first process.
//!
//! The supervisor is mounted into the container and started there in place of the image's entrypoint, which it starts in turn.
//! Docker keeps no log: the supervisor writes it. Containers are found again by their labels.

mod container;
mod error;
mod image;
mod login;
mod pull;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use atlas_core::JobSpec;
use bollard::models::{ContainerCreateBody, ContainerStateStatusEnum, ContainerSummaryStateEnum};
use bollard::query_parameters::{
    CreateContainerOptions, ListContainersOptions, RemoveContainerOptions, WaitContainerOptions,
};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::{Base, Build, Error as ExecutorError, Fate, Supervised};
use crate::identity::Identity;
use crate::logs::Prelude;
use crate::options::{JobUser, Settings};
use crate::paths::{AttemptId, Data, JobDir};
use crate::slot::{Event, Slot};
use crate::start::Launch;
use crate::supervisor::{End, ExitFile};

pub use container::{CHECKPOINTS, CONTROL, HOME, TMP, VENV, WORK};
pub use error::Error;
pub use image::Image;

use container::{Common, Labels};
use image::Images;

/// A supervisor that is not up by then, though its container started, never will be.
const COMES_UP: Duration = Duration::from_secs(30);
/// So often it is looked at meanwhile whether the container is still there.
const LOOKS: u32 = 10;
/// One that runs already answers at once.
const ANSWERS: Duration = Duration::from_secs(5);
/// How long a container may take to be gone after its supervisor said that the job has ended.
const GOES: Duration = Duration::from_secs(20);

/// The engine of this machine.
pub struct Docker {
    engine: bollard::Docker,
    images: Images,
    supervisor: PathBuf,
    job_user: JobUser,
    data: Data,
    /// The node's identity: engines may serve several nodes.
    node: String,
    /// The engine cannot lift limits.
    own_limits: AtomicBool,
    /// Half of it is what a job without a memory limit may use of `/dev/shm`.
    memory: u64,
}

impl Docker {
    /// Asks the engine whether it is there.
    pub async fn connect(
        settings: &Settings,
        data: &Data,
        identity: &Identity,
        memory: u64,
    ) -> Result<Self, Error> {
        let engine = bollard::Docker::connect_with_defaults().map_err(Error::Absent)?;
        let engine = engine.negotiate_version().await.map_err(Error::Absent)?;
        Ok(Self {
            images: Images::new(engine.clone(), settings.worker_image.clone()),
            engine,
            supervisor: settings.supervisor.clone(),
            job_user: settings.job_user.clone(),
            data: data.clone(),
            node: identity.node.clone(),
            own_limits: AtomicBool::new(false),
            memory,
        })
    }

    /// Has the image here, pulled if need be, and says what is in it.
    pub(super) async fn base(
        &self,
        spec: &JobSpec,
        log: &mut Prelude,
        cancel: &CancellationToken,
    ) -> Result<Base, Error> {
        let image = self.images.ensure(spec, log, cancel).await?;
        Ok(Base {
            env: image.env.clone(),
            entrypoint: image.entrypoint.clone(),
            python: spec.worker.python.clone().or_else(|| image.python.clone()),
            key: image.id.clone(),
            image: Some(image),
        })
    }

    pub(super) async fn launch(&self, launch: Launch<'_>) -> Result<Supervised, ExecutorError> {
        let image = launch.base.image.as_ref().ok_or(Error::NoImage)?;
        let labels = Labels {
            node: &self.node,
            cluster: crate::identity::cluster(&self.data).ok().flatten(),
            epoch: launch.kept.epoch,
        };
        let body = self.common(image).job(&launch, &labels);
        Box::pin(self.start(&name(launch.id), body, &launch.dir.control())).await
    }

    pub(super) async fn build(&self, build: &Build<'_>) -> Result<Supervised, ExecutorError> {
        let image = build.base.image.as_ref().ok_or(Error::NoImage)?;
        let body = self.common(image).build(build.folder, &self.node);
        let control = build.folder.join(crate::venv::CONTROL);
        Box::pin(self.start(&build_name(build), body, &control)).await
    }

    pub(super) async fn end_build(&self, build: &Build<'_>) {
        self.remove_or_warn(&build_name(build)).await;
    }

    fn common<'a>(&'a self, image: &'a Image) -> Common<'a> {
        Common { image, supervisor: &self.supervisor, user: &self.job_user, memory: self.memory }
    }

    /// Makes and starts a container, and waits for the supervisor in it.
    async fn start(
        &self,
        name: &str,
        body: ContainerCreateBody,
        control: &Path,
    ) -> Result<Supervised, ExecutorError> {
        let started = async { Ok(self.create_and_start(name, body).await?) };
        let (slot, ()) = tokio::try_join!(self.attach(name, control), started)?;
        let over = || ExitFile::read(control).ok().flatten().map(Event::Exited);
        let first = if slot.is_none() { over() } else { None };
        Ok(Supervised { slot, first, seat: None })
    }

    /// Waits for the supervisor of a container, as long as there is hope. `None` = it was quicker than we are.
    async fn attach(&self, name: &str, control: &Path) -> Result<Option<Slot>, ExecutorError> {
        let mut left = LOOKS;
        loop {
            let error = match Slot::attach(control, COMES_UP / LOOKS).await {
                Ok(slot) => return Ok(Some(slot)),
                Err(error) => error,
            };
            if control.join("exit").exists() {
                return Ok(None);
            }
            left -= 1;
            let state =
                self.engine.inspect_container(name, None).await.ok().and_then(|it| it.state);
            match state {
                Some(state) if state.status == Some(ContainerStateStatusEnum::EXITED) => {
                    let why = state.error.filter(|it| !it.is_empty());
                    let code = state.exit_code.unwrap_or_default();
                    let why = why.unwrap_or_else(|| format!("exit code {code}"));
                    return Err(Error::Stillborn { name: name.to_owned(), why }.into());
                }
                _ if left == 0 => return Err(error.into()),
                _ => {}
            }
        }
    }

    /// An engine that was not given the right to lift limits says so only at the start; then its own limits have to do.
    async fn create_and_start(
        &self,
        name: &str,
        mut body: ContainerCreateBody,
    ) -> Result<(), Error> {
        if self.own_limits.load(Ordering::Relaxed) {
            container::without_limits(&mut body);
        }
        self.create(name, body.clone()).await?;
        match self.engine.start_container(name, None).await {
            Err(source) if error::is_about_limits(&source) && container::without_limits(&mut body) => {
                if !self.own_limits.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "the Docker engine cannot lift limits (memlock, stack, open files): jobs get its own. {source}"
                    );
                }
                self.remove(name).await?;
                self.create(name, body).await?;
                self.engine.start_container(name, None).await
            }
            done => done,
        }
        .map_err(|source| Error::of("start", name, source))
    }

    /// A container of that name can only be one that an agent before this one could not finish.
    async fn create(&self, name: &str, body: ContainerCreateBody) -> Result<(), Error> {
        let options =
            || Some(CreateContainerOptions { name: Some(name.to_owned()), ..Default::default() });
        match self.engine.create_container(options(), body.clone()).await {
            Err(source) if error::status(&source) == Some(409) => {
                self.remove(name).await?;
                let created = self.engine.create_container(options(), body).await;
                created.map(|_| ()).map_err(|source| Error::of(error::CREATE, name, source))
            }
            done => done.map(|_| ()).map_err(|source| Error::of(error::CREATE, name, source)),
        }
    }

    pub(super) async fn adopt(
        &self,
        dirs: &[(AttemptId, JobDir)],
    ) -> BTreeMap<AttemptId, Supervised> {
        let mut adopted = BTreeMap::new();
        let containers = match self.list().await {
            Ok(containers) => containers,
            Err(error) => {
                tracing::error!("{}", atlas_runtime::Chain(&error));
                return adopted;
            }
        };
        for Found { name, id, running } in containers {
            let dir = id.and_then(|id| dirs.iter().find(|(it, _)| *it == id));
            let Some((id, dir)) = dir else {
                // A build that nobody waits for any more, or a job whose folder was removed on its master's word.
                self.remove_or_warn(&name).await;
                continue;
            };
            if let (true, Ok(slot)) = (running, Slot::attach(&dir.control(), ANSWERS).await) {
                adopted.insert(*id, Supervised { slot: Some(slot), first: None, seat: None });
            }
        }
        adopted
    }

    /// The containers of this node.
    async fn list(&self) -> Result<Vec<Found>, Error> {
        let label = format!("{}={}", container::NODE, self.node);
        let filters = HashMap::from([("label".to_owned(), vec![label])]);
        let options =
            ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let listed = self.engine.list_containers(Some(options)).await;
        let listed = listed.map_err(|source| Error::of("list", "the node's containers", source))?;
        let attempt = |labels: HashMap<String, String>| {
            let id = format!("{}.{}", labels.get(container::JOB)?, labels.get(container::ATTEMPT)?);
            id.parse::<AttemptId>().ok()
        };
        let each = listed.into_iter().filter_map(|it| {
            let running = it.state == Some(ContainerSummaryStateEnum::RUNNING);
            Some(Found { name: it.id?, id: it.labels.and_then(attempt), running })
        });
        Ok(each.collect())
    }

    /// Whether the kernel ended processes of a job for want of memory. The engine says so once the container is gone.
    pub(super) async fn ran_out_of_memory(&self, id: AttemptId, exit: &ExitFile) -> bool {
        if let End::Code { code: 0 } | End::LeaseEnded = exit.end {
            return false;
        }
        self.gone(id).await;
        let inspected = self.engine.inspect_container(&name(id), None).await;
        inspected.ok().and_then(|it| it.state?.oom_killed).unwrap_or(false)
    }

    /// A supervisor that was there is not any more: its container must not go on without it.
    pub(super) async fn abandoned(&self, id: AttemptId) -> Fate {
        let name = name(id);
        // It fails where the container is gone already.
        let _ = self.engine.kill_container(&name, None).await;
        self.gone(id).await;
        let state = match self.engine.inspect_container(&name, None).await {
            Ok(inspected) => inspected.state,
            Err(source) => {
                let error = Error::of("look at", &name, source);
                let message = atlas_runtime::Chain(&error).to_string();
                return Fate { message, out_of_memory: false };
            }
        };
        let state = state.unwrap_or_default();
        let out_of_memory = state.oom_killed.unwrap_or(false);
        let why = state.error.filter(|it| !it.is_empty());
        let code = state.exit_code.unwrap_or_default();
        let message = match (out_of_memory, why) {
            (true, _) => "its container ran out of memory and took the supervisor along".into(),
            (false, Some(why)) => format!("its container ended: {why}"),
            (false, None) => {
                format!("its container ended with code {code}, its supervisor with it")
            }
        };
        Fate { message, out_of_memory }
    }

    /// Waits until a container does not run any more.
    async fn gone(&self, id: AttemptId) {
        let options = WaitContainerOptions { condition: "not-running".into() };
        let name = name(id);
        let mut ended = std::pin::pin!(self.engine.wait_container(&name, Some(options)));
        // An error means that there is no such container, and then it is gone.
        let _ = tokio::time::timeout(GOES, ended.next()).await;
    }

    /// Removes the attempt's container, whatever it does.
    pub(super) async fn forget(&self, id: AttemptId) {
        self.remove_or_warn(&name(id)).await;
    }

    async fn remove_or_warn(&self, name: &str) {
        if let Err(error) = self.remove(name).await {
            tracing::warn!("{}", atlas_runtime::Chain(&error));
        }
    }

    async fn remove(&self, name: &str) -> Result<(), Error> {
        // With the volumes that the image declared: nobody else knows them.
        let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
        match self.engine.remove_container(name, Some(options)).await {
            Ok(()) => Ok(()),
            Err(source) if error::status(&source) == Some(404) => Ok(()),
            // It is being removed at this moment.
            Err(source) if error::status(&source) == Some(409) => Ok(()),
            Err(source) => Err(Error::of("remove", name, source)),
        }
    }
}

/// A container that is there already.
struct Found {
    name: String,
    /// `None` = it builds an environment.
    id: Option<AttemptId>,
    running: bool,
}

fn build_name(build: &Build<'_>) -> String {
    let name = build.folder.file_name().unwrap_or_default().to_string_lossy();
    format!("atlas-build-{name}")
}

fn name(id: AttemptId) -> String {
    format!("atlas-{id}")
}
