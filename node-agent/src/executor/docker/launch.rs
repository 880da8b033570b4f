//! Bringing up a container, and taking away one that did not come up: a start that failed leaves nothing that could run.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptions, RemoveContainerOptions, WaitContainerOptions,
};
use futures::StreamExt;

use super::found::state;
use super::{Docker, Error, container, error};
use crate::executor::{Error as ExecutorError, Supervised};
use crate::insist::Insist;
use crate::slot::{Event, Slot};
use crate::supervisor::ExitFile;

/// A supervisor that is not up by then, though its container was started, never will be.
const COMES_UP: Duration = Duration::from_secs(30);
/// So often it is looked at meanwhile whether the container is still there.
const LOOKS: u32 = 10;
/// How long the engine may take to remove a container.
const REMOVED: Duration = Duration::from_secs(20);

impl Docker {
    /// Makes and starts a container, and waits for the supervisor in it. When that fails, this returns once the engine has said
    /// that the container is gone. Not to be dropped, unless the agent ends: the next one finds what is there.
    pub(super) async fn start(
        &self,
        name: &str,
        body: ContainerCreateBody,
        control: &Path,
    ) -> Result<Supervised, ExecutorError> {
        let error = match Box::pin(self.try_start(name, body, control)).await {
            Ok(supervised) => return Ok(supervised),
            Err(error) => error,
        };
        let mut insist = Insist::new();
        while let Err(source) = self.remove(name).await {
            insist.wait("a container that did not come up must go", &source).await;
        }
        Err(error)
    }

    async fn try_start(
        &self,
        name: &str,
        mut body: ContainerCreateBody,
        control: &Path,
    ) -> Result<Supervised, ExecutorError> {
        if self.own_limits.load(Ordering::Relaxed) {
            container::without_limits(&mut body);
        }
        self.create(name, &body).await?;
        // The supervisor may be up before the engine says so. Until it says so, nothing is late.
        let mut early = std::pin::pin!(Slot::attach(control, Duration::MAX));
        let mut starting = std::pin::pin!(self.start_created(name, body));
        let (started, early) = tokio::select! {
            started = &mut starting => (started, None),
            slot = &mut early => (starting.await, slot.ok()),
        };
        match started {
            Ok(()) => {}
            // It was asked for, and may well have happened.
            Err(error @ Error::Engine { .. }) => {
                tracing::warn!("{}; waiting for its supervisor", atlas_runtime::Chain(&error));
            }
            Err(error) => return Err(error.into()),
        }
        let slot = match early {
            Some(slot) => Some(slot),
            None => self.attach(name, control).await?,
        };
        let over = || ExitFile::read(control).ok().flatten().map(Event::Exited);
        let first = if slot.is_none() { over() } else { None };
        Ok(Supervised { slot, first, seat: None })
    }

    /// Waits for the supervisor of a container that was started, as long as there is hope. `None` = it was quicker than we are.
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
            match self.state(name).await {
                Ok(Some(state)) if state.running != Some(true) => {
                    let code = state.exit_code.unwrap_or_default();
                    let why = state.error.filter(|it| !it.is_empty());
                    let why = why.unwrap_or_else(|| format!("exit code {code}"));
                    let out_of_memory = state.oom_killed.unwrap_or(false);
                    let name = name.to_owned();
                    return Err(Error::Stillborn { name, why, out_of_memory }.into());
                }
                _ if left == 0 => return Err(error.into()),
                _ => {}
            }
        }
    }

    /// An engine that was not given the right to lift limits says so only at the start; then its own limits have to do.
    async fn start_created(&self, name: &str, mut body: ContainerCreateBody) -> Result<(), Error> {
        match self.engine.get().await.start_container(name, None).await {
            Err(source) if error::is_about_limits(&source) && container::without_limits(&mut body) => {
                if !self.own_limits.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "the Docker engine cannot lift limits (memlock, stack, open files): jobs get its own. {source}"
                    );
                }
                self.remove(name).await?;
                self.create(name, &body).await?;
                self.engine.get().await.start_container(name, None).await
            }
            done => done,
        }
        .map_err(|source| Error::of(error::START, name, source))
    }

    /// A container of that name can only be one that an agent before this one could not finish.
    async fn create(&self, name: &str, body: &ContainerCreateBody) -> Result<(), Error> {
        let options =
            || Some(CreateContainerOptions { name: Some(name.to_owned()), ..Default::default() });
        match self.engine.get().await.create_container(options(), body.clone()).await {
            Err(source) if error::status(&source) == Some(409) => {
                self.remove(name).await?;
                let created =
                    self.engine.get().await.create_container(options(), body.clone()).await;
                created.map(|_| ()).map_err(|source| Error::of(error::CREATE, name, source))
            }
            done => done.map(|_| ()).map_err(|source| Error::of(error::CREATE, name, source)),
        }
    }

    pub(super) async fn remove_or_warn(&self, name: &str) {
        if let Err(error) = self.remove(name).await {
            tracing::warn!("{}", atlas_runtime::Chain(&error));
        }
    }

    /// Ends and removes a container, whatever it does. There is none when this returns without an error.
    pub(super) async fn remove(&self, name: &str) -> Result<(), Error> {
        self.remove_from(self.engine.get().await, name).await
    }

    pub(super) async fn remove_from(
        &self,
        engine: &bollard::Docker,
        name: &str,
    ) -> Result<(), Error> {
        // With the volumes that the image declared: nobody else knows them.
        let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
        match engine.remove_container(name, Some(options)).await {
            Ok(()) => Ok(()),
            Err(source) if error::status(&source) == Some(404) => Ok(()),
            // It is being removed at this moment.
            Err(source) if error::status(&source) == Some(409) => {
                let options = WaitContainerOptions { condition: "removed".into() };
                let mut removed = std::pin::pin!(engine.wait_container(name, Some(options)));
                let _ = tokio::time::timeout(REMOVED, removed.next()).await;
                match state(engine, name).await? {
                    None => Ok(()),
                    Some(_) => Err(Error::of("remove", name, source)),
                }
            }
            Err(source) => Err(Error::of("remove", name, source)),
        }
    }
}
