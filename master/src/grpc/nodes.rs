//! The service `Nodes`, for agents alone: they show the cluster's join token.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use atlas_core::cluster::{NodeView, Session, UNREACHABLE_AFTER};
use atlas_core::{Epoch, NodeName, Revision};
use atlas_proto::Invalid;
use atlas_proto::JOIN_TOKEN_HEADER;
use atlas_proto::convert::{gpu_view, parse};
use atlas_proto::wire::{self, nodes_server};
use atlas_runtime::Chain;
use atlas_runtime::clock::Wall;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{session, shipping};
use crate::age::{self, LAST_EPOCH};
use crate::service::Service;
use crate::store::Mark;

/// What a machine must show to be a node of this cluster.
#[derive(Clone)]
pub struct JoinToken(pub String);

/// Translates; the session does.
pub struct Nodes {
    service: Arc<Service>,
    token: JoinToken,
    sessions: AtomicU64,
}

impl Nodes {
    pub fn new(service: Arc<Service>, token: JoinToken) -> Self {
        Self { service, token, sessions: AtomicU64::new(1) }
    }

    fn admit<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let shown = request.metadata().get(JOIN_TOKEN_HEADER).map(|it| it.as_encoded_bytes());
        self.token.admit(shown.unwrap_or_default()).map_err(Status::unauthenticated)
    }
}

impl JoinToken {
    /// Whether this is what a node shows; else what to do about it.
    pub fn admit(&self, shown: &[u8]) -> Result<(), String> {
        if same(shown, self.0.as_bytes()) {
            return Ok(());
        }
        let what = if shown.is_empty() {
            "no join token was sent"
        } else {
            "the join token is not this cluster's"
        };
        Err(format!(
            "{what}: `atlas join-token` on the master's machine prints it (the file join-token in the master's --data folder)"
        ))
    }
}

/// In a time that does not depend on where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[tonic::async_trait]
impl nodes_server::Nodes for Nodes {
    type SessionStream = ReceiverStream<Result<wire::MasterMessage, Status>>;
    type FetchBundleStream = ReceiverStream<Result<wire::FilesChunk, Status>>;
    type FetchCheckpointsStream = ReceiverStream<Result<wire::CheckpointPart, Status>>;
    type ShipStream = ReceiverStream<Result<wire::ShipReply, Status>>;

    async fn greet(
        &self,
        request: Request<wire::Greeting>,
    ) -> Result<Response<wire::MasterFacts>, Status> {
        self.admit(&request)?;
        let wire::Greeting { version, cluster_id, name, seen_epoch, seen_revision } =
            request.into_inner();
        session::admit(&self.service, &cluster_id, &version)?;
        let seen = Mark { epoch: Epoch(seen_epoch), revision: Revision(seen_revision) };
        if seen.epoch > LAST_EPOCH {
            return Err(session::invalid(&Invalid::new(
                "seen_epoch",
                "no cluster was led so often",
            )));
        }
        let name: NodeName = parse("name", &name).map_err(|it| session::invalid(&it))?;
        // What a node without a cluster has heard was not of this one.
        let compared = if cluster_id.is_empty() {
            Ok(())
        } else {
            let store = self.service.store.as_ref();
            self.service.age.compare(store, &name, seen, self.service.reactor.kept()).await
        };
        if let Err(error) = compared {
            if let age::Error::Store(error) = &error {
                return Err(Status::unavailable(Chain(error).to_string()));
            }
            let text = error.to_string();
            // A master that must not lead ends.
            self.service
                .tasks
                .spawn_essential("age of the store", async move { Err::<(), _>(error) });
            return Err(Status::failed_precondition(text));
        }
        Ok(Response::new(wire::MasterFacts {
            cluster_id: self.service.cluster.to_string(),
            version: crate::VERSION.into(),
            share_mark: self.service.share_mark.clone(),
            wall_ms: Wall::now(),
        }))
    }

