//! The engine of this machine: who needs it waits until it has answered once. An agent joins without it, for the sake of what runs.

use std::sync::Arc;
use std::time::Duration;

use atlas_core::node::Condition;
use atlas_runtime::Chain;
use bollard::query_parameters::EventsOptions;
use futures::StreamExt;
use tokio::sync::SetOnce;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{Docker, Error, error};
use crate::conditions::Conditions;
use crate::insist::Insist;
use crate::options::Settings;

/// An engine that answers does so in this time.
const ANSWERS: Duration = Duration::from_secs(10);
/// How often one that says nothing is asked.
const EVERY: Duration = Duration::from_secs(30);
/// Before its events are listened to again.
const PAUSE: Duration = Duration::from_secs(1);

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

    /// Until it goes, which ends the stream of its events; or hangs, which ends nothing.
    async fn stays(&self, engine: &bollard::Docker, every: Duration) {
        // None of them matters.
        let mut events = engine.events(None::<EventsOptions>);
        let mut asks = interval_at(Instant::now() + every, every);
        asks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = events.next() => if !matches!(event, Some(Ok(_))) { return },
                _ = asks.tick() => if self.ask().await.is_err() { return },
            }
        }
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
            self.engine.stays(&engine, EVERY).await;
            let mut insist = Insist::new();
            while let Err(error) = self.engine.ask().await {
                away(&mut insist, &error, conditions).await;
            }
            // Something between here and the engine may end every stream at once.
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn away(insist: &mut Insist, error: &Error, conditions: &Conditions) {
    conditions.set(Condition::Docker, Some(Chain(error).to_string()));
    insist.wait("this node waits for Docker", error).await;
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn an_engine_that_hangs_is_noticed_although_its_events_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let host = format!("unix://{}", socket.display());
        // Whoever else connects is not answered.
        let hangs = std::thread::spawn(move || {
            let (mut events, _) = listener.accept().unwrap();
            let _ = events.read(&mut [0; 4096]).unwrap();
            events.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
            (events, listener)
        });
        let engine = Engine::at(Some(&host)).unwrap();
        let stays = engine.stays(&engine.address, Duration::from_millis(100));
        tokio::time::timeout(ANSWERS * 3, stays).await.expect("nobody noticed");
        drop(hangs.join().unwrap());
    }
}
