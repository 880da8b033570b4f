//! Jobs in containers, each with a supervisor of its own as its first process.
//!
//! The supervisor is mounted into the container and started there in place of the image's entrypoint, which it starts in turn.
//! Docker keeps no log: the supervisor writes it. Containers are found again by their labels.

mod container;
mod engine;
mod error;
mod found;
mod image;
mod launch;
mod login;
mod pull;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use atlas_core::JobSpec;
use tokio_util::sync::CancellationToken;

use super::{Base, Build, Error as ExecutorError, Supervised};
use crate::identity::Identity;
use crate::logs::Prelude;
use crate::options::{JobUser, Settings};
use crate::paths::{AttemptId, Data};
use crate::start::Launch;

pub use container::{API, BIN, CHECKPOINTS, CONTROL, HOME, RESUME, SDK, TMP, VENV, WORK};
pub use error::Error;
pub use image::Image;

use container::{Common, Labels};
use engine::Engine;
use image::Images;
use login::Logins;

/// The engine of this machine.
pub struct Docker {
    engine: Engine,
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
    /// The engine need not be there yet.
    pub fn new(
        settings: &Settings,
        data: &Data,
        identity: &Identity,
        memory: u64,
    ) -> Result<Self, Error> {
        let engine = Engine::at(settings.docker_host.as_deref())?;
        Ok(Self {
            images: Images::new(
                engine.clone(),
                Logins::new(settings.registry_config.clone()),
                settings.worker_image.clone(),
                identity.node.clone(),
            ),
            engine,
            supervisor: settings.supervisor.clone(),
            job_user: settings.job_user.clone(),
            data: data.clone(),
            node: identity.node.clone(),
            own_limits: AtomicBool::new(false),
            memory,
        })
    }

    pub(super) fn answers(&self) -> bool {
        self.engine.has_answered()
    }

    /// Has the image here, pulled if need be, and says what is in it.
    pub(super) async fn base(
        &self,
        spec: &JobSpec,
        log: &mut Prelude,
        cancel: &CancellationToken,
    ) -> Result<Base, Error> {
        // An engine that is away is waited for, unless the job is stopped meanwhile.
        cancel.run_until_cancelled(self.engine.get()).await.ok_or(Error::Cancelled)?;
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
        self.start(&name(launch.id), body, &launch.dir.control()).await
    }

    pub(super) async fn build(&self, build: &Build<'_>) -> Result<Supervised, ExecutorError> {
        let image = build.base.image.as_ref().ok_or(Error::NoImage)?;
        let body = self.common(image).build(build.folder, &self.node);
        let control = build.folder.join(crate::venv::CONTROL);
        self.start(&build_name(build), body, &control).await
    }

    pub(super) async fn end_build(&self, build: &Build<'_>) {
        self.remove_or_warn(&build_name(build)).await;
    }

    /// The `atlas` that jobs are lent.
    pub(super) fn command(&self) -> Option<PathBuf> {
        super::command_beside(&self.supervisor)
    }

    fn common<'a>(&'a self, image: &'a Image) -> Common<'a> {
        Common {
            image,
            supervisor: &self.supervisor,
            api: self.data.api(),
            sdk: self.data.sdk(),
            command: self.command(),
            user: &self.job_user,
            memory: self.memory,
        }
    }
}

fn build_name(build: &Build<'_>) -> String {
    let name = build.folder.file_name().unwrap_or_default().to_string_lossy();
    format!("atlas-build-{name}")
}

fn name(id: AttemptId) -> String {
    format!("atlas-{id}")
}
