//! Runs outside the scheduler.

use super::*;

fn run(number: u8, bundle: &Value) -> Value {
    json!({
        "id": JobId::from_random([number; 16]).to_string(),
        "bundle": bundle,
        "dir_name": "mnist",
        "host": "laptop",
        "started_ms": 1_790_000_000_000_u64,
        "command": ["main.py", "--lr", "0.1"],
        "tags": { "sweep": "3" },
        "git": { "commit": "c0ffee", "branch": "main", "dirty": true },
        "git_diff": "# new: main.py\n",
    })
}

fn end(code: i32, log_bytes: usize) -> Value {
    json!({ "exit_code": code, "ended_ms": 1_790_000_007_000_u64, "log_bytes": log_bytes, "spool_bytes": 0 })
}

impl Api {
    async fn spool(&self, place: &str, offset: usize, text: &str) -> Answer {
        let path = format!("{place}/spool?offset={offset}");
        self.ask("POST", &path, &[("x-atlas-user", "ada")], text.into()).await
    }

    async fn log(&self, place: &str, offset: usize, text: &str) -> Answer {
        let path = format!("{place}/log?offset={offset}");
        self.ask("POST", &path, &[("x-atlas-user", "ada")], text.into()).await
    }
}

#[tokio::test]
async fn a_run_outside_begins_tells_its_log_and_ends_as_it_says() {
    let api = Api::new().await;
    let bundle = api.upload().await;
    let asked = run(7, &bundle);
    let begun = api.ada("POST", "/runs", asked.clone()).await;
    assert_eq!(begun.status, StatusCode::CREATED, "{}", begun.json());
    let again = api.ada("POST", "/runs", asked.clone()).await;
    assert_eq!((again.status, again.json()["created"].clone()), (StatusCode::OK, json!(false)));
    let id = asked["id"].as_str().unwrap();
    let (place, job) = (format!("/runs/{id}"), format!("/jobs/{id}"));
    let diff = api.get(&format!("{job}/files/git.diff")).await;
    assert_eq!(std::str::from_utf8(&diff.body).unwrap(), "# new: main.py\n");
    let now = api.get(&job).await.json();
    assert_eq!(now["git"]["diff"]["files"], 1);
    assert_eq!((&now["status"], &now["host"]), (&json!("running"), &json!("laptop")), "{now}");
    assert_eq!((&now["started_ms"], &now["node"]), (&asked["started_ms"], &Value::Null));

    assert_eq!(api.log(&place, 0, "one\n").await.json(), json!({ "offset": 4, "stop": false }));
    // A reply that was lost, and one that is ahead of what is there.
    assert_eq!(api.log(&place, 0, "one\ntwo\n").await.json()["offset"], 8);
    assert_eq!(api.log(&place, 20, "later").await.json()["offset"], 8);
    let short = api.ada("POST", &format!("{place}/end"), end(3, 9)).await;
    short.refused(400, "invalid", "the log has 8 bytes here");
    api.ada("POST", &format!("{job}/stop"), json!({})).await;
    assert_eq!(api.log(&place, 8, "").await.json(), json!({ "offset": 8, "stop": true }));

    let ended = api.ada("POST", &format!("{place}/end"), end(3, 8)).await.json();
    assert_eq!((&ended["status"], &ended["cause"]), (&json!("failed"), &json!("exit-code 3")));
    assert_eq!(api.log(&place, 8, "late").await.json()["code"], "not_outside");
    let log = api
        .world
        .service
        .clone()
        .read_log(atlas_proto::wire::ReadLogRequest { job: id.into(), ..Default::default() });
    let chunk = log.await.unwrap().recv().await.unwrap().unwrap();
    assert_eq!(chunk.data, "one\ntwo\n");
}

