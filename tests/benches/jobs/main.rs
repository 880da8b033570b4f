//! What users wait for: submit → running, submissions per second, jobs to the end; each beside the bare thing it stands on.
//!
//! Prints one figure a line: name, value, unit. Arguments name the measurements to take; none = all.
#![expect(clippy::unwrap_used, reason = "a benchmark fails where it stands")]

mod docker;
mod peers;
mod submit;

use std::time::{Duration, Instant};

use atlas_tests::harness::{Cluster, Settings, eventually};

const ALL: &[(&str, fn())] = &[
    ("latency-process", latency_process),
    ("latency-docker", latency_docker),
    ("submissions", submissions),
    ("throughput", throughput),
    ("throughput-docker", throughput_docker),
    ("idle", idle),
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    for (name, measure) in ALL {
        if wanted.is_empty() || wanted.iter().any(|it| name == it) {
            measure();
        }
    }
}

fn figure(name: &str, value: f64, unit: &str) {
    println!("{name:<44} {value:>12.2} {unit}");
}

fn cluster(executor: &'static str, workers: u32) -> Cluster {
    Cluster::start(Settings { executor, workers, log: "warn", ..Settings::default() })
}

/// Milliseconds, sorted.
fn print_latencies(name: &str, mut samples: Vec<f64>) {
    samples.sort_by(f64::total_cmp);
    let at = |share: usize| samples[(samples.len() * share / 100).min(samples.len() - 1)];
    figure(&format!("{name} median"), at(50), "ms");
    figure(&format!("{name} p99"), at(99), "ms");
}

/// From the call to the first instruction of the job, which prints the time.
fn latency(executor: &'static str, rounds: usize) -> Vec<f64> {
    let cluster = cluster(executor, 1);
    let client = submit::Client::new(&cluster, "date");
    let round = |_| {
        let (job, took) = client.submit_to_first_instruction(&["date", "+%s%N"]);
        if executor == "docker" {
            docker::until_removed(&format!("atlas-{job}.1"));
        }
        took
    };
    (0..rounds).map(round).collect()
}

fn latency_process() {
    print_latencies("submit to running, process", latency("process", 50));
    print_latencies("bare spawn", (0..50).map(|_| peers::spawn_to_first_instruction()).collect());
}

fn latency_docker() {
    print_latencies("submit to running, docker", latency("docker", 50));
    let engine = docker::Engine::new();
    print_latencies(
        "bare docker create + start",
        (0..50).map(|_| engine.to_first_instruction()).collect(),
    );
}

/// One connection, at most 256 in flight, each acknowledged: it survives the death of any process and of the machine.
fn submissions() {
    let cluster = cluster("process", 1);
    let client = submit::Client::new(&cluster, "submissions");
    client.submit_one(&["sleep", "600"]);
    let took = client.submit_many(10_000, 256, &["true"]);
    figure(
        "acknowledged submissions, 10000 of one client",
        10_000.0 / took.as_secs_f64(),
        "jobs/s",
    );
    cluster.atlas(&["clear-queue", "--yes", "scheduler"]).exits(0);
}

fn to_the_end(cluster: &Cluster, jobs: usize) -> Duration {
    let client = submit::Client::new(cluster, "throughput");
    let began = Instant::now();
    client.submit_many(jobs, 256, &["/bin/true"]);
    eventually_all_ended(cluster);
    began.elapsed()
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
    let cluster = cluster("process", 4);
    figure(
        "/bin/true to the end, 10000, 4 slots, process",
        rate(10_000, to_the_end(&cluster, 10_000)),
        "jobs/s",
    );
    drop(cluster);
    figure("bare spawn, 4 at a time", rate(10_000, peers::spawn_many(10_000, 4)), "jobs/s");
    match peers::hyperqueue(10_000) {
        Some(took) => figure("HyperQueue, the same as an array", rate(10_000, took), "jobs/s"),
        None => {
            println!("HyperQueue: not measured, ATLAS_BENCH_HQ_PYTHON names no Python that has it");
        }
    }
}

fn throughput_docker() {
    let cluster = cluster("docker", 4);
    figure(
        "/bin/true to the end, 300, 4 slots, docker",
        rate(300, to_the_end(&cluster, 300)),
        "jobs/s",
    );
    drop(cluster);
    figure("bare docker API, 4 at a time", rate(300, docker::run_many(300, 4)), "jobs/s");
}

fn idle() {
    let cluster = cluster("process", 1);
    let client = submit::Client::new(&cluster, "idle");
    client.submit_to_first_instruction(&["date", "+%s%N"]);
    let [master, node] = cluster.pids();
    let before = [peers::cpu(master), peers::cpu(node)];
    let began = Instant::now();
    eventually("ten seconds of rest", || (began.elapsed() > Duration::from_secs(10)).then_some(()));
    for (name, pid, before) in [("master", master, before[0]), ("agent", node, before[1])] {
        figure(&format!("idle memory, {name}"), peers::resident_mb(pid), "MB");
        figure(&format!("idle CPU, {name}, of 10 s"), peers::cpu(pid) - before, "ms");
    }
    for pid in peers::supervisors(node) {
        figure("idle memory, supervisor", peers::resident_mb(pid), "MB");
    }
}
