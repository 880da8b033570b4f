//! Names and tags, changed afterwards; columns of what jobs told.

use super::*;

impl Api {
    /// A run outside the scheduler that told this much; where it is.
    async fn told(&self, number: u8, bundle: &Value, lines: &[Value]) -> String {
        let id = JobId::from_random([number; 16]).to_string();
        let asked = json!({
            "id": id, "bundle": bundle, "dir_name": "mnist", "host": "laptop",
            "started_ms": 1_790_000_000_000_u64, "command": ["main.py"],
            "name": "as submitted", "tags": { "given": "1", "old": "" },
        });
        self.ada("POST", "/runs", asked).await.json();
        self.tell(&id, 0, lines).await;
        format!("/jobs/{id}")
    }

    /// Where its spool ends then.
    async fn tell(&self, id: &str, offset: usize, lines: &[Value]) -> usize {
        let text: String = lines.iter().map(|it| format!("{it}\n")).collect();
        let end = offset + text.len();
        let path = format!("/runs/{id}/spool?offset={offset}");
        let told = self.ask("POST", &path, &[("x-atlas-user", "ada")], text.into()).await.json();
        assert_eq!(told["offset"], end, "{told}");
        end
    }

    async fn labels(&self, job: &str) -> (Value, Value) {
        let job = self.get(job).await.json();
        (job["name"].clone(), job["tags"].clone())
    }

    async fn found(&self, filter: &str) -> Value {
        let filter = filter.replace(' ', "%20").replace('=', "%3D").replace('"', "%22");
        self.get(&format!("/jobs?filter={filter}")).await.json()["total"].clone()
    }
}

#[tokio::test]
async fn a_name_and_tags_are_changed_and_found_by_what_they_are_now() {
    let api = Api::new().await;
    let bundle = api.upload().await;
    let tag = |key: &str, value: &str| json!({ "e": "tag", "key": key, "value": value });
    let job = api.told(1, &bundle, &[tag("own", "a")]).await;
    let before = api.get(&job).await;
    assert_eq!(before.json()["tags"], json!({ "given": "1", "old": "", "own": "a" }));

    let change = json!({ "name": "the best", "tags": { "own": null, "given": "2", "old": null, "new": "" } });
    let changed = api.ada("PATCH", &job, change).await.json();
    let now = (json!("the best"), json!({ "given": "2", "new": "" }));
    assert_eq!((&changed["name"], &changed["tags"]), (&now.0, &now.1));
    assert_eq!(api.labels(&job).await, now);
    let after = api.get(&job).await;
    assert_ne!(before.headers["etag"], after.headers["etag"]);
    let listed = &api.get("/jobs").await.json()["jobs"][0];
    assert_eq!((&listed["name"], &listed["tags"]), (&now.0, &now.1));
    for (filter, total) in [
        ("tags.own exists", 0),
        ("tags.old exists", 0),
        ("tags.given=2", 1),
        ("tags.new exists", 1),
        ("name=\"the best\"", 1),
        ("name=\"as submitted\"", 0),
    ] {
        assert_eq!(api.found(filter).await, total, "{filter}");
    }
    let keys = api.get("/projects/mnist").await.json();
    let keys: Vec<_> = keys["tags"].as_array().unwrap().iter().map(|it| &it["key"]).collect();
    assert_eq!(keys, ["given", "new"]);

    // What the job tells later is later.
    let id = job.trim_start_matches("/jobs/");
    let offset = format!("{}\n", tag("own", "a")).len();
    api.tell(id, offset, &[tag("own", "b")]).await;
    assert_eq!(api.labels(&job).await.1, json!({ "given": "2", "new": "", "own": "b" }));
}

#[tokio::test]
async fn what_is_no_name_or_tag_is_refused_and_changes_nothing() {
    let api = Api::new().await;
    let bundle = api.upload().await;
    let job = api.told(1, &bundle, &[]).await;
    let before = api.labels(&job).await;
    let long = "x".repeat(1001);
    for (change, field) in [
        (json!({ "name": "" }), "name"),
        (json!({ "name": "fine", "tags": { "a": long } }), "tags.a"),
        (json!({ "tags": { "a\nb": "" } }), "tags.a\nb"),
        (json!({ "tag": {} }), "body"),
    ] {
        let refused = api.ada("PATCH", &job, change).await;
        refused.refused(400, "invalid", "");
        assert_eq!(refused.json()["field"], field);
    }
    assert_eq!(api.labels(&job).await, before);
    let nobody = [("content-type", "application/json")];
    let refused = api.ask("PATCH", &job, &nobody, b"{\"name\":\"x\"}".into()).await;
    refused.refused(403, "denied", "the header x-atlas-user");
    api.ada("PATCH", "/jobs/45540b52", json!({})).await.refused(404, "no_job", "45540b52");
}

#[tokio::test]
async fn a_listing_shows_the_parameters_and_metrics_that_it_is_asked_for() {
    let api = Api::new().await;
    let bundle = api.upload().await;
    let metric = |value: f64| json!({ "e": "metric", "key": "loss", "value": value });
    let lr = json!({ "e": "param", "key": "lr", "value": 0.1 });
    api.told(1, &bundle, &[metric(0.5), metric(0.25), lr]).await;
    api.told(2, &bundle, &[metric(0.75)]).await;
    let page = api.get("/jobs?columns=params.lr,metrics.loss.min,tags.given").await.json();
    assert_eq!(page["columns"], json!(["params.lr", "metrics.loss.min", "tags.given"]));
    let columns = |at: usize| page["jobs"][at]["columns"].clone();
    assert_eq!(columns(0), json!({ "metrics.loss.min": 0.75, "tags.given": "1" }));
    let first = json!({ "params.lr": 0.1, "metrics.loss.min": 0.25, "tags.given": "1" });
    assert_eq!(columns(1), first);
    let all = api.get("/jobs?columns=*").await.json();
    assert_eq!(all["columns"], json!(["params.lr", "metrics.loss"]));
    let plain = api.get("/jobs").await.json();
    assert_eq!((&plain["columns"], &plain["jobs"][0]["columns"]), (&json!([]), &json!({})));
    let sorted = api.get("/jobs?sort=metrics.loss.max").await.json();
    assert_eq!(sorted["columns"], json!(["metrics.loss.max"]));
    let wrong = api.get("/jobs?columns=params.lr,lr").await;
    wrong.refused(400, "invalid", "");
    assert_eq!(wrong.json()["field"], "columns");
}
