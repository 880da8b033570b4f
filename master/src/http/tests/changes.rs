//! What was not committed, on its way from a submission to the job's files.

use super::*;

const DIFF: &str = "diff --git a/main.py b/main.py\n--- a/main.py\n+++ b/main.py\n@@ -1 +1 @@\n-1\n+ü\n# new: b.py\n";

fn changed(number: u8, bundle: &Value) -> Value {
    let mut body = submission(number, bundle);
    body["git"] = json!({ "commit": "c0ffee", "branch": "main", "dirty": true });
    body["git_diff"] = DIFF.into();
    body
}

#[tokio::test]
async fn a_diff_is_a_file_of_the_job_and_of_those_that_repeat_it() {
    let api = Api::new().await;
    let body = changed(7, &api.upload().await);
    let first = api.ada("POST", "/jobs", body.clone()).await.json();
    assert_eq!(first["created"], true);
    assert_eq!(api.ada("POST", "/jobs", body.clone()).await.json()["created"], false);
    let mut other = body;
    other["git_diff"] = "# new: c.py\n".into();
    api.ada("POST", "/jobs", other).await.refused(409, "spec_differs", "another content");

    let first = first["job"]["id"].as_str().unwrap().to_owned();
    let id = JobId::from_random([8; 16]).to_string();
    let again = json!({ "id": id });
    let again = api.ada("POST", &format!("/jobs/{first}/rerun"), again).await.json();
    assert_eq!(again["created"], true, "{again}");
    for job in [first, id] {
        let diff = &api.get(&format!("/jobs/{job}")).await.json()["git"]["diff"];
        assert_eq!((&diff["files"], &diff["bytes"]), (&json!(2), &json!(DIFF.len())));
        let listed = api.get(&format!("/jobs/{job}/files?path=git.diff")).await.json();
        assert_eq!(listed["files"][0]["bytes"], DIFF.len());
        let file = api.get(&format!("/jobs/{job}/files/git.diff")).await;
        assert_eq!(std::str::from_utf8(&file.body).unwrap(), DIFF);
    }
}

#[tokio::test]
async fn of_a_job_that_is_refused_nothing_stays() {
    let api = Api::new().await;
    let _node = api.world.join_at("a", 1, "127.0.0.1:1".into()).await;
    let mut body = changed(7, &api.upload().await);
    let folder = api.world.service.archive.job(JobId::from_random([7; 16]));
    body["overrides"]["ram_gb"] = "4000".into();
    let refused = api.ada("POST", "/jobs", body.clone()).await;
    assert!(refused.status.is_client_error(), "{}", refused.status);
    assert!(!folder.exists());
    body["git_diff"] = "x".repeat((256 << 10) + 1).into();
    api.ada("POST", "/jobs", body.clone()).await.refused(400, "invalid", "git_diff");
    body["git_diff"] = DIFF.into();
    body["git"] = Value::Null;
    api.ada("POST", "/jobs", body).await.refused(400, "invalid", "git_diff");
    assert!(!folder.exists());
}
