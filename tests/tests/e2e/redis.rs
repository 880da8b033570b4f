//! A master whose state is in Redis.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use atlas_tests::harness::{Cluster, Run, Server, Settings, binary, cli, eventually};

fn cluster(server: &Server) -> Cluster {
    Cluster::start(Settings { env: vec![("ATLAS_REDIS", server.url())], ..Settings::default() })
}

fn try_to_submit(cluster: &Cluster, dir: &Path) -> Run {
    cluster.atlas(&["submit", "--quiet", "--detach", "scheduler", dir.to_str().unwrap(), "true"])
}

#[test]
fn the_queue_and_the_node_of_each_job_can_be_looked_up_in_redis() {
    let server = Server::start(&[]);
    let cluster = cluster(&server);
    let dir = cluster.project("sleeps", &[]);
    let ids: Vec<String> = (0..3).map(|_| cluster.submit(&dir, &["sleep", "600"])).collect();
    cluster.wait_status(&ids[0], "running");
    let look = |words: &[&str]| cli(&server.socket(), words);
    assert_eq!(look(&["HGETALL", "atlas:job_host"]), format!("{}\nnode-a", ids[0]));
    assert_eq!(look(&["ZRANGE", "atlas:queue", "0", "-1"]), ids[1..].join("\n"));
    cluster.atlas(&["clear-queue", "--yes", "scheduler"]).exits(0);
    assert_eq!(look(&["ZCARD", "atlas:queue"]), "0");
}

#[test]
fn jobs_go_on_while_redis_is_dead_and_submissions_are_refused_within_seconds() {
    let mut server = Server::start(&[]);
    let cluster = cluster(&server);
    let dir = cluster.project("waits", &[]);
    let until = cluster.path("go");
    let script = format!("while [ ! -e {} ]; do sleep 0.05; done; echo done", until.display());
    let job = cluster.submit(&dir, &["sh", "-c", &script]);
    let queued = cluster.submit(&dir, &["true"]);
    cluster.wait_status(&job, "running");

    server.kill();
    let began = Instant::now();
    let refused = try_to_submit(&cluster, &dir);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    refused.exits(126).says("store");
    std::fs::write(&until, "").unwrap();

    server.start_again();
    cluster.atlas(&["wait", &job]).exits(0);
    cluster.atlas(&["wait", &queued]).exits(0);
    assert_eq!(cluster.job(&job)["attempt"], 1);
    eventually("it takes jobs again", || (try_to_submit(&cluster, &dir).code == 0).then_some(()));
}

#[test]
fn a_master_that_was_killed_with_its_redis_goes_on_where_both_stood() {
    let mut server = Server::start(&[]);
    let mut cluster = cluster(&server);
    let dir = cluster.project("two", &[]);
    let ids: Vec<String> =
        (0..3).map(|_| cluster.submit(&dir, &["sh", "-c", "sleep 2; echo end"])).collect();
    cluster.wait_status(&ids[0], "running");
    cluster.kill_master();
    server.kill();
    server.start_again();
    cluster.start_master();
    for id in &ids {
        cluster.atlas(&["wait", id]).exits(0);
        assert_eq!(cluster.job(id)["attempt"], 1);
    }
}

#[test]
fn a_redis_of_another_cluster_is_refused_and_its_master_goes_on_leading() {
    let (server, empty) = (Server::start(&[]), Server::start(&[]));
    let ours = cluster(&server);
    let mut others = Cluster::start(Settings::default());
    others.kill_master();
    let data = others.path("master");
    let start = |redis: &Server| {
        let mut command = Command::new(binary("atlas-master"));
        command.args(["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--redis", &redis.url()]);
        Run::of(&["start"], &command.arg("--data").arg(&data).output().unwrap()).exits(126)
    };
    start(&server).says("the store holds cluster").says("--redis").says("--data");
    start(&empty).says("the store is empty").says("atlas-master migrate");
    assert_eq!(cli(&empty.socket(), &["DBSIZE"]), "0");
    let dir = ours.project("goes-on", &[]);
    let job = ours.submit(&dir, &["true"]);
    ours.atlas(&["wait", &job]).exits(0);
    assert_eq!(cli(&server.socket(), &["GET", "atlas:epoch"]), "1");
}

#[test]
fn a_redis_that_forgot_everything_is_given_all_that_lives_by_its_master() {
    let mut server = Server::start(&["--appendonly", "no"]);
    let mut cluster = cluster(&server);
    let dir = cluster.project("lives", &[]);
    let until = cluster.path("go");
    let script = format!("while [ ! -e {} ]; do sleep 0.05; done", until.display());
    let ended = cluster.submit(&dir, &["true"]);
    eventually("it is archived", || (cluster.job(&ended)["phase"] == "done").then_some(()));
    let running = cluster.submit(&dir, &["sh", "-c", &script]);
    let queued: Vec<String> = (0..3).map(|_| cluster.submit(&dir, &["true"])).collect();
    cluster.wait_status(&running, "running");
    // A master that has just come remembers no commit of the one before.
    cluster.kill_master();
    cluster.start_master();
    server.kill();
    server.start_again();
    assert_eq!(cli(&server.socket(), &["DBSIZE"]), "0");

    std::fs::write(&until, "").unwrap();
    for job in queued.iter().chain([&running]) {
        cluster.wait_status(job, "completed");
    }
    cluster.kill_master();
    cluster.start_master();
    for job in queued.iter().chain([&running]) {
        assert_eq!(cluster.job(job)["status"], "completed");
        assert_eq!(cluster.job(job)["attempt"], 1);
    }
    cluster.atlas(&["show", &ended]).exits(1);
    let log = std::fs::read_to_string(cluster.path("master.log")).unwrap();
    assert!(log.contains("writing back all that lives") && log.contains("are lost"), "{log}");
}
