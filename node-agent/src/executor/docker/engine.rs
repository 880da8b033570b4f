//! The engine of this machine: who needs it waits until it has answered once. An agent joins without it, for the sake of what runs.

use std::sync::Arc;
use std::time::Duration;

use atlas_core::node::Condition;
use atlas_runtime::Chain;
use bollard::query_parameters::EventsOptions;
use futures::StreamExt;
use tokio::sync::SetOnce;

use super::{Docker, Error, error};
use crate::conditions::Conditions;
use crate::insist::Insist;
use crate::options::Settings;

/// An engine that answers does so in this time.
const ANSWERS: Duration = Duration::from_secs(10);

/// A handle on the engine.
#[derive(Clone)]
pub(super) struct Engine {
    address: bollard::Docker,
    answered: Arc<SetOnce<bollard::Docker>>,
}

impl Engine {
    /// Nothing is asked yet.
    pub(super) fn at(host: Option<&str>) -> Result<Self, Error> {
        let address = match host {
            Some(host) => bollard::Docker::connect_with_host(host),
            None => bollard::Docker::connect_with_defaults(),
        };
        let address = address.map_err(|error| match error {
            bollard::errors::Error::UnsupportedURISchemeError { uri } => Error::Host(uri),
            other => Error::Absent(other),
        })?;
        Ok(Self { address, answered: Arc::default() })
    }

    /// The engine, as soon as it has answered.
    pub(super) async fn get(&self) -> &bollard::Docker {
        self.answered.wait().await
    }

    pub(super) fn has_answered(&self) -> bool {
        self.answered.initialized()
    }

    /// Asks whether it is there, and which version of its API it speaks.
    pub(super) async fn ask(&self) -> Result<bollard::Docker, Error> {
        let asked = self.address.clone().negotiate_version();
        let answer = tokio::time::timeout(ANSWERS, asked).await;
        answer.unwrap_or(Err(bollard::errors::Error::RequestTimeoutError)).map_err(Error::Absent)
    }
}

/// What an engine says of itself.
pub struct Survey {
    pub version: String,
    /// The image of jobs that name none is here.
    pub has_image: bool,
}

impl Docker {
    /// Asks the engine once.
    pub async fn survey(settings: &Settings) -> Result<Survey, Error> {
        let engine = Engine::at(settings.docker_host.as_deref())?.ask().await?;
        let version = engine.version().await.map_err(Error::Absent)?.version.unwrap_or_default();
        let image = &settings.worker_image;
        match engine.inspect_image(image).await {
            Ok(_) => Ok(Survey { version, has_image: true }),
            Err(source) if error::status(&source) == Some(404) => {
                Ok(Survey { version, has_image: false })
            }
            Err(source) => Err(Error::of("look at image", image, source)),
        }
    }

    /// Waits for the engine, removes what nobody here knows of, and from then on notices when it goes and comes.
    pub(in crate::executor) async fn attend(&self, conditions: &Conditions) {
        let mut insist = Insist::new();
        let engine = loop {
            let found = match self.engine.ask().await {
                Ok(engine) => self.clean(&engine).await.map(|()| engine),
                Err(error) => Err(error),
            };
            match found {
                Ok(engine) => break engine,
                Err(error) => away(&mut insist, &error, conditions).await,
            }
        };
        // Nobody else sets it.
        let _ = self.engine.answered.set(engine.clone());
        loop {
            conditions.set(Condition::Docker, None);
            // The stream of its events ends with the engine; none of them matters.
            let mut events = engine.events(None::<EventsOptions>);
            while let Some(Ok(_)) = events.next().await {}
            let mut insist = Insist::new();
            while let Err(error) = self.engine.ask().await {
                away(&mut insist, &error, conditions).await;
            }
        }
    }
}

async fn away(insist: &mut Insist, error: &Error, conditions: &Conditions) {
    conditions.set(Condition::Docker, Some(Chain(error).to_string()));
    insist.wait("this node waits for Docker", error).await;
}
