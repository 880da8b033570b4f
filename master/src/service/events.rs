//! Everything that changes, as it changes.

use std::collections::HashSet;
use std::sync::Arc;

use atlas_core::cluster::NodeView;
use atlas_core::{JobId, NodeName, ProjectName};
use tokio::sync::mpsc;

use super::{Error, Service};
use crate::reactor::{Change, Place};
use crate::store::StoredJob;

/// Events on their way to one listener.
const IN_FLIGHT: usize = 64;
/// Changes that are looked at together: of those of one thing, the last is told.
const TOGETHER: usize = 256;

/// What a listener hears.
pub enum Event {
    /// Read everything anew: what changed before this is not told.
    Reset,
    Job(Box<StoredJob>),
    JobDeleted(JobId),
    /// This job told something of itself.
    Run(Box<StoredJob>),
    /// Somebody wrote something of it.
    Project(ProjectName),
    Node(Box<NodeView>),
    NodeRemoved(NodeName),
}

/// What a listener wants to hear of; nothing said = everything.
#[derive(Clone, Debug, Default)]
pub struct Interest {
    pub project: Option<ProjectName>,
    pub job: Option<JobId>,
}

impl Interest {
    fn is_narrow(&self) -> bool {
        self.project.is_some() || self.job.is_some()
    }

    /// Before anybody looks it up.
    fn may_want(&self, change: &Change) -> bool {
        match change {
            Change::Job(id) | Change::JobDeleted(id) | Change::Run(id) => {
                self.job.is_none_or(|it| it == *id)
            }
            Change::Project(name) => {
                self.job.is_none() && self.project.as_ref().is_none_or(|it| it == name)
            }
            Change::Node(_) | Change::NodeRemoved(_) => !self.is_narrow(),
        }
    }

    fn wants(&self, event: &Event) -> bool {
        match event {
            Event::Job(job) | Event::Run(job) => {
                self.project.as_ref().is_none_or(|it| *it == job.spec.project)
            }
            Event::Reset
            | Event::JobDeleted(_)
            | Event::Project(_)
            | Event::Node(_)
            | Event::NodeRemoved(_) => true,
        }
    }
}

impl Service {
    /// Events with the place behind each, from `since` on; where that is not known any more, and without it, they begin with a
    /// reset. Ends with the master, or when nobody listens.
    pub fn events(
        self: Arc<Self>,
        interest: Interest,
        since: Option<Place>,
    ) -> mpsc::Receiver<(Place, Event)> {
        let (to, events) = mpsc::channel(IN_FLIGHT);
        let service = self.clone();
        self.tasks.spawn("events", async move {
            let told = tokio::select! {
                told = service.tell(&interest, since, &to) => told,
                () = to.closed() => return,
                () = service.tasks.cancelled() => return,
            };
            if let Err(error) = told {
                // The listener comes again, and goes on where this ended.
                tracing::warn!("events broke off: {}", atlas_runtime::Chain(&error));
            }
        });
        events
    }

    async fn tell(
        &self,
        interest: &Interest,
        since: Option<Place>,
        to: &mpsc::Sender<(Place, Event)>,
    ) -> Result<(), Error> {
        let news = self.feed.news();
        let mut watch = news.watch();
        let mut since = since;
        loop {
            watch.mark_unchanged();
            let behind = since.and_then(|it| news.behind(it, TOGETHER));
            let Some((changes, place)) = behind else {
                let now = news.now();
                since = Some(now);
                if to.send((now, Event::Reset)).await.is_err() {
                    return Ok(());
                }
                continue;
            };
            since = Some(place);
            if changes.is_empty() && watch.changed().await.is_err() {
                return Ok(());
            }
            for change in last_of_each(changes).into_iter().filter(|it| interest.may_want(it)) {
                let event = self.event(change).await?.filter(|it| interest.wants(it));
                if let Some(event) = event
                    && to.send((place, event)).await.is_err()
                {
                    return Ok(());
                }
            }
        }
    }

    /// How it is now; `None` = it is gone, which is told next.
    async fn event(&self, change: Change) -> Result<Option<Event>, Error> {
        Ok(match change {
            Change::Job(id) => match self.store.job(id).await? {
                Some(job) => Some(Event::Job(Box::new(self.labelled(job).await?))),
                None => None,
            },
            Change::Run(id) => self.store.job(id).await?.map(|it| Event::Run(Box::new(it))),
            Change::Project(name) => Some(Event::Project(name)),
            Change::JobDeleted(id) => Some(Event::JobDeleted(id)),
            Change::Node(name) => {
                let nodes = self.reactor.nodes().await?;
                let node = nodes.into_iter().find(|it| it.record.spec.name == name);
                node.map(|it| Event::Node(Box::new(it)))
            }
            Change::NodeRemoved(name) => Some(Event::NodeRemoved(name)),
        })
    }
}

/// In their order, without those that are told again further on.
fn last_of_each(mut changes: Vec<Change>) -> Vec<Change> {
    let mut told = HashSet::new();
    changes.reverse();
    changes.retain(|it| told.insert(it.clone()));
    changes.reverse();
    changes
}
