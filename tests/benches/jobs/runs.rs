//! A project of many runs: until they can be found after a start, what they take in memory, and pages of them.

use std::time::Instant;

use atlas_proto::wire::ListJobsRequest;
use atlas_tests::harness::{Cluster, eventually, multiply_runs};

use super::submit::Client;
use super::{client, cluster, figure, peers, percentile};

/// With 20 parameters and 20 metrics each, unless `ATLAS_BENCH_RUNS` says how many.
const RUNS: u32 = 100_000;
const ROUNDS: usize = 100;
const PAGE: u32 = 100;
pub const PROJECT: &str = "told";

const TOLD: &str = r#"import json, os
spool = os.open(os.environ["ATLAS_SPOOL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
def say(**event):
    os.write(spool, (json.dumps(event) + "\n").encode())
for n in range(20):
    say(e="param", key=f"p{n}", value="adam" if n == 1 else 0.5, at=1)
    for step in range(3):
        say(e="metric", key=f"m{n}", value=0.1 * step, at=1)
"#;

const ASKED: [(&str, &str); 5] = [
    ("list", ""),
    ("filter by a parameter", "params.p0<=0.01"),
    ("filter by text and sort", "params.p1=adam and metrics.m0.min<0.5 sort -metrics.m1.max"),
    ("sort by a metric", "sort -metrics.m0"),
    ("sort by a text, then a metric", "sort params.p1, -metrics.m0.max"),
];

pub fn measure() {
    let runs = std::env::var("ATLAS_BENCH_RUNS");
    let runs = runs.map_or(RUNS, |it| it.parse().expect("a number of runs"));
    let mut cluster = cluster("process", 1);
    let before = fill(&mut cluster, runs);

    let began = Instant::now();
    cluster.start_master();
    figure(&format!("master serves with {runs} runs"), began.elapsed().as_secs_f64(), "s");
    cluster.atlas(&["jobs", "--limit", "1"]).exits(0);
    figure("and the first listing is answered", began.elapsed().as_secs_f64(), "s");
    let client = client(&cluster, "finder");
    for (what, filter) in ASKED {
        pages(&client, what, filter);
    }
    let now = peers::resident_mb(cluster.pids()[0]);
    figure(&format!("memory of the master then ({before:.0} MB before)"), now, "MB");
}

/// Leaves the cluster without its master, whose project then has so many runs. The memory that it took with one, in MB.
pub fn fill(cluster: &mut Cluster, runs: u32) -> f64 {
    let dir = cluster.project(PROJECT, &[("main.py", TOLD)]);
    let id = cluster.submit(&dir, &["main.py"]);
    eventually("it is done", || (cluster.job(&id)["phase"] == "done").then_some(()));
    let before = peers::resident_mb(cluster.pids()[0]);
    cluster.kill_master();
    multiply_runs(&cluster.path("master"), runs);
    before
}

/// One page after the other, and from the beginning again.
fn pages(client: &Client, what: &str, filter: &str) {
    let request = ListJobsRequest {
        project: Some(PROJECT.into()),
        filter: filter.into(),
        limit: PAGE,
        ..ListJobsRequest::default()
    };
    let (mut samples, mut cursor, mut total) = (Vec::new(), String::new(), 0);
    for _ in 0..ROUNDS {
        let request = ListJobsRequest { cursor, ..request.clone() };
        let began = Instant::now();
        let page = client.list(request);
        samples.push(began.elapsed().as_secs_f64() * 1000.0);
        (cursor, total) = (page.next_cursor, page.total);
    }
    samples.sort_by(f64::total_cmp);
    figure(&format!("{what}, page of {PAGE} of {total}: p50"), percentile(&samples, 50), "ms");
    figure(&format!("{what}: p95"), percentile(&samples, 95), "ms");
}
