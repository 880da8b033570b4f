//! What people write of projects.

use super::*;

impl Api {
    /// With this many jobs in the project mnist.
    async fn with_jobs(jobs: u8) -> Self {
        let api = Self::new().await;
        let bundle = api.upload().await;
        for number in 1..=jobs {
            api.ada("POST", "/jobs", submission(number, &bundle)).await.json();
        }
        api
    }
}

#[tokio::test]
async fn a_project_is_described_and_says_so_to_whoever_listens() {
    let api = Api::with_jobs(1).await;
    let before = api.get("/projects/mnist").await;
    assert_eq!(before.json()["description"], "");
    let text = "# What it is\n\n<script>alert(1)</script> \u{1F680}";
    let change = json!({ "description": text });
    let project = api.ada("PATCH", "/projects/mnist", change.clone()).await.json();
    assert_eq!((&project["description"], &project["jobs"]), (&json!(text), &json!(1)));
    let after = api.get("/projects/mnist").await;
    assert_eq!(after.json(), project);
    assert_ne!(before.headers["etag"], after.headers["etag"]);
    assert_eq!(api.ada("PATCH", "/projects/mnist", json!({})).await.json(), project);

    let nobody = [("content-type", "application/json")];
    let body = change.to_string();
    let refused = api.ask("PATCH", "/projects/mnist", &nobody, body.into()).await;
    refused.refused(403, "denied", "the header x-atlas-user");
    for name in ["nothing", "no%20name"] {
        let path = format!("/projects/{name}");
        api.ada("PATCH", &path, change.clone()).await.refused(404, "no_project", "no project");
    }
    let too_long = json!({ "description": "x".repeat(64 * 1024 + 1) });
    let refused = api.ada("PATCH", "/projects/mnist", too_long).await;
    refused.refused(400, "invalid", "65536 are the most");
    assert_eq!(refused.json()["field"], "description");
    let refused = api.ada("PATCH", "/projects/mnist", json!({ "name": "other" })).await;
    refused.refused(400, "invalid", "unknown field `name`");
}

#[tokio::test]
async fn notes_have_an_author_and_a_time_and_are_removed_one_by_one() {
    let api = Api::with_jobs(1).await;
    let path = "/projects/mnist/notes";
    assert_eq!(api.get(path).await.json(), json!({ "notes": [] }));
    for text in ["lr was too high", "*better*"] {
        api.ada("POST", path, json!({ "text": text })).await.json();
    }
    let notes = api.get(path).await.json();
    let [first, second] = notes["notes"].as_array().unwrap().as_slice() else { panic!("{notes}") };
    assert_eq!((&first["author"], &first["text"]), (&json!("ada"), &json!("lr was too high")));
    assert!(first["at_ms"].as_u64().unwrap() <= second["at_ms"].as_u64().unwrap());
    assert_eq!(api.get("/projects/mnist").await.json()["notes"], 2);

    let gone = format!("{path}/{}", first["id"]);
    assert_eq!(api.ada("DELETE", &gone, Value::Null).await.json(), json!({ "id": first["id"] }));
    api.ada("DELETE", &gone, Value::Null).await.refused(404, "no_note", "mnist has no note 1");
    api.ada("DELETE", &format!("{path}/x"), Value::Null).await.refused(400, "invalid", "");
    assert_eq!(api.get(path).await.json()["notes"], json!([second]));
    let empty = api.ada("POST", path, json!({ "text": " " })).await;
    empty.refused(400, "invalid", "text: is empty");
    api.get("/projects/other/notes").await.refused(404, "no_project", "other");
}

#[tokio::test]
async fn changes_that_come_together_are_all_kept() {
    let api = Api::with_jobs(1).await;
    let add = |number: u8| api.ada("POST", "/projects/mnist/notes", json!({ "text": number }));
    let refused = add(1).await;
    refused.refused(400, "invalid", "expected a string");
    let add = |number: u8| {
        api.ada("POST", "/projects/mnist/notes", json!({ "text": number.to_string() }))
    };
    let added = futures::future::join_all((0..20).map(add)).await;
    assert!(added.iter().all(|it| it.status == StatusCode::OK));
    let notes = api.get("/projects/mnist/notes").await.json();
    let ids: Vec<_> = notes["notes"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
    assert_eq!(ids, (1..=20).map(|it| json!(it)).collect::<Vec<_>>().iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_project_has_a_rule_for_what_its_jobs_wrote() {
    let api = Api::with_jobs(1).await;
    let path = "/projects/mnist";
    assert_eq!(api.get(path).await.json()["retention"], "off");
    let set = async |rule: &str| api.ada("PATCH", path, json!({ "retention": rule })).await;
    assert_eq!(set("outputs 36h").await.json()["retention"], "outputs 1d12h");
    let refused = set("output 30d").await;
    refused.refused(400, "invalid", "write `outputs 30d`");
    assert_eq!(refused.json()["field"], "retention");
    assert_eq!(api.get(path).await.json()["retention"], "outputs 1d12h");
    assert_eq!(set("off").await.json()["retention"], "off");
}
