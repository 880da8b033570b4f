//! HTTP on the one router that also carries gRPC: health, metrics, and the JSON API.
//!
//! Each resource of the API has a file with its routes, its JSON and nothing else: what is asked for comes out of [`asked`], answers
//! go through [`answer`], refusals through [`error`], and the service layer does the rest.

mod answer;
mod asked;
mod bundles;
mod bytes;
mod error;
mod events;
mod files;
mod found;
mod health;
mod incoming;
mod jobs;
mod log;
mod nodes;
mod notes;
mod projects;
mod queue;
mod root;
mod runs;
mod submit;
mod submitted;
#[cfg(test)]
mod tests;
mod told;
mod usage;
mod v1;
mod version;
mod views;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::metrics::Metrics;
use crate::service::Service;

pub use error::{Code, Problem, problem};

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
        .merge(v1::routes())
        .fallback(error::no_such_page)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(axum::middleware::map_response(answer::as_it_is))
        .with_state(app)
}
