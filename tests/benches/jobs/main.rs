//! What users wait for: submit → running, submissions per second, jobs to the end; each beside the bare thing it stands on.
//!
//! Prints one figure a line: name, value, unit. Arguments name the measurements to take; none = all.
#![expect(clippy::unwrap_used, reason = "a benchmark fails where it stands")]

mod agents;
mod core;
mod docker;
mod follow;
mod hosts;
mod peers;
mod redis;
mod runs;
mod sdk;
mod submit;
mod tracker;
mod unshared;

use std::time::{Duration, Instant};

use atlas_tests::harness::{Cluster, Settings, eventually};
use redis::Sync;

/// In the order in which they are taken.
const ALL: &[(&str, fn())] = &[
    ("core", core::measure),
    ("latency-process", latency_process),
    ("latency-redis-everysec", || redis::latency(Sync::EverySecond)),
    ("latency-redis-always", || redis::latency(Sync::Always)),
    ("latency-hosts", hosts::latency),
    ("latency-docker", latency_docker),
    ("submissions", submissions),
    ("submissions-redis-everysec", || redis::submissions(Sync::EverySecond)),
    ("submissions-redis-always", || redis::submissions(Sync::Always)),
    ("throughput", throughput),
    ("throughput-redis-everysec", || redis::throughput(Sync::EverySecond)),
    ("throughput-redis-always", || redis::throughput(Sync::Always)),
    ("throughput-docker", throughput_docker),
    ("restart-redis", redis::restart),
    ("runs", runs::measure),
    ("idle", idle),
    ("follow", follow::measure),
    ("agents", agents::measure),
    ("unshared", unshared::measure),
    ("log-metric", sdk::log_metric),
    ("mlflow", sdk::beside_mlflow),
    ("tracker", tracker::measure),
];

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    if let Some(unknown) = asked.iter().find(|it| ALL.iter().all(|known| known.0 != **it)) {
        let names: Vec<&str> = ALL.iter().map(|it| it.0).collect();
        eprintln!("there is no measurement {unknown:?}; known are {}", names.join(", "));
        std::process::exit(2);
    }
    for (name, measure) in ALL {
        if asked.is_empty() || asked.iter().any(|it| it == name) {
            measure();
        }
    }
}

fn figure(name: &str, value: f64, unit: &str) {
    println!("{name:<58} {value:>12.2} {unit}");
}

fn cluster(executor: &'static str, workers: u32) -> Cluster {
    Cluster::start(Settings { executor, workers, log: "warn", ..Settings::default() })
}

fn client(cluster: &Cluster, name: &str) -> submit::Client {
    submit::Client::new(cluster, &cluster.grpc(), name)
}

/// Milliseconds.
fn print_latencies(name: &str, mut samples: Vec<f64>) {
    samples.sort_by(f64::total_cmp);
    figure(&format!("{name} median"), percentile(&samples, 50), "ms");
    figure(&format!("{name} p99"), percentile(&samples, 99), "ms");
}

/// Of samples in order.
fn percentile(samples: &[f64], share: usize) -> f64 {
    samples[(samples.len() * share / 100).min(samples.len() - 1)]
}

fn pause(span: Duration) {
    let began = Instant::now();
    eventually("a time of rest", || (began.elapsed() > span).then_some(()));
}

/// From the call to the first instruction of the job, which prints the time. The next round begins on an idle node.
fn latencies(name: &str, client: &submit::Client, rounds: usize, until_idle: &dyn Fn(&str)) {
    let round = |_| {
        let (job, took) = client.submit_to_first_instruction(&["date", "+%s%N"]);
        until_idle(&job);
        took
    };
    print_latencies(name, (0..rounds).map(round).collect());
}

fn latency_process() {
    let cluster = cluster("process", 1);
    latencies("submit to running, process", &client(&cluster, "date"), 50, &|_| ());
    print_latencies("bare spawn", (0..50).map(|_| peers::spawn_to_first_instruction()).collect());
}

fn latency_docker() {
    let removed = |job: &str| docker::until_removed(&format!("atlas-{job}.1"));
    let cluster = cluster("docker", 1);
    latencies("submit to running, docker", &client(&cluster, "date"), 50, &removed);
    let engine = docker::Engine::new();
    print_latencies(
        "bare docker create + start",
        (0..50).map(|_| engine.to_first_instruction()).collect(),
    );
}

/// One connection, at most 256 in flight, each acknowledged: it survives the death of any process and, where the store syncs
/// before it answers, of the machine.
fn submissions_to(name: &str, cluster: &Cluster) {
    let client = client(cluster, "submissions");
    client.submit_one(&["sleep", "600"]);
    let took = client.submit_many(10_000, 256, &["true"]);
    figure(name, rate(10_000, took), "jobs/s");
    cluster.atlas(&["clear-queue", "--yes", "scheduler"]).exits(0);
}

fn submissions() {
    submissions_to("acknowledged submissions, 10000 of one client", &cluster("process", 1));
}

fn to_the_end(name: &str, cluster: &Cluster, jobs: usize) {
    let client = client(cluster, "throughput");
    let began = Instant::now();
    client.submit_many(jobs, 256, &["/bin/true"]);
    eventually_all_ended(cluster);
    figure(name, rate(jobs, began.elapsed()), "jobs/s");
}

fn eventually_all_ended(cluster: &Cluster) {
    for _ in 0..20 {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually("no job is live", || {
                (submit::metric(cluster.http(), "atlas_jobs_live") == 0).then_some(())
            });
        }));
        if done.is_ok() {
            return;
        }
    }
    panic!("the jobs did not end");
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand jobs")]
fn rate(jobs: usize, took: Duration) -> f64 {
    jobs as f64 / took.as_secs_f64()
}

fn throughput() {
    let name = "/bin/true to the end, 10000, 4 slots, process";
    to_the_end(name, &cluster("process", 4), 10_000);
    figure("bare spawn, 4 at a time", rate(10_000, peers::spawn_many(10_000, 4)), "jobs/s");
    match peers::hyperqueue(10_000) {
        Some(took) => figure("HyperQueue, the same as an array", rate(10_000, took), "jobs/s"),
        None => {
            println!("HyperQueue: not measured, ATLAS_BENCH_HQ_PYTHON names no Python that has it");
        }
    }
}

fn throughput_docker() {
    to_the_end("/bin/true to the end, 300, 4 slots, docker", &cluster("docker", 4), 300);
    figure("bare docker API, 4 at a time", rate(300, docker::run_many(300, 4)), "jobs/s");
}

fn idle() {
    let cluster = cluster("process", 1);
    let client = client(&cluster, "idle");
    client.submit_to_first_instruction(&["date", "+%s%N"]);
    let [master, node] = cluster.pids();
    let before = [peers::cpu(master), peers::cpu(node)];
    pause(Duration::from_secs(10));
    for (name, pid, before) in [("master", master, before[0]), ("agent", node, before[1])] {
        figure(&format!("idle memory, {name}"), peers::resident_mb(pid), "MB");
        figure(&format!("idle CPU, {name}, of 10 s"), peers::cpu(pid) - before, "ms");
    }
    for pid in peers::supervisors(node) {
        figure("idle memory, supervisor", peers::resident_mb(pid), "MB");
    }
}