#[tokio::test]
async fn who_follows_the_log_of_a_run_outside_reads_it_as_it_comes() {
    let api = Api::new().await;
    let asked = run(7, &api.upload().await);
    api.ada("POST", "/runs", asked.clone()).await;
    let id = asked["id"].as_str().unwrap();
    let request =
        atlas_proto::wire::ReadLogRequest { job: id.into(), follow: true, ..Default::default() };
    let mut log = api.world.service.clone().read_log(request).await.unwrap();
    let place = format!("/runs/{id}");
    for (offset, line) in [(0, "one\n"), (4, "two\n"), (8, "end\n")] {
        api.log(&place, offset, line).await;
        assert_eq!(log.recv().await.unwrap().unwrap().data, line);
    }
    api.ada("POST", &format!("{place}/end"), end(0, 12)).await;
    assert!(log.recv().await.is_none());
}

#[tokio::test]
async fn what_is_no_run_outside_is_refused_with_the_field() {
    let api = Api::new().await;
    let bundle = api.upload().await;
    let mut wrong = run(7, &bundle);
    wrong["started_ms"] = json!(u64::MAX / 2);
    api.ada("POST", "/runs", wrong).await.refused(400, "invalid", "started_ms: is in the future");
    let mut wrong = run(7, &bundle);
    wrong["host"] = json!("a\nb");
    api.ada("POST", "/runs", wrong).await.refused(400, "invalid", "host: ");
    let missing = json!({ "id": "0".repeat(64), "tar_bytes": 1, "files": 1 });
    api.ada("POST", "/runs", run(7, &missing)).await.refused(409, "no_bundle", "upload it first");

    let job = submission(8, &bundle);
    api.ada("POST", "/jobs", job.clone()).await;
    let place = format!("/runs/{}", job["id"].as_str().unwrap());
    api.log(&place, 0, "mine").await.refused(409, "not_outside", "is no run outside");
    let mut both = end(3, 0);
    both["signal"] = json!(9);
    let both = api.ada("POST", &format!("{place}/end"), both).await;
    both.refused(400, "invalid", "exit_code: a process that a signal ended");
}

#[tokio::test]
async fn how_a_run_outside_ended_is_not_known_where_it_does_not_say() {
    let api = Api::new().await;
    let bundle = api.upload().await;
    for (number, stop, cause) in [(7, false, "unknown"), (8, true, "stopped-by ada")] {
        let asked = run(number, &bundle);
        api.ada("POST", "/runs", asked.clone()).await;
        let id = asked["id"].as_str().unwrap();
        if stop {
            api.ada("POST", &format!("/jobs/{id}/stop"), json!({})).await;
        }
        let mut unseen = end(0, 0);
        unseen["exit_code"] = Value::Null;
        unseen["stopped"] = json!(stop);
        let ended = api.ada("POST", &format!("/runs/{id}/end"), unseen).await.json();
        assert_eq!((&ended["status"], &ended["cause"]), (&json!("failed"), &json!(cause)));
    }
}

