//! Files that jobs keep by themselves while they go on.

use super::*;

/// A run outside the scheduler, which goes on.
struct Outside {
    api: Api,
    id: String,
}

fn sha256(text: &str) -> String {
    BundleId::from_sha256(Sha256::digest(text).into()).to_string()
}

fn file(path: &str, text: &str) -> Value {
    json!({ "path": path, "bytes": text.len(), "sha256": sha256(text) })
}

impl Outside {
    async fn new() -> Self {
        let api = Api::new().await;
        let id = JobId::from_random([7; 16]).to_string();
        let bundle = api.upload().await;
        let (started_ms, command) = (1_790_000_000_000_u64, ["main.py"]);
        let run = json!({
            "id": id, "bundle": bundle, "dir_name": "mnist", "host": "laptop", "started_ms": started_ms, "command": command,
        });
        assert_eq!(api.ada("POST", "/runs", run).await.status, StatusCode::CREATED);
        Self { api, id }
    }

    async fn bytes(&self, method: &str, path: &str, text: &str) -> Answer {
        let path = path.replace("ID", &self.id);
        self.api.ask(method, &path, &[("x-atlas-user", "ada")], text.to_owned().into()).await
    }

    async fn artifact(&self, path: &str, text: &str) -> Answer {
        let (bytes, sha256) = (text.len(), sha256(text));
        let path = format!("/runs/ID/artifacts/{path}?bytes={bytes}&sha256={sha256}");
        self.bytes("PUT", &path, text).await
    }

    async fn content(&self, text: &str) -> Answer {
        let (bytes, sha256) = (text.len(), sha256(text));
        let path = format!("/jobs/ID/synced-content/{sha256}?bytes={bytes}&offset=0");
        self.bytes("PUT", &path, text).await
    }

    async fn replace(&self, key: &str, files: &[Value]) -> Answer {
        let path = format!("/jobs/{}/synced/{key}", self.id);
        self.api.ada("PUT", &path, json!({ "files": files })).await
    }

    async fn files(&self, below: &str) -> Vec<String> {
        let listed = self.api.get(&format!("/jobs/{}/files", self.id)).await.json();
        let files = listed["files"].as_array().unwrap().iter();
        let files = files.filter(|it| it["kind"] == "file").map(|it| it["path"].as_str().unwrap());
        files.filter(|it| it.starts_with(below)).map(str::to_owned).collect()
    }

    async fn read(&self, path: &str) -> String {
        let answer = self.api.get(&format!("/jobs/{}/files/{path}", self.id)).await;
        String::from_utf8(answer.body).unwrap()
    }

