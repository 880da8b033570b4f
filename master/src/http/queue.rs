//! What waits, and why.

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::App;
use super::asked::{Limit, Query, Who};
use super::error::Problem;
use super::views::Job;

#[derive(Deserialize, JsonSchema)]
struct QueueQuery {
    limit: Option<Limit>,
}

/// The first jobs that wait, in the order in which they will start.
#[derive(Serialize, JsonSchema)]
struct Queue {
    /// All that wait.
    total: u64,
    jobs: Vec<Waiting>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "QueuedJob")]
struct Waiting {
    /// 1 = next.
    place: u64,
    reason: String,
    job: Job,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ClearedQueue")]
struct Cleared {
    /// So many jobs were ended.
    ended: u64,
}

pub fn routes() -> ApiRouter<App> {
    ApiRouter::new().api_route(
        "/queue",
        get_with(list, |it| it.id("get_queue").summary("What waits, and why").tag("queue"))
            .delete_with(clear, |it| {
                it.id("clear_queue").summary("Ends every job that waits").tag("queue")
            }),
    )
}

async fn list(State(app): State<App>, query: Query<QueueQuery>) -> Result<Json<Queue>, Problem> {
    let Query(QueueQuery { limit }) = query;
    let (waiting, total) = app.service.queue(limit.unwrap_or_default().get()).await?;
    let waiting = waiting.into_iter().map(|it| {
        let job = Job::from(&it.job);
        Waiting { place: it.place, reason: it.reason, job }
    });
    Ok(Json(Queue { total, jobs: waiting.collect() }))
}

async fn clear(
    State(app): State<App>,
    Who(who): Who,
    _: Query<()>,
) -> Result<Json<Cleared>, Problem> {
    Ok(Json(Cleared { ended: app.service.clear_queue(&who).await? }))
}
