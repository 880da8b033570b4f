//! `atlas-master migrate`: the state of a cluster goes from its file into Redis, and back.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use atlas_tests::harness::{
    Cluster, Run, Server, Settings, binary, cli, eventually, multiply_jobs,
};

/// `atlas-master` with these words, to its end.
fn master(words: &[&str]) -> Run {
    let output = Command::new(binary("atlas-master")).args(words).output().unwrap();
    Run::of(words, &output)
}

fn migrate(data: &Path, server: &Server, to: &str) -> Run {
    master(&["migrate", "--data", data.to_str().unwrap(), "--redis", &server.url(), "--to", to])
}

#[test]
fn a_cluster_moves_into_redis_and_back_under_the_job_that_it_runs() {
    let server = Server::start(&[]);
    let mut cluster = Cluster::start(Settings::default());
    let data = cluster.path("master");
    let dir = cluster.project("moves", &[]);
    let ended = cluster.submit(&dir, &["true"]);
    cluster.atlas(&["wait", &ended]).exits(0);
    let until = cluster.path("go");
    let script = format!("while [ ! -e {} ]; do sleep 0.05; done", until.display());
    let running = cluster.submit(&dir, &["sh", "-c", &script]);
    let queued = cluster.submit(&dir, &["true"]);
    cluster.wait_status(&running, "running");

    migrate(&data, &server, "redis").exits(126).says("is in use by atlas-master");
    cluster.kill_master();
    let moved = migrate(&data, &server, "redis").exits(0);
    assert!(moved.stdout.contains("3 jobs (2 of them live, 1 waiting) and 1 nodes"), "{moved:?}");
    assert!(migrate(&data, &server, "redis").exits(0).stdout.starts_with("nothing to do"));
    let start =
        ["--data", data.to_str().unwrap(), "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
    master(&start).exits(126).says("moved to Redis at");
    assert_eq!(cli(&server.socket(), &["HGET", "atlas:job_host", &running]), "node-a");

    cluster.set_env("ATLAS_REDIS", Some(&server.url()));
    cluster.start_master();
    fs::write(&until, "").unwrap();
    for job in [&running, &queued] {
        cluster.atlas(&["wait", job]).exits(0);
        assert_eq!(cluster.job(job)["attempt"], 1);
    }

    cluster.kill_master();
    migrate(&data, &server, "embedded").exits(0);
    cluster.set_env("ATLAS_REDIS", None);
    cluster.start_master();
    for job in [&ended, &running, &queued] {
        assert_eq!(cluster.job(job)["status"], "completed");
    }
    let last = cluster.submit(&dir, &["true"]);
    cluster.atlas(&["wait", &last]).exits(0);
}

#[test]
fn a_move_that_is_killed_leaves_the_source_as_it_was_and_is_begun_anew() {
    const MORE: u32 = 30_000;
    let server = Server::start(&[]);
    let mut cluster = Cluster::start(Settings::default());
    let data = cluster.path("master");
    let dir = cluster.project("killed", &[]);
    let ended = cluster.submit(&dir, &["true"]);
    eventually("it is archived", || (cluster.job(&ended)["phase"] == "done").then_some(()));
    cluster.kill_master();
    multiply_jobs(&data, MORE);

    let count = || cli(&server.socket(), &["ZCARD", "atlas:jobs"]).parse::<u32>().unwrap();
    let words =
        ["migrate", "--data", data.to_str().unwrap(), "--redis", &server.url(), "--to", "redis"];
    let mut moving =
        Command::new(binary("atlas-master")).args(words).stderr(Stdio::null()).spawn().unwrap();
    eventually("some jobs are there", || (count() > 0).then_some(()));
    moving.kill().unwrap();
    moving.wait().unwrap();
    assert!(count() < MORE, "it was too fast for this test");

    let unused = cluster.path("unused");
    let unused = unused.to_str().unwrap();
    let redis = server.url();
    master(&[
        "--data",
        unused,
        "--http",
        "127.0.0.1:0",
        "--grpc",
        "127.0.0.1:0",
        "--redis",
        &redis,
    ])
    .exits(126)
    .says("was not finished")
    .says("atlas-master migrate");
    cluster.start_master();
    let another = cluster.submit(&dir, &["true"]);
    eventually("it is archived", || (cluster.job(&another)["phase"] == "done").then_some(()));
    cluster.kill_master();
    let moved = migrate(&data, &server, "redis").exits(0);
    assert!(moved.stdout.contains(&format!("{} jobs (0 of them live", MORE + 2)), "{moved:?}");
    cluster.set_env("ATLAS_REDIS", Some(&redis));
    cluster.start_master();
    assert_eq!(cluster.job(&another)["status"], "completed");
}

#[test]
fn what_cannot_be_moved_is_refused_and_nothing_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    let data = nowhere.to_str().unwrap();
    let server = Server::start(&["--requirepass", "secret"]);
    let there = server.url();
    let to = |words: &[&str]| master(&[&["migrate", "--data", data], words].concat());
    to(&["--to", "redis"]).exits(2).says("redis");
    to(&["--to", "paper", "--redis", &there]).exits(2).says("embedded");
    to(&["--to", "redis", "--redis", &there]).exits(2).says("--data").says("no store");
    assert!(!nowhere.exists(), "a folder was made");
    to(&["--to", "embedded", "--redis", &there]).exits(126).says("redis_password");
    to(&["--to", "embedded", "--redis", "redis://127.0.0.1:1"]).exits(126).says("127.0.0.1:1");
}
