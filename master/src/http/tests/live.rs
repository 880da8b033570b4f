//! Server-sent events, as a browser hears them.

use std::time::Duration;

use axum::body::BodyDataStream;
use futures::StreamExt;

use super::*;

const SOON: Duration = Duration::from_secs(8);

struct Live {
    body: BodyDataStream,
    text: String,
}

#[derive(Debug)]
struct Heard {
    event: String,
    id: String,
    data: Value,
}

impl Live {
    async fn listen(api: &Api, query: &str, last: Option<&str>) -> Self {
        let mut request = Request::builder().uri(format!("/api/v1/events{query}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = api.router.clone().oneshot(request.body(Body::empty()).unwrap()).await;
        let response = response.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// `None` = the stream ended.
    async fn next(&mut self) -> Option<Heard> {
        let end = loop {
            if let Some(end) = self.text.find("\n\n") {
                break end;
            }
            let more = tokio::time::timeout(SOON, self.body.next()).await.expect("nothing comes");
            self.text.push_str(std::str::from_utf8(&more?.unwrap()).unwrap());
        };
        let one: String = self.text.drain(..end + 2).collect();
        let field = |name: &str| {
            let line = one.lines().find_map(|it| it.strip_prefix(name));
            line.unwrap_or_else(|| panic!("{one}")).trim().to_owned()
        };
        let data = serde_json::from_str(&field("data:")).unwrap();
        Some(Heard { event: field("event:"), id: field("id:"), data })
    }
}

#[tokio::test]
async fn who_listens_hears_of_every_change_and_goes_on_after_a_break() {
    let api = Api::new().await;
    let mut live = Live::listen(&api, "", None).await;
    assert_eq!(live.next().await.unwrap().event, "reset");
    let job = api.world.submit().await;
    let queued = live.next().await.unwrap();
    assert_eq!((&*queued.event, queued.data["status"].as_str()), ("job", Some("queued")));
    drop(live);
    api.ada("POST", &format!("/jobs/{job}/stop"), Value::Null).await;
    let mut live = Live::listen(&api, "", Some(&queued.id)).await;
    let failed = live.next().await.unwrap();
    assert_eq!((&*failed.event, failed.data["status"].as_str()), ("job", Some("failed")));

    let (epoch, number) = failed.id.split_once('-').unwrap();
    for unknown in [format!("{epoch}9-{number}"), format!("{epoch}-{number}9"), "x".to_owned()] {
        let mut late = Live::listen(&api, "", Some(&unknown)).await;
        let reset = late.next().await.unwrap();
        assert_eq!((reset.event, reset.id), ("reset".to_owned(), failed.id.clone()), "{unknown}");
    }
    api.world.tasks.cancel();
    assert!(live.next().await.is_none(), "it outlives the master");
}

#[tokio::test]
async fn who_listens_to_a_job_or_a_project_hears_of_nothing_else() {
    let api = Api::new().await;
    let bundle = api.upload().await;
    let job = |it: u8| JobId::from_random([it; 16]).to_string();
    api.ada("POST", "/jobs", submission(1, &bundle)).await;
    let mut of_job = Live::listen(&api, &format!("?job={}", job(1)), None).await;
    let mut of_project = Live::listen(&api, "?project=other", None).await;
    let mut other = submission(2, &bundle);
    other["dir_name"] = json!("other");
    for live in [&mut of_job, &mut of_project] {
        assert_eq!(live.next().await.unwrap().event, "reset");
    }
    api.ada("POST", "/jobs", other).await;
    api.ada("POST", &format!("/jobs/{}/stop", job(1)), Value::Null).await;
    api.ada("POST", &format!("/jobs/{}/stop", job(2)), Value::Null).await;
    assert_eq!(of_job.next().await.unwrap().data["id"], job(1));
    let mut last = of_project.next().await.unwrap();
    while last.data["status"] != "failed" {
        assert_eq!(last.data["id"], job(2));
        last = of_project.next().await.unwrap();
    }
    let answer = api.get("/events?job=45540b52").await;
    answer.refused(404, "no_job", "45540b52");
}
