//! What people write of projects: read, changed and kept, one change after the other.

use std::sync::Arc;

use atlas_core::project::{About, Change, Refused};
use atlas_core::{ProjectName, Record};
use atlas_runtime::tasks::Tasks;
use tokio::sync::{Mutex, oneshot};

use crate::reactor::{self, Handle};
use crate::store::{self, Store};

/// A cheap handle.
#[derive(Clone)]
pub struct Projects(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    reactor: Handle,
    tasks: Tasks,
    /// Whoever holds it changes something: what the store says holds until then.
    turn: Mutex<()>,
}

/// Why something was not changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not read what was written of the project")]
    Store(#[from] store::Error),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Reactor(#[from] reactor::Error),
}

impl Projects {
    pub fn new(store: Arc<dyn Store>, reactor: Handle, tasks: Tasks) -> Self {
        Self(Arc::new(Inner { store, reactor, tasks, turn: Mutex::default() }))
    }

    /// What is written of it; nothing, if nobody wrote anything.
    pub async fn about(&self, name: &ProjectName) -> Result<Arc<About>, store::Error> {
        Ok(self.0.store.project(name).await?.unwrap_or_default())
    }

    /// Returns once it is kept.
    pub async fn change(&self, name: &ProjectName, change: Change) -> Result<Arc<About>, Error> {
        self.0.reactor.takes_changes()?;
        let (inner, name) = (self.0.clone(), name.clone());
        let (to, answer) = oneshot::channel();
        // Goes on when nobody waits any more: the next change begins where this one ends.
        self.0.tasks.spawn("write-of-project", async move {
            let _ = to.send(inner.change(name, change).await);
        });
        self.0.reactor.unless_it_refuses(answer).await?.map_err(|_| reactor::Error::Stopping)?
    }
}

impl Inner {
    async fn change(&self, name: ProjectName, change: Change) -> Result<Arc<About>, Error> {
        let _turn = self.turn.lock().await;
        let about = self.store.project(&name).await?.unwrap_or_default();
        let mut about = Arc::unwrap_or_clone(about);
        about.change(reactor::now().wall, change)?;
        let about = Arc::new(about);
        self.reactor.keep(vec![Record::ProjectChanged { name, about: about.clone() }]).await?;
        Ok(about)
    }
}