    async fn session(
        &self,
        request: Request<Streaming<wire::NodeMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        self.admit(&request)?;
        let number = Session(self.sessions.fetch_add(1, Ordering::Relaxed));
        let down = session::open(self.service.clone(), number, request.into_inner()).await?;
        Ok(Response::new(ReceiverStream::new(down)))
    }

    async fn fetch_bundle(
        &self,
        request: Request<wire::FetchBundleRequest>,
    ) -> Result<Response<Self::FetchBundleStream>, Status> {
        self.admit(&request)?;
        let chunks = shipping::fetch_bundle(self.service.clone(), request.into_inner()).await?;
        Ok(Response::new(ReceiverStream::new(chunks)))
    }

    async fn begin_attempt(
        &self,
        request: Request<wire::Holder>,
    ) -> Result<Response<wire::BeginAttemptReply>, Status> {
        self.admit(&request)?;
        shipping::begin_attempt(&self.service, request.into_inner()).await.map(Response::new)
    }

    async fn fetch_checkpoints(
        &self,
        request: Request<wire::FetchCheckpointsRequest>,
    ) -> Result<Response<Self::FetchCheckpointsStream>, Status> {
        self.admit(&request)?;
        let parts = shipping::fetch_checkpoints(self.service.clone(), request.into_inner()).await?;
        Ok(Response::new(ReceiverStream::new(parts)))
    }

    async fn append_log(
        &self,
        request: Request<wire::AppendLogRequest>,
    ) -> Result<Response<wire::AppendLogReply>, Status> {
        self.admit(&request)?;
        shipping::append_log(&self.service, request.into_inner()).await.map(Response::new)
    }

    async fn sync_log(
        &self,
        request: Request<wire::Holder>,
    ) -> Result<Response<wire::SyncLogReply>, Status> {
        self.admit(&request)?;
        shipping::sync_log(&self.service, request.into_inner()).await.map(Response::new)
    }

    async fn append_spool(
        &self,
        request: Request<wire::AppendSpoolRequest>,
    ) -> Result<Response<wire::AppendSpoolReply>, Status> {
        self.admit(&request)?;
        shipping::append_spool(&self.service, request.into_inner()).await.map(Response::new)
    }

    async fn ship(
        &self,
        request: Request<Streaming<wire::ShipRequest>>,
    ) -> Result<Response<Self::ShipStream>, Status> {
        self.admit(&request)?;
        let replies = shipping::ship(self.service.clone(), request.into_inner()).await?;
        Ok(Response::new(ReceiverStream::new(replies)))
    }
}

/// A node as clients see it.
pub fn view(node: &NodeView) -> wire::Node {
    let spec = &node.record.spec;
    let silent = node.silent_ms >= UNREACHABLE_AFTER.0;
    let (state, reason) = match (&node.cordon, node.connected && !silent) {
        (Some(reason), true) => ("cordoned", reason.clone()),
        (None, true) => ("ready", String::new()),
        (_, false) => ("away", format!("last heard {} s ago", node.silent_ms / 1000)),
    };
    wire::Node {
        name: spec.name.to_string(),
        state: state.into(),
        reason,
        executor: spec.executor.word().into(),
        version: spec.version.clone(),
        address: spec.address.clone(),
        slots: spec.capacity.slots,
        slots_free: node.free.slots,
        gpus: spec
            .capacity
            .gpus
            .iter()
            .map(|gpu| gpu_view(gpu, node.free.gpus.contains(&gpu.id)))
            .collect(),
        cpu_milli: spec.capacity.cpu_milli,
        cpu_milli_free: node.free.cpu_milli,
        memory_bytes: spec.capacity.memory,
        memory_bytes_free: node.free.memory,
        jobs: node.jobs.iter().map(ToString::to_string).collect(),
        joined_ms: node.record.joined.0,
        silent_ms: node.silent_ms,
    }
}
