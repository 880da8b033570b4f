//! Which master this is.

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::App;
use super::answer::Tagged;
use super::asked::Query;
use super::error::Problem;

#[derive(Serialize, JsonSchema)]
pub struct Version {
    /// Of Atlas.
    version: String,
    cluster_id: String,
    /// The largest bundle that may be uploaded, compressed.
    max_bundle_bytes: u64,
}

pub fn routes() -> ApiRouter<App> {
    ApiRouter::new().api_route(
        "/version",
        get_with(version, |it| it.id("get_version").summary("Which master this is")),
    )
}

async fn version(State(app): State<App>, _: Query<()>) -> Result<Tagged<Version>, Problem> {
    Ok(Tagged(Version {
        version: crate::VERSION.into(),
        cluster_id: app.service.cluster.to_string(),
        max_bundle_bytes: app.service.max_bundle,
    }))
}
