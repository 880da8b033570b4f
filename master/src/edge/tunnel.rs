//! The way of a job's requests: a node opens a connection with the join token, and what follows on it are requests of jobs.

use atlas_proto::{JOIN_TOKEN_HEADER, TUNNEL_PATH, TUNNEL_PROTOCOL};
use atlas_runtime::tasks::Tasks;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;

use crate::grpc::JoinToken;
use crate::http::{Code, problem};

#[derive(Clone)]
struct Tunnels {
    token: JoinToken,
    /// What jobs reach.
    inside: Router,
    tasks: Tasks,
}

/// The door for nodes; behind it is `inside`.
pub fn routes(inside: Router, token: JoinToken, tasks: Tasks) -> Router {
    let tunnels = Tunnels { token, inside, tasks };
    Router::new().route(TUNNEL_PATH, get(open)).with_state(tunnels)
}

async fn open(State(tunnels): State<Tunnels>, mut request: Request) -> Response {
    let Tunnels { token, inside, tasks } = tunnels;
    if let Err(why) = token.admit(shown(request.headers(), JOIN_TOKEN_HEADER)) {
        return problem(Code::Unauthenticated, why);
    }
    if shown(request.headers(), header::UPGRADE.as_str()) != TUNNEL_PROTOCOL.as_bytes() {
        let why = format!("this is for nodes, which ask for `upgrade: {TUNNEL_PROTOCOL}`");
        return problem(Code::UpgradeRequired, why);
    }
    let opened = hyper::upgrade::on(&mut request);
    tasks.clone().spawn("tunnel", async move {
        let serve = async {
            let io = opened.await?;
            let server = Builder::new(TokioExecutor::new());
            server.serve_connection(io, TowerToHyperService::new(inside)).await
        };
        let served = tokio::select! {
            served = serve => served,
            () = tasks.cancelled() => return,
        };
        if let Err(error) = served {
            // Jobs end in the middle of a sentence.
            tracing::debug!("a job's connection broke off: {error}");
        }
    });
    let switched = [(header::CONNECTION, "upgrade"), (header::UPGRADE, TUNNEL_PROTOCOL)];
    (StatusCode::SWITCHING_PROTOCOLS, switched).into_response()
}

fn shown<'a>(headers: &'a HeaderMap, name: &str) -> &'a [u8] {
    headers.get(name).map(|it| it.as_bytes()).unwrap_or_default()
}
