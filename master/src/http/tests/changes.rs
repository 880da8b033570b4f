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
async fn the_jobs_of_a_batch_share_one_file_until_one_of_them_goes() {
    let api = Api::new().await;
    let _node = api.world.join_at("a", 1, "127.0.0.1:1".into()).await;
    let id = |number: u8| JobId::from_random([number; 16]);
    let mut jobs: Vec<Value> =
        [7, 8, 9].iter().map(|it| json!({ "id": id(*it).to_string() })).collect();
    jobs[1]["overrides"] = json!({ "ram_gb": "4000" });
    let mut body = changed(7, &api.upload().await);
    body.as_object_mut().unwrap().remove("id");
    let shared = body.as_object_mut().unwrap().remove("overrides").unwrap_or_default();
    for job in &mut jobs {
        let own = job["overrides"].as_object().cloned().unwrap_or_default();
        job["overrides"] = shared.clone();
        job["overrides"].as_object_mut().unwrap().extend(own);
    }
    body["jobs"] = json!(jobs);
    for created in [true, false] {
        let fates = api.ada("POST", "/jobs/batch", body.clone()).await.json();
        for (place, is_taken) in [(0, true), (1, false), (2, true)] {
            let fate = &fates["jobs"][place];
            assert_eq!(fate["created"], json!(is_taken && created), "{fate}");
            assert_eq!(fate["problem"].is_null(), is_taken, "{fate}");
        }
    }
    let path = |number| api.world.service.archive.job(id(number)).join("git.diff");
    assert!(!path(8).parent().unwrap().exists(), "of the one that was refused");
    let links = std::os::unix::fs::MetadataExt::nlink(&std::fs::metadata(path(7)).unwrap());
    assert_eq!(links, 2);
    std::fs::remove_file(path(7)).unwrap();
    assert_eq!(std::fs::read_to_string(path(9)).unwrap(), DIFF);
    let diff = &api.get(&format!("/jobs/{}", id(9))).await.json()["git"]["diff"];
    assert_eq!((&diff["files"], &diff["bytes"]), (&json!(2), &json!(DIFF.len())));

    body["git_diff"] = "x".repeat((256 << 10) + 1).into();
    api.ada("POST", "/jobs/batch", body).await.refused(400, "invalid", "git_diff");
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
