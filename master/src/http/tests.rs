//! The whole router on a real service layer.

mod changes;
mod incoming;
mod kept;
mod labels;
mod live;
mod projects;
mod runs;
mod usage;

use std::io::{Read, Write};

use atlas_core::{BundleId, JobId};
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tower::ServiceExt;

use super::*;
use crate::service::tests::World;

const PARAMS: &str = r#"{"n":1.10,"m":8888888888888888888888}"#;

struct Api {
    world: World,
    router: Router,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.body)))
    }

    /// The status, the code and the words of a refusal.
    #[track_caller]
    fn refused(&self, status: u16, code: &str, words: &str) {
        let said = self.json();
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!((self.status.as_u16(), said["code"].as_str()), (status, Some(code)), "{said}");
        assert_eq!(said["status"], status);
        assert!(said["detail"].as_str().unwrap().contains(words), "{said}");
    }
}

impl Api {
    async fn new() -> Self {
        let world = World::new().await;
        let app = App { service: world.service.clone(), metrics: Arc::new(Metrics::new()) };
        Self { world, router: routes(app) }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let (head, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
        assert_eq!(head.headers["x-content-type-options"], "nosniff");
        Answer { status: head.status, headers: head.headers, body }
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let uri = format!("/api/v1{path}");
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], Vec::new()).await
    }

    async fn ada(&self, method: &str, path: &str, body: Value) -> Answer {
        let headers = [("x-atlas-user", "ada"), ("content-type", "application/json")];
        // Numbers of parameters reach the job as they were written, so one is written that no parser keeps.
        let body = body.to_string().replace(r#"{"n":0}"#, PARAMS);
        self.ask(method, path, &headers, body.into()).await
    }

    /// A bundle with one file, uploaded in two pieces as the Python client does; what a submission says of it.
    async fn upload(&self) -> Value {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(2);
        tar.append_data(&mut header, "main.py", &b"1\n"[..]).unwrap();
        let tar = tar.into_inner().unwrap();
        let id = BundleId::from_sha256(Sha256::digest(&tar).into());
        let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&tar).unwrap();
        let gzip = gzip.finish().unwrap();
        let path = format!("/bundles/{id}/uploads/mine");
        let user = [("x-atlas-user", "ada")];
        let begun = self.ask("POST", &path, &user, Vec::new()).await.json();
        assert_eq!(begun, json!({ "known": false, "offset": 0 }));
        let (one, other) = gzip.split_at(20);
        let piece = format!("{path}?offset=0");
        assert_eq!(self.ask("PATCH", &piece, &user, one.into()).await.json()["offset"], 20);
        let again = self.ask("PATCH", &piece, &user, one.into()).await;
        again.refused(409, "wrong_offset", "goes on at byte 20");
        assert_eq!(again.json()["offset"], 20);
        let piece = format!("{path}?offset=20");
        self.ask("PATCH", &piece, &user, other.into()).await.json();
        let whole = self.ask("POST", &format!("{path}/finish"), &user, Vec::new()).await.json();
        assert_eq!(whole["id"], id.to_string());
        let begun = self.ask("POST", &path, &user, Vec::new()).await.json();
        assert_eq!(begun["known"], true);
        json!({ "id": id.to_string(), "tar_bytes": tar.len(), "files": 1 })
    }
}