#[tokio::test]
async fn what_a_run_outside_tells_counts_once_and_is_found_by_job_and_metric() {
    let api = Api::new().await;
    let asked = run(7, &api.upload().await);
    api.ada("POST", "/runs", asked.clone()).await;
    let id = asked["id"].as_str().unwrap();
    let (place, job) = (format!("/runs/{id}"), format!("/jobs/{id}"));
    let point = |step: usize, value: &str| {
        format!(
            "{{\"e\":\"metric\",\"key\":\"train/loss\",\"value\":{value},\"step\":{step},\"at\":1}}\n"
        )
    };
    let first = "{\"e\":\"param\",\"key\":\"lr\",\"value\":0.1}\n".to_owned()
        + "{\"e\":\"param\",\"key\":\"large\",\"value\":{\"$int\":\"88888888888888888888888888\"}}\n"
        + &(0..5000).map(|it| point(it, &(it * 7 % 1000).to_string())).collect::<String>();
    let second = point(5000, "{\"$float\":\"nan\"}") + "this is no event\n{\"e\":";
    for (offset, text) in [(0, &first), (0, &first), (first.len(), &second)] {
        assert_eq!(api.spool(&place, offset, text).await.status, StatusCode::OK);
    }
    let there = first.len() + second.len() - "{\"e\":".len();
    let heard = api.spool(&place, there, "").await.json();
    assert_eq!(
        heard,
        json!({ "offset": there, "stop": false, "wanted": [] }),
        "a line without an end waits for it"
    );

    let told = api.get(&format!("{job}/run")).await.json();
    assert_eq!(told["params"]["large"], json!({ "$int": "88888888888888888888888888" }));
    let metric = &told["metrics"]["train/loss"];
    assert_eq!((&metric["count"], &metric["last"]), (&json!(5001), &json!({ "$float": "nan" })));
    assert_eq!((&metric["min"]["value"], &metric["max"]["value"]), (&json!(0), &json!(999)));
    assert_eq!(told["left_out"]["unreadable"], 1);

    let series = api.get(&format!("{job}/series?key=train/loss&points=100")).await.json();
    let (steps, values) = (&series["steps"], series["values"].as_array().unwrap());
    assert_eq!((&series["total"], steps[0].clone()), (&json!(5001), json!(0)));
    assert!(values.len() <= 100 && values.contains(&json!(999)) && values.contains(&json!(0)));
    let all = json!({ "jobs": [id, &id[..8]], "keys": ["train/loss", "none"], "points": 0 });
    let all = api.ada("POST", "/series", all).await.json();
    let lengths = |it: &Value| it["values"].as_array().unwrap().len();
    let all: Vec<usize> = all["series"].as_array().unwrap().iter().map(lengths).collect();
    assert_eq!(all, [5001, 5001]);
    let none = api.get(&format!("{job}/series?key=none")).await;
    none.refused(404, "no_metric", "has logged no metric \"none\"");

    let mut short = end(0, 0);
    let early = api.ada("POST", &format!("{place}/end"), short.clone()).await;
    early.refused(400, "invalid", "send the rest before the end");
    short["spool_bytes"] = json!(there);
    let ended = api.ada("POST", &format!("{place}/end"), short).await.json();
    assert_eq!(ended["status"], "completed");
    api.spool(&place, there, "x").await.refused(409, "not_outside", "is no run outside");
}

#[tokio::test]
async fn runs_are_listed_with_what_was_submitted_and_what_they_told() {
    let api = Api::new().await;
    let bundle = api.upload().await;
    let (one, mut other) = (run(7, &bundle), run(8, &bundle));
    other["params"] = json!({ "net": { "sizes": [64, 32] }, "lr": 1 });
    for asked in [&one, &other] {
        assert_eq!(api.ada("POST", "/runs", asked.clone()).await.status, StatusCode::CREATED);
    }
    let told = "{\"e\":\"param\",\"key\":\"lr\",\"value\":0.1,\"at\":1}\n".to_owned()
        + "{\"e\":\"tag\",\"key\":\"best\",\"value\":\"yes\",\"at\":1}\n"
        + "{\"e\":\"name\",\"value\":\"second\",\"at\":1}\n"
        + "{\"e\":\"metric\",\"key\":\"acc\",\"value\":{\"$float\":\"inf\"},\"step\":3,\"at\":1}\n";
    let place = format!("/runs/{}", other["id"].as_str().unwrap());
    assert_eq!(api.spool(&place, 0, &told).await.status, StatusCode::OK);

    let page = api.get("/runs?project=mnist&sort=-metrics.acc&limit=1").await.json();
    assert_eq!((&page["total"], page["runs"].as_array().unwrap().len()), (&json!(2), 1), "{page}");
    let found = &page["runs"][0];
    assert_eq!((&found["job"]["id"], &found["name"]), (&other["id"], &json!("second")));
    assert_eq!(found["tags"], json!({ "sweep": "3", "best": "yes" }));
    assert_eq!(found["params"], json!({ "lr": 0.1, "net_sizes_0": 64, "net_sizes_1": 32 }));
    let acc = &found["metrics"]["acc"];
    assert_eq!((&acc["last"], &acc["last_step"]), (&json!({ "$float": "inf" }), &json!(3)));
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = format!("/runs?project=mnist&sort=-metrics.acc&limit=1&cursor={cursor}");
    let rest = api.get(&rest).await.json();
    assert_eq!((&rest["runs"][0]["job"]["id"], &rest["next_cursor"]), (&one["id"], &Value::Null));
    assert_eq!(rest["runs"][0]["metrics"], json!({}));
    let wrong = api.get("/runs?filter=metric.acc%3C1").await;
    wrong.refused(400, "invalid", "did you mean metrics.acc?");
}
