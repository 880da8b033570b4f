//! gRPC `atlas.v1`: translates, and nothing else.

mod bundles;
mod jobs;
mod nodes;
mod projects;
mod session;
mod shipping;
mod status;
mod transfers;

use std::sync::Arc;

use atlas_core::Identity;
use atlas_proto::wire::jobs_server::JobsServer;
use atlas_proto::wire::nodes_server::NodesServer;
use atlas_proto::wire::projects_server::ProjectsServer;
use atlas_proto::wire::transfers_server::TransfersServer;
use atlas_proto::{MAX_MESSAGE, USER_HEADER};
use tonic::Request;
use tonic::server::NamedService;

use crate::edge;
use crate::service::Service;

pub use nodes::{JoinToken, view as node_view};
#[cfg(test)]
pub use shipping::ship;
pub use status::status;

/// All services, to be put on the one router.
pub fn routes(service: &Arc<Service>, token: JoinToken) -> axum::Router {
    let jobs = JobsServer::new(jobs::Jobs(service.clone())).max_decoding_message_size(MAX_MESSAGE);
    let nodes = NodesServer::new(nodes::Nodes::new(service.clone(), token))
        .max_decoding_message_size(MAX_MESSAGE);
    let projects = ProjectsServer::new(projects::Projects(service.clone()));
    let transfers = TransfersServer::new(transfers::Transfers(service.clone()))
        .max_decoding_message_size(MAX_MESSAGE);
    axum::Router::new()
        .route_service(&path_of(&jobs), jobs)
        .route_service(&path_of(&nodes), nodes)
        .route_service(&path_of(&projects), projects)
        .route_service(&path_of(&transfers), transfers)
}

fn path_of<S: NamedService>(_: &S) -> String {
    format!("/{}/{{*method}}", S::NAME)
}

/// Who sent a request.
fn identity<T>(request: &Request<T>) -> Identity {
    let said = request.metadata().get(USER_HEADER).and_then(|it| it.to_str().ok());
    edge::identity(request.extensions(), said)
}
