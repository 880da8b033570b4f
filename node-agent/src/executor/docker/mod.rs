//! Jobs in containers, each with a supervisor of its own as its first process.
//!
//! The supervisor is mounted into the container and started there in place of the image's entrypoint, which it starts in turn.
//! Docker keeps no log: the supervisor writes it. Containers are found again by their labels.

mod container;
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
use crate::insist::Insist;
use crate::logs::Prelude;
use crate::options::{JobUser, Settings};
use crate::paths::{AttemptId, Data};
use crate::start::Launch;

pub use container::{API, CHECKPOINTS, CONTROL, HOME, TMP, VENV, WORK};
pub use error::Error;
pub use image::Image;

use container::{Common, Labels};
use image::Images;

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
    /// Waits until the engine answers: jobs may run in it.
    pub async fn connect(
        settings: &Settings,
        data: &Data,
        identity: &Identity,
        memory: u64,
    ) -> Result<Self, Error> {
        let mut insist = Insist::new();
        let engine = loop {
            match engine(settings.docker_host.as_deref()).await {
                Ok(engine) => break engine,
                Err(error @ Error::Host(_)) => return Err(error),
                Err(error) => insist.wait("this node waits for Docker", &error).await,
            }
        };
        Ok(Self {
            images: Images::new(
                engine.clone(),
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

    fn common<'a>(&'a self, image: &'a Image) -> Common<'a> {
        let api = self.data.api();
        let (supervisor, user) = (&self.supervisor, &self.job_user);
        Common { image, supervisor, api, user, memory: self.memory }
    }
}

/// The engine, if it is there.
async fn engine(host: Option<&str>) -> Result<bollard::Docker, Error> {
    let engine = match host {
        Some(host) => bollard::Docker::connect_with_host(host),
        None => bollard::Docker::connect_with_defaults(),
    };
    let engine = engine.map_err(|error| match error {
        bollard::errors::Error::UnsupportedURISchemeError { uri } => Error::Host(uri),
        other => Error::Absent(other),
    })?;
    engine.negotiate_version().await.map_err(Error::Absent)
}

fn build_name(build: &Build<'_>) -> String {
    let name = build.folder.file_name().unwrap_or_default().to_string_lossy();
    format!("atlas-build-{name}")
}

fn name(id: AttemptId) -> String {
    format!("atlas-{id}")
}
