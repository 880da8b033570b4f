//! For load balancers, watchdogs and Prometheus.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;

use super::App;

/// The process runs.
pub async fn alive() -> &'static str {
    "ok\n"
}

/// The master can change its state.
pub async fn ready(State(app): State<App>) -> (StatusCode, String) {
    match app.service.reactor.refusing() {
        None => (StatusCode::OK, "ok\n".into()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

/// In the OpenMetrics text format.
pub async fn metrics(State(app): State<App>) -> impl IntoResponse {
    let kind =
        [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    (kind, app.metrics.text(&app.service).await)
}
