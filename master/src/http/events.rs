//! Everything live: one stream of server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use aide::generate::GenContext;
use aide::openapi::{MediaType, Operation};
use aide::{OperationInput, OperationOutput};
use atlas_core::Epoch;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::StreamExt;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_stream::wrappers::ReceiverStream;

use super::App;
use super::asked::Query;
use super::error::Problem;
use super::nodes::Node;
use super::views::Job;
use crate::grpc;
use crate::reactor::Place;
use crate::service::{Error, Event, Interest};

/// So that nobody on the way takes a quiet stream for a dead one.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[derive(Deserialize, JsonSchema)]
struct EventsQuery {
    /// Events of this project's jobs alone, and those of jobs that were deleted.
    project: Option<String>,
    /// Events of this job alone.
    job: Option<String>,
}

pub fn routes() -> ApiRouter<App> {
    ApiRouter::new().api_route(
        "/events",
        get_with(events, |it| {
            let what = "What changes, as it changes (server-sent events)";
            it.id("get_events").summary(what).tag("events")
        }),
    )
}

async fn events(
    State(app): State<App>,
    Query(EventsQuery { project, job }): Query<EventsQuery>,
    LastEvent(since): LastEvent,
) -> Result<Live, Problem> {
    let project = project.map(|it| it.parse()).transpose();
    let project = project
        .map_err(|why: atlas_core::id::Invalid| Error::invalid("project", why.to_string()))?;
    let job = match job {
        Some(job) => Some(app.service.find(&job).await?.id),
        None => None,
    };
    let events = ReceiverStream::new(app.service.events(Interest { project, job }, since));
    let events = events.map(|(place, event)| Ok::<_, Infallible>(sent(place, event)));
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Live(Sse::new(events).keep_alive(keep_alive).into_response()))
}

fn sent(place: Place, event: Event) -> sse::Event {
    let named = |name: &str| sse::Event::default().event(name);
    let sent = match event {
        Event::Reset => named("reset").json_data(serde_json::json!({})),
        Event::Job(job) => named("job").json_data(Job::from(&*job)),
        Event::Run(job) => {
            let (id, project) = (job.id.to_string(), job.spec.project.to_string());
            named("run").json_data(serde_json::json!({ "id": id, "project": project }))
        }
        Event::JobDeleted(id) => {
            named("job_deleted").json_data(serde_json::json!({ "id": id.to_string() }))
        }
        Event::Project(name) => {
            named("project").json_data(serde_json::json!({ "name": name.to_string() }))
        }
        Event::Node(node) => named("node").json_data(Node::from(grpc::node_view(&node))),
        Event::NodeRemoved(name) => {
            named("node_removed").json_data(serde_json::json!({ "name": name.to_string() }))
        }
    };
    let Place { epoch, number } = place;
    sent.expect("its keys are texts, and JSON has no line breaks").id(format!("{epoch}-{number}"))
}

/// Where a listener that comes again had got to.
struct LastEvent(Option<Place>);

impl LastEvent {
    /// One that is not understood is answered as one that is not known any more.
    fn parse(text: &str) -> Option<Place> {
        let (epoch, number) = text.split_once('-')?;
        Some(Place { epoch: Epoch(epoch.parse().ok()?), number: number.parse().ok()? })
    }
}

impl<S: Sync> FromRequestParts<S> for LastEvent {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let last = parts.headers.get("last-event-id").and_then(|it| it.to_str().ok());
        Ok(Self(last.and_then(Self::parse)))
    }
}

impl OperationInput for LastEvent {}

/// A stream without an end.
struct Live(Response);

impl IntoResponse for Live {
    fn into_response(self) -> Response {
        self.0
    }
}

impl OperationOutput for Live {
    type Inner = Self;

    fn inferred_responses(
        _: &mut GenContext,
        _: &mut Operation,
    ) -> Vec<(Option<u16>, aide::openapi::Response)> {
        let description = "`reset`: read everything anew; it comes first, unless `last-event-id` names an event that is still remembered. \
                           `job`: the job as it is listed. `job_deleted`: its `id`. `run`: the job told \
                           something of itself (a parameter, a metric, …), its `id` and `project`. `project`: somebody wrote \
                           something of it, its `name`. `node`: the machine as it is listed. `node_removed`: its `name`.";
        let response = aide::openapi::Response {
            description: description.into(),
            content: [("text/event-stream".to_owned(), MediaType::default())].into_iter().collect(),
            ..Default::default()
        };
        vec![(Some(200), response)]
    }
}
