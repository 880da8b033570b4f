//! One node's session: join, then heartbeats and reports up, assignments down.

use std::sync::Arc;
use std::time::Duration;

use atlas_core::agent::Assignment;
use atlas_core::cluster::{Held, Input, Session};
use atlas_core::node::{NodeSpec, Troubles};
use atlas_core::{NodeName, Revision};
use atlas_proto::convert::master;
use atlas_proto::list::{Gathering, pieces};
use atlas_proto::wire::{self, master_message, node_message::Message};
use atlas_runtime::clock::Wall;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::status::status;
use crate::edge::keys::Keys;
use crate::reactor::{Down, Link, WelcomeFacts};
use crate::service::{Error, Service};

/// Messages on their way to one node; a node that lets more pile up is disconnected.
const LINK: usize = 4096;

/// A node that has begun to say what it holds goes on.
const NEXT_PIECE: Duration = Duration::from_secs(30);

type Sender = mpsc::Sender<Result<wire::MasterMessage, Status>>;
type Receiver = mpsc::Receiver<Result<wire::MasterMessage, Status>>;

/// Lets a node in and serves its stream in a task of its own.
pub async fn open(
    service: Arc<Service>,
    session: Session,
    mut up: Streaming<wire::NodeMessage>,
) -> Result<Receiver, Status> {
    let Some(Message::Join(mut join)) = up.message().await?.and_then(|it| it.message) else {
        return Err(Status::invalid_argument("the first message of a session is a join"));
    };
    admit(&service, &join.cluster_id, &join.version)?;
    let troubles = join.troubles.take().unwrap_or_default();
    let troubles = Troubles::try_from(troubles).map_err(|it| invalid(&it))?;
    let spec: NodeSpec = join.try_into().map_err(|it| invalid(&it))?;
    let held = held(&mut up).await?;
    let name = spec.name.clone();
    let (link, mut from_reactor) = Link::new(LINK);
    let joined = service.reactor.join(spec, session, troubles, held, link.clone()).await;
    joined.map_err(|it| status(&Error::from(it)))?;
    tracing::info!(node.name = %name, "node {name} joined");
    let (to, down) = mpsc::channel(16);
    let keys = service.keys.clone();
    let reactor = service.reactor.clone();
    service.tasks.spawn("session-down", async move {
        while let Some(what) = from_reactor.recv().await {
            let sent = match what {
                Down::Welcome(facts, list) => {
                    welcome(facts, reactor.kept(), list, &keys, &to).await
                }
                Down::Message(message) => to.send(Ok(master(*message))).await,
            };
            if sent.is_err() {
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

/// Everything that the node holds. Nothing is made of a list that does not come to its end.
async fn held(up: &mut Streaming<wire::NodeMessage>) -> Result<Vec<Held>, Status> {
    let mut gathering = Gathering::default();
    loop {
        let message = tokio::time::timeout(NEXT_PIECE, up.message())
            .await
            .map_err(|_| Status::deadline_exceeded("the list of what the node holds breaks off"))?;
        let Some(Message::HeldList(wire::HeldList { held, last })) =
            message?.and_then(|it| it.message)
        else {
            return Err(Status::invalid_argument("what the node holds comes after its join"));
        };
        if let Some(held) = gathering.add(held, last).map_err(|it| invalid(&it))? {
            return Ok(held);
        }
    }
}

/// Everything that the node should hold, no faster than it is taken.
async fn welcome(
    facts: WelcomeFacts,
    kept: Revision,
    list: Vec<Assignment>,
    keys: &Keys,
    to: &Sender,
) -> Result<(), mpsc::error::SendError<Result<wire::MasterMessage, Status>>> {
    let WelcomeFacts { cluster, epoch, lease_ms, heartbeat_ms } = facts;
    let welcome = wire::Welcome {
        cluster_id: cluster.to_string(),
        epoch: epoch.0,
        lease_ms,
        heartbeat_ms,
        revision: kept.0,
    };
    to.send(Ok(master(master_message::Message::Welcome(welcome)))).await?;
    for (assignments, last) in pieces(list.into_iter().map(|it| keys.assignment(&it))) {
        let piece = wire::AssignmentList { assignments, last };
        to.send(Ok(master(master_message::Message::Assignments(piece)))).await?;
    }
    Ok(())
}

pub(super) fn invalid(why: &atlas_proto::Invalid) -> Status {
    Status::invalid_argument(why.to_string())
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
            let ack = wire::HeartbeatAck {
                number,
                wall_ms: Wall::now(),
                revision: service.reactor.kept().0,
            };
            let ack = master_message::Message::Heartbeat(ack);
            // Cut or not: the next turn of the session sees it.
            link.send(Down::Message(Box::new(ack)));
            Ok(())
        }
        Message::Report(held) => {
            let held = Held::try_from(held).map_err(|it| Error::invalid(it.field, it.why))?;
            Ok(service.reactor.tell(Input::Report { node: name.clone(), session, held }).await?)
        }
        Message::Troubles(troubles) => {
            let troubles =
                Troubles::try_from(troubles).map_err(|it| Error::invalid(it.field, it.why))?;
            let node = name.clone();
            Ok(service.reactor.tell(Input::Troubles { node, session, troubles }).await?)
        }
        Message::Join(_) | Message::HeldList(_) => {
            Err(Error::invalid("message", "a session has one join and one list, which begin it"))
        }
    }
}

/// Whether a node of this cluster and version may join. The codes differ: a version may be the master's turn to change.
pub fn admit(service: &Service, cluster: &str, version: &str) -> Result<(), Status> {
    refuse_other_cluster(service, cluster)?;
    refuse_other_version(version)
}

fn refuse_other_cluster(service: &Service, theirs: &str) -> Result<(), Status> {
    let ours = service.cluster.as_str();
    if theirs.is_empty() || theirs == ours {
        return Ok(());
    }
    Err(Status::permission_denied(format!(
        "this node belongs to cluster {theirs}, this master leads cluster {ours}; start the agent with its own master's --master, \
         or give it another --data folder to join here"
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
