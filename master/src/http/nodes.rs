//! The machines.

use aide::axum::ApiRouter;
use aide::axum::routing::{delete_with, get_with};
use atlas_proto::wire;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::App;
use super::asked::{Path, Query, Who};
use super::error::Problem;
use super::views::cores;
use crate::grpc;

#[derive(Serialize, JsonSchema)]
struct Nodes {
    nodes: Vec<Node>,
}

/// A machine of the cluster.
#[derive(Serialize, JsonSchema)]
pub struct Node {
    name: String,
    /// ready, away or cordoned.
    state: String,
    /// Why it gets no jobs.
    reason: String,
    /// docker or process.
    executor: String,
    version: String,
    slots: u32,
    slots_free: u32,
    gpus: Vec<Gpu>,
    cpus: f64,
    cpus_free: f64,
    memory_bytes: u64,
    memory_free_bytes: u64,
    /// Ids of those that it holds.
    jobs: Vec<String>,
    joined_ms: u64,
}

#[derive(Serialize, JsonSchema)]
struct Gpu {
    id: String,
    index: u32,
    model: String,
    memory_bytes: u64,
    free: bool,
}

#[derive(Deserialize, JsonSchema)]
struct NodePath {
    node: String,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RemovedNode")]
struct Removed {
    name: String,
}

pub fn routes() -> ApiRouter<App> {
    ApiRouter::new()
        .api_route(
            "/nodes",
            get_with(list, |it| it.id("list_nodes").summary("The machines").tag("nodes")),
        )
        .api_route(
            "/nodes/{node}",
            delete_with(remove, |it| {
                it.id("remove_node").summary("Forgets a machine that is gone for good").tag("nodes")
            }),
        )
}

async fn list(State(app): State<App>, _: Query<()>) -> Result<Json<Nodes>, Problem> {
    let nodes = app.service.nodes().await?;
    Ok(Json(Nodes { nodes: nodes.iter().map(|it| Node::from(grpc::node_view(it))).collect() }))
}

async fn remove(
    State(app): State<App>,
    Who(who): Who,
    Path(NodePath { node }): Path<NodePath>,
    _: Query<()>,
) -> Result<Json<Removed>, Problem> {
    app.service.remove_node(&who, &node).await?;
    Ok(Json(Removed { name: node }))
}

impl From<wire::Node> for Node {
    fn from(node: wire::Node) -> Self {
        let gpu = |it: wire::Gpu| {
            let wire::Gpu { id, index, model, memory_bytes, free } = it;
            Gpu { id, index, model, memory_bytes, free }
        };
        Self {
            name: node.name,
            state: node.state,
            reason: node.reason,
            executor: node.executor,
            version: node.version,
            slots: node.slots,
            slots_free: node.slots_free,
            gpus: node.gpus.into_iter().map(gpu).collect(),
            cpus: cores(node.cpu_milli),
            cpus_free: cores(node.cpu_milli_free),
            memory_bytes: node.memory_bytes,
            memory_free_bytes: node.memory_bytes_free,
            jobs: node.jobs,
            joined_ms: node.joined_ms,
        }
    }
}
