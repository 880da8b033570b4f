//! Events from spools into runs: one job that logs as fast as it can, and a hundred of them.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use atlas_tests::harness::{Cluster, eventually};
use serde_json::Value;

use super::{client, cluster, figure, peers};

const KEYS: u64 = 20;

/// So many points of twenty metrics, as the SDK writes them, when `go` is there.
fn script(go: &str, points: u64) -> String {
    format!(
        "import os, time\n\
         spool = os.open(os.environ['ATLAS_SPOOL'], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)\n\
         line = b'{{\"e\":\"metric\",\"key\":\"metric-%d\",\"value\":%.17g,\"step\":%d,\"at\":%d}}\\n'\n\
         while not os.path.exists({go:?}): time.sleep(0.05)\n\
         for part in range(0, {points} // {KEYS}, 50):\n\
         \x20   os.write(spool, b''.join(line % (key, key / (n + 1), n, 1790000000000 + n)\n\
         \x20       for n in range(part, part + 50) for key in range({KEYS})))\n\
         time.sleep(1000)\n"
    )
}

pub fn measure() {
    ingest("1 job", 1, 2_000_000);
    ingest("100 jobs", 100, 20_000);
}

fn ingest(name: &str, jobs: u32, points: u64) {
    let cluster = cluster("process", jobs);
    let client = client(&cluster, "tracker");
    let go = cluster.path("go");
    let script = script(go.to_str().unwrap(), points);
    let ids: Vec<String> =
        (0..jobs).map(|_| client.submit_one(&["python3", "-c", &script])).collect();
    ids.iter().for_each(|it| drop(cluster.wait_status(it, "running")));
    let [master, agent] = cluster.pids();
    let before = [master, agent].map(peers::cpu);
    let began = Instant::now();
    fs::write(&go, "").unwrap();
    for id in &ids {
        eventually("all of it has come", || (counted(&cluster, id) == points).then_some(()));
    }
    let took = began.elapsed().as_secs_f64();
    let all = f64::from(jobs) * points as f64;
    figure(&format!("events of {name} into runs"), all / took, "points/s");
    for (who, pid, before) in [("master", master, before[0]), ("agent", agent, before[1])] {
        let busy = (peers::cpu(pid) - before) * 1000.0 / all;
        figure(&format!("events of {name}, CPU of the {who} a point"), busy, "us");
        figure(&format!("events of {name}, memory of the {who}"), peers::peak_mb(pid), "MB");
    }
}

/// Points of the run that count.
fn counted(cluster: &Cluster, id: &str) -> u64 {
    let mut stream = TcpStream::connect(cluster.http()).unwrap();
    let head = "Host: localhost\r\nConnection: close\r\n\r\n";
    write!(stream, "GET /api/v1/jobs/{id}/run HTTP/1.1\r\n{head}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let body = answer.split_once("\r\n\r\n").map_or("", |it| it.1);
    let run: Value = serde_json::from_str(body).unwrap_or_default();
    let metrics = run["metrics"].as_object().into_iter().flatten();
    metrics.filter_map(|(_, it)| it["count"].as_u64()).sum()
}