fn submission(number: u8, bundle: &Value) -> Value {
    json!({
        "id": JobId::from_random([number; 16]).to_string(),
        "bundle": bundle,
        "dir_name": "mnist",
        "overrides": { "command": ["main.py"], "num_gpus": 0, "ram_gb": "0.5", "params": { "n": 0 } },
    })
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_with_a_code_and_the_way_on() {
    let api = Api::new().await;
    api.get("/jobs?porject=a").await.refused(400, "invalid", "did you mean project?");
    api.get("/jobs?user=a&user=b").await.refused(400, "invalid", "user is said twice");
    api.get("/jobs?limit=0").await.refused(400, "invalid", "0 is not between 1 and 1000");
    api.get("/jobs?cursor=x").await.refused(400, "invalid", "of no page of this listing");
    api.get("/nodes?x=1").await.refused(400, "invalid", "nothing can be asked for this way");
    api.get("/jobs/45540b52").await.refused(404, "no_job", "there is no job 45540b52");
    api.get("/jobs/%ff").await.refused(400, "invalid", "path");
    api.get("/nothing").await.refused(404, "no_such_page", "/api/v1/nothing");
    let patched = api.ask("PATCH", "/jobs", &[], Vec::new()).await;
    patched.refused(405, "no_such_method", "takes no PATCH");
    assert_eq!(patched.headers["allow"], "GET,HEAD,POST");
    let anonymous = api.ask("DELETE", "/queue", &[], Vec::new()).await;
    anonymous.refused(403, "denied", "the header x-atlas-user");
    let plain = api.ask("POST", "/jobs", &[("content-type", "text/plain")], b"{}".into()).await;
    plain.refused(415, "unsupported_body", "application/json");
    let mut list = submission(7, &Value::Null);
    list["overrides"]["params"] = json!([1]);
    api.ada("POST", "/jobs", list).await.refused(400, "invalid", "");
    let typo = api.ada("POST", "/jobs", json!({ "id": "x", "bundel": {} })).await;
    typo.refused(400, "invalid", "unknown field `bundel`");
}

#[tokio::test]
async fn what_somebody_has_is_not_sent_again_and_what_is_long_travels_compressed() {
    let api = Api::new().await;
    let version = api.get("/version").await;
    assert_eq!(version.json()["version"], crate::VERSION);
    let tag = version.headers["etag"].to_str().unwrap();
    let again = api.ask("GET", "/version", &[("if-none-match", tag)], Vec::new()).await;
    assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(again.headers["etag"], tag);

    let plain = api.get("/openapi.json").await;
    assert_eq!(plain.json()["openapi"], "3.1.0");
    let gzip = api.ask("GET", "/openapi.json", &[("accept-encoding", "gzip")], Vec::new()).await;
    assert_eq!(gzip.headers["content-encoding"], "gzip");
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(&*gzip.body).read_to_end(&mut text).unwrap();
    assert!(text == plain.body && gzip.body.len() * 4 < text.len());
    let zstd = api.ask("GET", "/openapi.json", &[("accept-encoding", "zstd")], Vec::new()).await;
    assert!(zstd::decode_all(&*zstd.body).unwrap() == plain.body);
}

#[tokio::test]
async fn a_bundle_and_a_job_come_in_and_the_same_again_is_the_same_job() {
    let api = Api::new().await;
    let asked = submission(7, &json!({ "id": "0".repeat(64), "tar_bytes": 1, "files": 1 }));
    api.ada("POST", "/jobs", asked).await.refused(409, "no_bundle", "upload it first");
    let bundle = api.upload().await;
    let asked = submission(7, &bundle);
    let taken = api.ada("POST", "/jobs", asked.clone()).await;
    assert_eq!(taken.status, StatusCode::CREATED, "{}", taken.json());
    let place = taken.headers["location"].to_str().unwrap().strip_prefix("/api/v1").unwrap();
    let job = api.get(place).await.json();
    assert_eq!((&job["project"], &job["user"]), (&json!("mnist"), &json!("ada")));
    assert_eq!(job["memory_bytes"], 500_000_000);
    let text = api.get(place).await.body;
    assert!(String::from_utf8(text).unwrap().contains(PARAMS));

    let again = api.ada("POST", "/jobs", asked.clone()).await;
    assert_eq!((again.status, again.json()["created"].clone()), (StatusCode::OK, json!(false)));
    let mut other = asked;
    other["overrides"]["command"] = json!(["other.py"]);
    api.ada("POST", "/jobs", other).await.refused(409, "spec_differs", "another content");
    let mut wrong = submission(8, &bundle);
    wrong["overrides"]["num_gpus"] = json!("two");
    let wrong = api.ada("POST", "/jobs", wrong).await;
    wrong.refused(400, "invalid", "num_gpus");
    assert_eq!(wrong.json()["field"], "num_gpus");
    let mut wanting = submission(9, &bundle);
    wanting["job_config_yaml"] = json!("worker: {secrets: [TOKEN]}");
    let wanting = api.ada("POST", "/jobs", wanting).await;
    wanting.refused(400, "secrets_wanted", "TOKEN");
    assert_eq!(wanting.json()["secrets"], json!(["TOKEN"]));
}

#[tokio::test]
async fn a_batch_waits_in_its_order_and_what_is_wrong_with_one_job_keeps_no_other() {
    let api = Api::new().await;
    let bundle = api.upload().await;
    let job = |number: u8| json!({ "id": JobId::from_random([number; 16]).to_string(), "overrides": { "command": ["main.py"] } });
    let mut jobs: Vec<Value> = (1..=200).map(job).collect();
    jobs[3]["overrides"]["command"] = json!([]);
    jobs[9] = jobs[8].clone();
    let asked = json!({ "bundle": bundle, "dir_name": "mnist", "jobs": jobs });
    let answer = api.ada("POST", "/jobs/batch", asked).await.json();
    let fates = answer["jobs"].as_array().unwrap();
    let ids = |it: &[Value]| it.iter().map(|it| it["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(fates), ids(&jobs));
    assert_eq!(fates[3]["problem"]["field"], "command");
    let created: Vec<Value> =
        fates.iter().filter(|it| it["created"] == true).map(|it| it["id"].clone()).collect();
    assert_eq!(created.len(), 198, "the broken one and the second of a pair are none");
    let queue = api.get("/queue?limit=1000").await.json();
    let waiting: Vec<Value> =
        queue["jobs"].as_array().unwrap().iter().map(|it| it["job"]["id"].clone()).collect();
    assert_eq!(waiting, created);
    api.ada("POST", "/jobs/batch", json!({ "bundle": bundle, "jobs": [] })).await.refused(
        400,
        "invalid",
        "0 are not between 1 and 10000",
    );
}

#[tokio::test]
async fn who_waits_for_a_job_hears_at_once_when_it_is_done_and_in_time_that_it_is_not() {
    let api = Api::new().await;
    let job = api.world.submit().await;
    let early = api.get(&format!("/jobs/{job}?wait=done&timeout_s=0")).await.json();
    assert_eq!(early["status"], "queued");
    let path = format!("/jobs/{job}?wait=done&timeout_s=600");
    let stop = format!("/jobs/{job}/stop");
    let (done, stopped) = tokio::join!(api.get(&path), api.ada("POST", &stop, Value::Null));
    assert_eq!(stopped.status, StatusCode::OK);
    let done = done.json();
    assert_eq!((&done["phase"], &done["cause"]), (&json!("done"), &json!("stopped-by ada")));
    api.ada("POST", &stop, Value::Null).await.refused(409, "already_ended", "failed");
    api.get(&format!("/jobs/{job}?timeout_s=601")).await.refused(400, "invalid", "601 s");
}

#[tokio::test]
async fn a_listing_goes_on_at_its_cursor() {
    let api = Api::new().await;
    let bundle = api.upload().await;
    for number in 1..=5 {
        assert_eq!(api.ada("POST", "/jobs", submission(number, &bundle)).await.status, 201);
    }
    let (mut seen, mut path) = (Vec::new(), "/jobs?limit=2".to_owned());
    loop {
        let page = api.get(&path).await.json();
        seen.extend(page["jobs"].as_array().unwrap().iter().map(|it| it["id"].clone()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        path = format!("/jobs?limit=2&cursor={next}");
    }
    let newest_first = (1..=5).rev().map(|it| json!(JobId::from_random([it; 16]).to_string()));
    assert_eq!(seen, newest_first.collect::<Vec<_>>());
}

#[tokio::test]
async fn projects_are_counted_with_what_their_jobs_can_be_compared_by() {
    let api = Api::new().await;
    let bundle = api.upload().await;
    for number in 1..=2 {
        let mut asked = submission(number, &bundle);
        asked["overrides"]["tags"] = json!({ "best": "" });
        api.ada("POST", "/jobs", asked).await.json();
    }
    api.ada("POST", "/jobs/01010101/stop", Value::Null).await.json();
    let projects = api.get("/projects").await.json();
    let mnist = &projects["projects"][0];
    let counts = ["jobs", "queued", "failed"].map(|it| mnist[it].clone());
    assert_eq!((&mnist["name"], counts), (&json!("mnist"), [json!(2), json!(1), json!(1)]));
    let project = api.get("/projects/mnist").await.json();
    assert_eq!(project["params"][0], json!({ "key": "m", "kinds": ["number"], "jobs": 2 }));
    assert_eq!(project["tags"][0], json!({ "key": "best", "kinds": ["text"], "jobs": 2 }));
    api.get("/projects/other").await.refused(404, "no_project", "other");
}
