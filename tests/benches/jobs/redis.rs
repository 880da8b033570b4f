//! The same with the cluster's state in a Redis of this machine, reached over TCP as from another one.

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use atlas_tests::harness::{Cluster, Server, Settings, binary, cli, multiply_jobs};

use super::{client, figure, latencies, peers, submissions_to, to_the_end};

/// Jobs in Redis when its master starts anew, unless `ATLAS_BENCH_RESTART_JOBS` says otherwise.
const RESTART_JOBS: u32 = 1_000_000;

/// When Redis syncs its file.
#[derive(Clone, Copy)]
pub enum Sync {
    EverySecond,
    Always,
}

impl Sync {
    fn word(self) -> &'static str {
        match self {
            Self::EverySecond => "everysec",
            Self::Always => "always",
        }
    }
}

/// A Redis, and how a master is told of it.
fn server(sync: Sync) -> (Server, String) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Server::start(&["--port", &port.to_string(), "--appendfsync", sync.word()]);
    (server, format!("redis://127.0.0.1:{port}"))
}

fn with_cluster(sync: Sync, workers: u32, measure: impl FnOnce(&Cluster)) {
    let (_server, url) = server(sync);
    let env = vec![("ATLAS_REDIS", url)];
    let settings =
        Settings { executor: "process", workers, log: "warn", env, ..Settings::default() };
    measure(&Cluster::start(settings));
}

pub fn latency(sync: Sync) {
    let name = format!("submit to running, process, Redis {}", sync.word());
    with_cluster(sync, 1, |cluster| latencies(&name, &client(cluster, "date"), 50, &|_| ()));
}

pub fn submissions(sync: Sync) {
    let name = format!("acknowledged submissions, 10000, Redis {}", sync.word());
    with_cluster(sync, 1, |cluster| submissions_to(&name, cluster));
}

pub fn throughput(sync: Sync) {
    let name = format!("/bin/true to the end, 10000, Redis {}", sync.word());
    with_cluster(sync, 4, |cluster| to_the_end(&name, cluster, 10_000));
}

/// A million jobs come from a file, which is quicker than a million submissions; `migrate` is measured on the way.
pub fn restart() {
    let jobs = std::env::var("ATLAS_BENCH_RESTART_JOBS");
    let jobs = jobs.map_or(RESTART_JOBS, |it| it.parse().expect("a number of jobs"));
    let mut cluster = super::cluster("process", 1);
    let client = client(&cluster, "restart");
    let first = client.submit_one(&["sleep", "36000"]);
    cluster.wait_status(&first, "running");
    client.submit_one(&["true"]);
    drop(client);
    cluster.kill_master();
    let data = cluster.path("master");
    multiply_jobs(&data, jobs);

    let (server, url) = server(Sync::EverySecond);
    let began = Instant::now();
    let mut command = Command::new(binary("atlas-master"));
    command.args(["migrate", "--to", "redis", "--redis", &url, "--data"]).arg(&data);
    let moved = command.output().unwrap();
    assert!(moved.status.success(), "{moved:?}");
    seconds(&format!("atlas-master migrate, {jobs} queued jobs"), began.elapsed());
    let memory = cli(&server.socket(), &["INFO", "memory"]);
    let used = memory.lines().find_map(|it| it.strip_prefix("used_memory:")).unwrap();
    figure("memory of Redis then", used.trim().parse::<f64>().unwrap() / 1048576.0, "MB");

    cluster.set_env("ATLAS_REDIS", Some(&url));
    let began = Instant::now();
    cluster.start_master();
    seconds(&format!("restart with {jobs} queued jobs in Redis"), began.elapsed());
    figure("memory of the master then", peers::resident_mb(cluster.pids()[0]), "MB");
    // The next of a million jobs would start as soon as this one was stopped.
    cluster.kill_node();
}

fn seconds(name: &str, took: Duration) {
    figure(name, took.as_secs_f64(), "s");
}
