//! What jobs occupy.

use std::fs;

use super::*;
use crate::service::WantedUsage;

fn names(usage: &Value) -> Vec<(&str, u64)> {
    let groups = usage["groups"].as_array().unwrap().iter();
    groups.map(|it| (it["name"].as_str().unwrap(), it["total_bytes"].as_u64().unwrap())).collect()
}

#[tokio::test]
async fn jobs_are_summed_up_by_what_they_left_and_a_bundle_that_they_share_counts_once() {
    let api = Api::new().await;
    let empty = api.get("/usage").await.json();
    assert_eq!((&empty["groups"], &empty["total"]["jobs"]), (&json!([]), &json!(0)));
    let bundle = api.upload().await;
    let id = |number: u8| JobId::from_random([number; 16]);
    for (number, project) in [(1, "mnist"), (2, "mnist"), (3, "digits")] {
        let mut submission = submission(number, &bundle);
        submission["overrides"]["project"] = json!(project);
        api.ada("POST", "/jobs", submission).await.json();
        let job = api.world.service.archive.job(id(number));
        fs::create_dir_all(job.join("outputs/deep")).unwrap();
        fs::write(job.join("outputs/deep/model"), "x".repeat(1000 * usize::from(number))).unwrap();
        fs::create_dir_all(job.join("log")).unwrap();
        fs::write(job.join("log/1.log"), "line").unwrap();
    }
    let usage = api.get("/usage?by=project").await.json();
    let total = &usage["total"];
    let bytes = total["bundles_bytes"].as_u64().unwrap();
    assert!(bytes > 0, "{usage}");
    assert_eq!((&total["outputs_bytes"], &total["log_bytes"]), (&json!(6000), &json!(12)));
    assert_eq!((&total["jobs"], &total["unmeasured"]), (&json!(3), &json!(0)));
    assert_eq!(total["total_bytes"], json!(6012 + bytes));
    let equal = [("digits", 3004 + bytes), ("mnist", 3008 + bytes)];
    assert_eq!(names(&usage), [equal[1], equal[0]]);
    assert_eq!(usage["groups"][0]["jobs"], 2);
    assert_eq!(names(&api.get("/usage?by=user").await.json()), [("ada", 6012 + bytes)]);

    let largest = api.get("/usage?by=job&limit=1").await.json();
    assert_eq!(names(&largest), [(&*id(3).to_string(), 3004 + bytes)]);
    assert_eq!((&largest["more"], &largest["total"]), (&json!(2), total));
    let some = api.get("/usage?filter=project%3Ddigits").await.json();
    assert_eq!((names(&some), &some["total"]["jobs"]), (vec![equal[0]], &json!(1)));
    let ended = WantedUsage { ended: true, ..WantedUsage::default() };
    assert_eq!(api.world.service.usage(&ended).await.unwrap().total.jobs, 0);
    api.get("/usage?by=node").await.refused(400, "invalid", "none of project, user, job");
    api.get("/usage?filter=x%3D").await.refused(400, "invalid", "filter");
}
