//! HTTP on the one router that also carries gRPC: health, metrics, and the JSON API.

mod api;
mod error;
mod health;
mod root;
mod views;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::metrics::Metrics;
use crate::service::Service;

pub use error::{Problem, problem};

/// What handlers need.
#[derive(Clone)]
pub struct App {
    pub service: Arc<Service>,
    pub metrics: Arc<Metrics>,
}

pub fn routes(app: App) -> Router {
    Router::new()
        .route("/", get(root::page))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/api/v1/jobs", get(api::jobs))
        .route("/api/v1/jobs/{job}", get(api::job))
        .route("/api/v1/queue", get(api::queue))
        .route("/api/v1/nodes", get(api::nodes))
        .fallback(error::no_such_page)
        .with_state(app)
}
