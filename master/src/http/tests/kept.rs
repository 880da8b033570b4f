//! Files of a job, as a browser and a program get them.

use std::fs;

use super::*;

struct Kept {
    api: Api,
    job: String,
}

/// A job that is done, with a folder of outputs.
async fn kept() -> Kept {
    let api = Api::new().await;
    let bundle = api.upload().await;
    let taken = api.ada("POST", "/jobs", submission(7, &bundle)).await.json();
    let job = taken["job"]["id"].as_str().unwrap().to_owned();
    api.ada("POST", &format!("/jobs/{job}/stop"), Value::Null).await;
    let outputs = api.world.service.archive.job(job.parse().unwrap()).join("outputs");
    fs::create_dir_all(outputs.join("deep")).unwrap();
    fs::write(outputs.join("page.html"), "<script>alert(1)</script>").unwrap();
    fs::write(outputs.join("deep/model ü.pt"), b"0123456789").unwrap();
    std::os::unix::fs::symlink("/etc", outputs.join("link")).unwrap();
    Kept { api, job }
}

impl Kept {
    async fn get(&self, path: &str) -> Answer {
        self.api.get(&format!("/jobs/{}/{path}", self.job)).await
    }

    async fn range(&self, path: &str, range: &str) -> Answer {
        let path = format!("/jobs/{}/{path}", self.job);
        self.api.ask("GET", &path, &[("range", range)], Vec::new()).await
    }
}

#[tokio::test]
async fn everything_that_is_kept_is_listed_and_comes_as_a_tar() {
    let kept = kept().await;
    let listed = kept.get("files").await.json();
    let paths: Vec<_> =
        listed["files"].as_array().unwrap().iter().map(|it| it["path"].as_str().unwrap()).collect();
    let all = [
        "source/main.py",
        "outputs",
        "outputs/deep",
        "outputs/deep/model ü.pt",
        "outputs/link",
        "outputs/page.html",
    ];
    assert_eq!(paths, all);
    assert_eq!(listed["files"][4]["target"], "/etc");
    let some = kept.get("files?path=outputs/deep").await.json();
    assert_eq!(some["files"].as_array().unwrap().len(), 2);
    kept.get("files?path=../x").await.refused(400, "invalid", "leaves the job's archive");
    kept.get("files?path=nothing").await.refused(404, "no_file", "nothing");

    for format in ["tar", "tgz", "tar.zst"] {
        let archive = kept.get(&format!("archive?format={format}")).await;
        let name = archive.headers["content-disposition"].to_str().unwrap();
        assert!(name.ends_with(&format!("''{}.{format}", kept.job)), "{name}");
        let tar = match format {
            "tgz" => {
                let mut tar = Vec::new();
                flate2::read::GzDecoder::new(&*archive.body).read_to_end(&mut tar).unwrap();
                tar
            }
            "tar.zst" => zstd::decode_all(&*archive.body).unwrap(),
            _ => archive.body,
        };
        let mut tar = tar::Archive::new(&*tar);
        let paths =
            tar.entries().unwrap().map(|it| it.unwrap().path().unwrap().display().to_string());
        assert_eq!(paths.map(|it| it.trim_end_matches('/').to_owned()).collect::<Vec<_>>(), all);
    }
    kept.get("archive?path=nothing").await.refused(404, "no_file", "nothing");
}

#[tokio::test]
async fn a_file_comes_whole_or_in_the_part_that_is_asked_for() {
    let kept = kept().await;
    for (path, text) in [
        ("files/outputs/deep/model%20%C3%BC.pt", &b"0123456789"[..]),
        ("files/source/main.py", b"1\n"),
    ] {
        let whole = kept.get(path).await;
        assert_eq!((whole.status.as_u16(), &*whole.body), (200, text), "{path}");
        assert_eq!(whole.headers["accept-ranges"], "bytes");
        let part = kept.range(path, "bytes=1-1").await;
        assert_eq!((part.status.as_u16(), &*part.body), (206, &text[1..2]), "{path}");
        let place = format!("bytes 1-1/{}", text.len());
        assert_eq!(part.headers["content-range"], place);
        assert_eq!(part.headers["content-length"], "1");
        let beyond = kept.range(path, "bytes=10-").await;
        beyond.refused(416, "beyond_the_end", "bytes");
        assert_eq!(beyond.headers["content-range"], format!("bytes */{}", text.len()));
    }
    let head = format!("/jobs/{}/files/outputs/page.html", kept.job);
    let head = kept.api.ask("HEAD", &head, &[], Vec::new()).await;
    assert_eq!((head.headers["content-length"].to_str().unwrap(), head.body.len()), ("25", 0));
}

