//! What jobs occupy.

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::App;
use super::asked::{Limit, Query};
use super::error::Problem;
use crate::archive::sizes::Sizes;
use crate::service::{self, By, WantedUsage};

#[derive(Deserialize, JsonSchema)]
struct UsageQuery {
    /// project (unless said), user or job.
    by: Option<String>,
    /// Of these jobs alone: `status=failed and ended<-30d` (docs/using/finding-runs.md).
    filter: Option<String>,
    /// At most so many groups, the largest.
    limit: Option<Limit>,
}

/// What jobs occupy on the shared storage. Groups may add up to more than the total: a bundle that several have counts in each of them,
/// and in the total once.
#[derive(Serialize, JsonSchema)]
struct Usage {
    /// The largest first.
    groups: Vec<Group>,
    /// So many are left out, but not of the total.
    more: usize,
    total: Group,
}

/// Jobs, and what they occupy together.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UsageGroup")]
struct Group {
    /// Of the project or the user, or the job's id; empty = all of them.
    name: String,
    jobs: u64,
    /// Of so many jobs it is not known yet, and nothing of them is in the sums: ask again later.
    unmeasured: u64,
    log_bytes: u64,
    series_bytes: u64,
    outputs_bytes: u64,
    artifacts_bytes: u64,
    checkpoints_bytes: u64,
    synced_bytes: u64,
    tensorboard_bytes: u64,
    /// Of what has no word of its own.
    other_bytes: u64,
    /// Compressed; one that several of these jobs were submitted with counts once.
    bundles_bytes: u64,
    total_bytes: u64,
}

pub fn routes() -> ApiRouter<App> {
    ApiRouter::new().api_route(
        "/usage",
        get_with(get, |it| {
            let what = "What jobs occupy, by project, by user, or by job";
            it.id("get_usage").summary(what).tag("jobs")
        }),
    )
}

async fn get(State(app): State<App>, query: Query<UsageQuery>) -> Result<Json<Usage>, Problem> {
    let Query(UsageQuery { by, filter, limit }) = query;
    let wanted = WantedUsage {
        by: By::parse(&by.unwrap_or_default())?,
        filter: filter.unwrap_or_default(),
        ended: false,
        limit: limit.unwrap_or_default().get(),
    };
    let service::Usage { groups, more, total } = app.service.usage(&wanted).await?;
    let groups = groups.into_iter().map(Group::from).collect();
    Ok(Json(Usage { groups, more, total: total.into() }))
}

impl From<service::Group> for Group {
    fn from(group: service::Group) -> Self {
        let total_bytes = group.bytes();
        let service::Group { name, jobs, unmeasured, files, bundles } = group;
        let Sizes { log, series, outputs, artifacts, checkpoints, synced, tensorboard, other } =
            files;
        Self {
            name,
            jobs,
            unmeasured,
            log_bytes: log,
            series_bytes: series,
            outputs_bytes: outputs,
            artifacts_bytes: artifacts,
            checkpoints_bytes: checkpoints,
            synced_bytes: synced,
            tensorboard_bytes: tensorboard,
            other_bytes: other,
            bundles_bytes: bundles,
            total_bytes,
        }
    }
}
