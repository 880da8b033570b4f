//! `atlas log` inside of a job. What it writes is compared with the Python SDK in `client/python/tests/test_command.py`.

use std::fs;

use crate::run::{Run, User};

async fn log(user: &User, spool: &str, words: &[&str]) -> Run {
    let mut command = user.command(&[&["log"], words].concat());
    Run::of(command.env("ATLAS_SPOOL", user.path(spool)).output().await.unwrap())
}

/// What the spool holds, without its times.
fn lines(user: &User, spool: &str) -> Vec<String> {
    let text = fs::read_to_string(user.path(spool)).unwrap_or_default();
    let timeless = |line: &str| line[..line.find(r#","at":"#).unwrap()].to_owned();
    text.lines().map(timeless).collect()
}

#[tokio::test]
async fn what_is_logged_stands_in_the_spool_line_by_line() {
    let user = User::new();
    for words in [
        &["metric", "loss", "0.25", "--step", "3"][..],
        &["metric", "--step", "4", "loss", "-inf"],
        &["param", "sizes", "[64, 32]"],
        &["tag", "best"],
    ] {
        let run = log(&user, "events", words).await.exits(0);
        assert_eq!((run.out(), run.stderr), (String::new(), String::new()));
    }
    assert_eq!(
        lines(&user, "events"),
        [
            r#"{"e":"metric","key":"loss","value":0.25,"step":3"#,
            r#"{"e":"metric","key":"loss","value":{"$float":"-inf"},"step":4"#,
            r#"{"e":"param","key":"sizes","value":[64,32]"#,
            r#"{"e":"tag","key":"best","value":"""#,
        ]
    );
}

#[tokio::test]
async fn an_artifact_is_copied_before_it_is_told() {
    let user = User::new();
    user.here("model/a/weights", "1234");
    user.here("model/b", "56");
    let inner = user.path("here/model/a");
    std::os::unix::fs::symlink("..", inner.join("loop")).unwrap();
    std::os::unix::fs::symlink("nowhere", inner.join("gone")).unwrap();
    let run = log(&user, "events", &["artifact", "model", "--key", "m"]).await.exits(0);
    run.says("model/a/loop was left out of the artifact: it is a folder that it lies in");
    run.says("model/a/gone was left out of the artifact: it is a link to nothing");
    let line = lines(&user, "events").remove(0);
    let path = line.split(r#""path":""#).nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(
        line,
        format!(r#"{{"e":"artifact","key":"m","path":"{path}","bytes":6,"folder":true"#)
    );
    let kept = user.path("files").join(path);
    assert_eq!(fs::read_to_string(kept.join("a/weights")).unwrap(), "1234");
    assert_eq!(fs::read_dir(kept.join("a")).unwrap().count(), 1);
}

#[tokio::test]
async fn what_is_beyond_a_limit_is_said_and_counted_and_ends_no_job() {
    let user = User::new();
    let long = "k".repeat(251);
    let run = log(&user, "events", &["metric", &long, "1"]).await.exits(0);
    run.says("a key has more than 250 bytes. It is counted on the run");
    log(&user, "events", &["param", "p", &"x".repeat(17_000)]).await.exits(0);
    log(&user, "events", &["metric", "note", &"ä".repeat(501)]).await.exits(0);
    let told = lines(&user, "events");
    let short = format!("{} ...", "k".repeat(60));
    let dropped = format!(
        r#"{{"e":"dropped","key":"{short}","why":"a key has more than 250 bytes","count":1"#
    );
    assert_eq!(told[0], dropped);
    assert!(told[1].contains("a parameter's value is too long"), "{told:?}");
    assert!(told[2].contains("a text was cut"), "{told:?}");
    assert_eq!(told[3], format!(r#"{{"e":"metric","key":"note","value":"{}""#, "ä".repeat(500)));
    assert_eq!(told.len(), 4);
}

#[tokio::test]
async fn a_wrong_call_says_what_is_wrong_and_writes_nothing() {
    let user = User::new();
    user.atlas(&["log", "tag", "x"]).await.exits(126).says("ATLAS_SPOOL is not set");
    for (words, code, says) in [
        (&["metric", "loss"][..], 2, "<VALUE>"),
        (&["metric", "loss", "1", "--step", "x"], 2, "'--step <N>'"),
        (&["metric", "loss", "1", "--step=-1"], 2, "'--step <N>'"),
        (&["artifact", "nowhere"], 1, "could not read nowhere"),
        (&["artifact", "/dev/null"], 126, "neither a file nor a folder"),
    ] {
        log(&user, "events", words).await.exits(code).says(says);
    }
    assert_eq!(lines(&user, "events"), [""; 0]);
    assert!(!user.path("files").exists());
    log(&user, "no/such/folder", &["tag", "x"]).await.exits(126).says("could not write to");
}