    async fn end(&self, spool: usize) {
        let ended = 1_790_000_007_000_u64;
        let end =
            json!({ "exit_code": 0, "ended_ms": ended, "log_bytes": 0, "spool_bytes": spool });
        let path = format!("/runs/{}/end", self.id);
        assert_eq!(self.api.ada("POST", &path, end).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn what_a_run_outside_saved_is_there_before_the_line_that_names_it() {
    let run = Outside::new().await;
    let line = |key: &str, path: &str| {
        format!("{{\"e\":\"artifact\",\"key\":\"{key}\",\"path\":\"{path}\",\"bytes\":3}}\n")
    };
    let spool = format!("{}{}", line("model", "1/m"), line("gone", "2/g"));
    let send = async |query: &str| {
        let path = format!("/runs/ID/spool?offset=0&files=true{query}");
        run.bytes("POST", &path, &spool).await.json()
    };
    let first = send("").await;
    assert_eq!((&first["offset"], &first["wanted"]), (&json!(0), &json!(["1/m", "2/g"])));
    assert_eq!(send("&kept=1/m").await["offset"], 0, "what is not there is not believed");
    assert_eq!(send("&kept=../../x%0A/x").await["offset"], 0);
    assert_eq!(run.artifact("1/m", "abc").await.json(), json!({ "offset": 3, "whole": true }));
    assert_eq!(run.artifact("1/m", "abc").await.json()["whole"], true, "again");
    assert_eq!(send("&kept=1/m").await["offset"], line("model", "1/m").len());
    let all = send("&kept=1/m&missing=2/g&why=too+large").await;
    assert_eq!((&all["offset"], &all["wanted"]), (&json!(spool.len()), &json!([])));
    run.end(spool.len()).await;
    let told = run.api.get(&format!("/jobs/{}/run", run.id)).await.json();
    assert_eq!(told["artifacts"][0]["path"], "artifacts/1/m");
    assert_eq!(told["left_out"]["why"]["gone"], "too large");
    assert_eq!(run.files("artifacts").await, ["artifacts/1/m"]);
    assert_eq!(run.read("artifacts/1/m").await, "abc");
    run.artifact("1/n", "late").await.refused(409, "not_outside", "no run outside");
}

#[tokio::test]
async fn a_file_comes_in_pieces_and_is_what_was_announced_or_not_there() {
    let run = Outside::new().await;
    let piece = async |offset: usize, text: &str| {
        let sha256 = sha256("abcdef");
        let path = format!("/runs/ID/artifacts/1/d/f?bytes=6&sha256={sha256}&offset={offset}");
        run.bytes("PUT", &path, text).await
    };
    assert_eq!(piece(0, "abc").await.json(), json!({ "offset": 3, "whole": false }));
    assert_eq!(piece(4, "ef").await.json()["offset"], 3);
    assert!(run.files("artifacts").await.is_empty());
    piece(3, "xyz").await.refused(400, "invalid", "send the file again");
    assert_eq!(piece(0, "abcdef").await.json()["whole"], true);
    assert_eq!(run.read("artifacts/1/d/f").await, "abcdef");
    let folder = run.bytes("PUT", "/runs/ID/artifacts/2/empty?folder=true", "").await;
    assert_eq!(folder.status, StatusCode::OK);
    for path in
        ["..%2Fx", "a%2F..%2F..%2Fx", "%2Fx", "a%5Cb", "a%0Ab", ".atlas-0123456789abcdef.part"]
    {
        run.artifact(path, "x").await.refused(400, "invalid", "");
    }
    let most = run.api.world.service.max_output;
    let path = format!("/runs/ID/artifacts/3/f?bytes={}&sha256={}", most + 1, sha256("x"));
    run.bytes("PUT", &path, "x").await.refused(400, "invalid", "--max-output");
}

#[tokio::test]
async fn a_folder_is_replaced_as_a_whole_and_only_what_is_new_travels() {
    let run = Outside::new().await;
    let place = format!("/jobs/{}/synced/data", run.id);
    assert_eq!(run.api.get(&place).await.json(), json!({ "files": [] }));
    let (one, two) = (file("a", "one"), file("d/b", "two"));
    let asked = run.replace("data", &[one.clone(), two.clone()]).await.json();
    assert_eq!(asked["lacks"].as_array().unwrap().len(), 2);
    assert_eq!(run.content("one").await.json()["whole"], true);
    let asked = run.replace("data", &[one.clone(), two.clone()]).await.json();
    assert_eq!(asked["lacks"], json!([sha256("two")]), "half of it changes nothing");
    assert_eq!(run.api.get(&place).await.json(), json!({ "files": [] }));
    run.content("two").await;
    let done = run.replace("data", &[one.clone(), two.clone()]).await.json();
    assert_eq!(done, json!({ "lacks": [] }));
    assert_eq!(run.api.get(&place).await.json()["files"], json!([one, two]));
    assert_eq!(
        (run.read("synced/data/a").await, run.read("synced/data/d/b").await),
        ("one".into(), "two".into())
    );

    let moved = [file("e/a", "one"), file("c", "one")];
    assert_eq!(run.replace("data", &moved).await.json(), json!({ "lacks": [] }), "nothing travels");
    let files = run.files("synced").await;
    let note = "synced/data/.atlas-synced.json".to_owned();
    assert_eq!(files, [note, "synced/data/c".into(), "synced/data/e/a".into()]);
    assert_eq!(
        run.replace("data", &[two]).await.json()["lacks"],
        json!([sha256("two")]),
        "it went"
    );
    assert_eq!(run.replace("data", &[]).await.json(), json!({ "lacks": [] }));
    run.end(0).await;
    run.replace("data", &[]).await.refused(409, "not_running", "does not run");
}

#[tokio::test]
async fn a_folder_that_could_not_be_is_refused() {
    let run = Outside::new().await;
    run.content("x").await;
    for path in ["../a", "/a", "a/../b", "", "a/", "a//b", "a\nb", ".atlas-synced.json"] {
        run.replace("data", &[file(path, "x")]).await.refused(400, "invalid", "");
    }
    for files in [[file("a", "x"), file("a", "x")], [file("a", "x"), file("a/b", "x")]] {
        run.replace("data", &files).await.refused(400, "invalid", "");
    }
    let huge = json!({ "path": "a", "bytes": u64::MAX, "sha256": sha256("x") });
    run.replace("data", &[huge]).await.refused(400, "invalid", "--max-output");
    for key in ["..", "a%2Fb", ".atlas-0000000000000000.part", &"k".repeat(251)] {
        run.replace(key, &[]).await.refused(400, "invalid", "key");
    }
    assert!(run.files("synced").await.is_empty());
}

#[tokio::test]
async fn what_tensorboard_reads_grows() {
    let run = Outside::new().await;
    let send = async |query: &str, text: &str| {
        run.bytes("PUT", &format!("/jobs/ID/tensorboard/train/events.1?{query}"), text).await.json()
    };
    assert_eq!(send("offset=0", "abc").await, json!({ "offset": 3 }));
    assert_eq!(send("offset=2", "cde").await, json!({ "offset": 5 }));
    assert_eq!(send("offset=9", "z").await, json!({ "offset": 5 }), "some of it is missing");
    assert_eq!(run.read("tensorboard/train/events.1").await, "abcde");
    send("offset=0&anew=true", "x").await;
    assert_eq!(run.read("tensorboard/train/events.1").await, "x");
}
