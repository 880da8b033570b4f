//! One node's session: join, then heartbeats and reports up, assignments down.

use std::sync::Arc;

use atlas_core::NodeName;
use atlas_core::cluster::{Held, Input, Session};
use atlas_core::node::NodeSpec;
use atlas_proto::wire::{self, master_message, node_message::Message};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::status::status;
use crate::reactor::Link;
use crate::service::{Error, Service};

/// Messages on their way to one node; a node that lets more pile up is disconnected.
const LINK: usize = 4096;

type Down = mpsc::Receiver<Result<wire::MasterMessage, Status>>;

/// Lets a node in and serves its stream in a task of its own.
pub async fn open(
    service: Arc<Service>,
    session: Session,
    mut up: Streaming<wire::NodeMessage>,
) -> Result<Down, Status> {
    let Some(Message::Join(join)) = up.message().await?.and_then(|it| it.message) else {
        return Err(Status::invalid_argument("the first message of a session is a join"));
    };
    refuse_other_cluster(&service, &join)?;
    refuse_other_version(&join.version)?;
    let (spec, held): (NodeSpec, Vec<Held>) = join
        .try_into()
        .map_err(|it: atlas_proto::Invalid| Status::invalid_argument(it.to_string()))?;
    let name = spec.name.clone();
    let (link, mut from_reactor) = Link::new(LINK);
    let joined = service.reactor.join(spec, session, held, link.clone()).await;
    joined.map_err(|it| status(&Error::from(it)))?;
    tracing::info!(node.name = %name, "node {name} joined");
    let (to, down) = mpsc::channel(16);
    service.tasks.spawn("session-down", async move {
        while let Some(message) = from_reactor.recv().await {
            if to.send(Ok(message)).await.is_err() {
                return;
            }
        }
    });
    let tasks = service.tasks.clone();
    tasks.spawn("session-up", async move {
        let ended = serve(&service, &name, session, &mut up, &link).await;
        tracing::info!(node.name = %name, "node {name} left: {}", ended.message());
        // A reactor that is gone needs no news.
        drop(service.reactor.tell(Input::Leave { node: name, session }).await);
    });
    Ok(down)
}

async fn serve(
    service: &Service,
    name: &NodeName,
    session: Session,
    up: &mut Streaming<wire::NodeMessage>,
    link: &Link,
) -> Status {
    loop {
        let message = tokio::select! {
            message = up.message() => message,
            () = link.is_cut() => return Status::resource_exhausted("it did not read, or came anew"),
            () = service.tasks.cancelled() => return Status::unavailable("the master is stopping"),
        };
        let message = match message {
            Ok(Some(wire::NodeMessage { message: Some(message) })) => message,
            Ok(Some(_)) => return Status::invalid_argument("a message without content"),
            Ok(None) => return Status::ok("it closed its connection"),
            Err(status) => return status,
        };
        if let Err(error) = handle(service, name, session, message, link).await {
            return status(&error);
        }
    }
}

async fn handle(
    service: &Service,
    name: &NodeName,
    session: Session,
    message: Message,
    link: &Link,
) -> Result<(), Error> {
    match message {
        Message::Heartbeat(wire::Heartbeat { number }) => {
            service.reactor.heartbeat(name.clone(), session).await?;
            let ack = master_message::Message::Heartbeat(wire::HeartbeatAck { number });
            // Cut or not: the next turn of the session sees it.
            link.send(ack);
            Ok(())
        }
        Message::Report(held) => {
            let held = Held::try_from(held).map_err(|it| Error::invalid(it.field, it.why))?;
            Ok(service.reactor.tell(Input::Report { node: name.clone(), session, held }).await?)
        }
        Message::Join(_) => {
            Err(Error::invalid("message", "a session has one join, its first message"))
        }
    }
}

fn refuse_other_cluster(service: &Service, join: &wire::Join) -> Result<(), Status> {
    let ours = service.cluster.as_str();
    if join.cluster_id.is_empty() || join.cluster_id == ours {
        return Ok(());
    }
    Err(Status::failed_precondition(format!(
        "this node belongs to cluster {}, this master leads cluster {ours}; give the node another --data folder to join here",
        join.cluster_id
    )))
}

/// Same major and minor number: the wire may change with every minor version.
fn refuse_other_version(theirs: &str) -> Result<(), Status> {
    let minor = |version: &str| version.split('.').take(2).map(str::to_owned).collect::<Vec<_>>();
    if minor(theirs) == minor(crate::VERSION) {
        return Ok(());
    }
    let text = format!(
        "this agent is version {theirs}, the master is {}; install the same version on both",
        crate::VERSION
    );
    Err(Status::failed_precondition(text))
}