#[tokio::test]
async fn what_a_job_wrote_runs_nowhere() {
    let kept = kept().await;
    let page = kept.get("files/outputs/page.html").await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("sandbox;") && !policy.contains("allow-scripts"), "{policy}");
    let model = kept.get("files/outputs/deep/model%20%C3%BC.pt").await;
    assert_eq!(
        model.headers["content-disposition"],
        "attachment; filename*=UTF-8''model%20%C3%BC.pt"
    );
    let tag = page.headers["etag"].to_str().unwrap();
    let path = format!("/jobs/{}/files/outputs/page.html", kept.job);
    let again = kept.api.ask("GET", &path, &[("if-none-match", tag)], Vec::new()).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
}

#[tokio::test]
async fn what_is_no_file_is_not_read_and_no_link_is_followed() {
    let kept = kept().await;
    kept.get("files/outputs/link").await.refused(409, "not_a_file", "is a link");
    kept.get("files/outputs/link/passwd").await.refused(404, "no_file", "link/passwd");
    kept.get("files?path=outputs/link/passwd").await.refused(404, "no_file", "link/passwd");
    kept.get("files/outputs/deep").await.refused(409, "not_a_file", "is a folder");
    kept.get("files/source").await.refused(409, "not_a_file", "is a folder");
    kept.get("files/source/other.py").await.refused(404, "no_file", "other.py");
    kept.get("files/outputs/%2e%2e/%2e%2e/x").await.refused(400, "invalid", "leaves");
    kept.get("files/work%2Fx").await.refused(404, "no_file", "x");
}

#[tokio::test]
async fn what_a_job_wrote_is_removed_and_whoever_asks_for_it_hears_so() {
    let kept = kept().await;
    let archive = &kept.api.world.service.archive;
    let folder = archive.job(kept.job.parse().unwrap());
    for path in ["checkpoints/1", "synced/data/x", "log/1.log"] {
        fs::create_dir_all(folder.join(path).parent().unwrap()).unwrap();
        fs::write(folder.join(path), "0123").unwrap();
    }
    let path = format!("/jobs/{}", kept.job);
    let measured = kept.api.get("/usage?by=job").await.json();
    assert_eq!(measured["groups"][0]["outputs_bytes"], 35);
    let removed = kept.api.ada("DELETE", &format!("{path}/outputs"), Value::Null).await.json();
    let removal = removed["removal"].clone();
    assert_eq!((&removal["user"], &removal["bytes"]), (&"ada".into(), &43.into()), "{removal}");
    assert_eq!(removal["goes_on"], false);
    for gone in ["outputs", "checkpoints", "synced"] {
        assert!(!folder.join(gone).exists());
    }
    let measured = kept.api.get("/usage?by=job").await.json();
    assert_eq!(measured["groups"][0]["outputs_bytes"], 0);
    assert_eq!(measured["groups"][0]["log_bytes"], 4);

    // What comes late all the same, over a share, is nobody's.
    fs::create_dir_all(folder.join("outputs")).unwrap();
    fs::write(folder.join("outputs/page.html"), "late").unwrap();
    let files = kept.get("files").await.json();
    let paths: Vec<_> = files["files"].as_array().unwrap().iter().map(|it| &it["path"]).collect();
    assert_eq!(paths, ["source/main.py", "log", "log/1.log"]);
    for asked in [
        "files?path=outputs",
        "files/outputs/page.html",
        "files?path=checkpoints",
        "archive?path=synced",
    ] {
        kept.get(asked).await.refused(410, "outputs_removed", "by ada; its log");
    }
    let synced = kept.api.get(&format!("{path}/synced/data")).await;
    synced.refused(410, "outputs_removed", "by ada");
    let resumed = json!({ "id": JobId::from_random([8; 16]).to_string(), "resume": true });
    let rerun = kept.api.ada("POST", &format!("{path}/rerun"), resumed).await;
    rerun.refused(400, "invalid", "was removed on");
    // Again is as good as once, and tells of the first.
    let again = kept.api.ada("DELETE", &format!("{path}/outputs"), Value::Null).await.json();
    assert_eq!(again["removal"], removal);
    kept.api.ada("DELETE", &path, Value::Null).await.json();
    kept.api
        .ada("DELETE", &format!("{path}/outputs"), Value::Null)
        .await
        .refused(404, "no_job", "");
}

#[tokio::test]
async fn what_a_job_that_has_not_ended_writes_stays() {
    let api = Api::new().await;
    let bundle = api.upload().await;
    let taken = api.ada("POST", "/jobs", submission(7, &bundle)).await.json();
    let path = format!("/jobs/{}/outputs", taken["job"]["id"].as_str().unwrap());
    api.ada("DELETE", &path, Value::Null).await.refused(409, "not_finished", "once it is done");
    api.ask("DELETE", &path, &[], Vec::new()).await.refused(403, "denied", "who gives no name");
}
