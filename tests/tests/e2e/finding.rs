//! Runs are found by what they told, by real commands on real jobs.

use atlas_tests::harness::{Cluster, Settings, eventually};
use serde_json::Value;

/// Tells its parameter and how well it did with it.
const TOLD: &str = r#"import json, os, sys
spool = os.open(os.environ["ATLAS_SPOOL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
def say(**event):
    os.write(spool, (json.dumps(event) + "\n").encode())
lr = float(sys.argv[1])
say(e="param", key="lr", value=lr, at=1)
for step in range(10):
    say(e="metric", key="acc", value=lr * step, at=1)
if lr > 1:
    say(e="tag", key="best", value="", at=1)
    sys.exit(3)
"#;

fn jobs(cluster: &Cluster, more: &[&str]) -> Vec<Value> {
    let words = [&["jobs", "--output", "json"], more].concat();
    let out = cluster.atlas(&words).exits(0).stdout;
    serde_json::from_str::<Vec<Value>>(&out).unwrap()
}

fn ids(jobs: &[Value]) -> Vec<&str> {
    jobs.iter().map(|it| it["id"].as_str().unwrap()).collect()
}

/// Of jobs submitted in this order, with lr 0.5, 2 and 0.25.
fn check(cluster: &Cluster, told: [&str; 3]) {
    let [half, two, quarter] = told;
    let found = |more: &[&str]| jobs(cluster, more);
    assert_eq!(ids(&found(&[])), [quarter, two, half]);
    assert_eq!(ids(&found(&["--filter", "params.lr<1"])), [quarter, half]);
    assert_eq!(ids(&found(&["--filter", "params.lr<1 sort -metrics.acc.max"])), [half, quarter]);
    assert_eq!(ids(&found(&["--sort", "-metrics.acc"])), [two, half, quarter]);
    assert_eq!(ids(&found(&["--sort", "metrics.acc", "--limit", "2"])), [quarter, half]);
    assert_eq!(ids(&found(&["--filter", "tags.best exists", "--status", "failed"])), [two]);
    assert_eq!(ids(&found(&["--filter", "metrics.acc.count=10 and submitted>-1h"])).len(), 3);
    let shown = found(&["--filter", "status=failed", "--columns", "params.lr, metrics.acc.max"]);
    let columns = serde_json::json!({"params.lr": 2, "metrics.acc.max": 18});
    assert_eq!(shown[0]["columns"], columns);
}

#[test]
fn runs_are_found_by_what_they_told_also_by_the_next_master() {
    let mut cluster = Cluster::start(Settings { executor: "process", ..Settings::default() });
    let dir = cluster.project("found", &[("main.py", TOLD)]);
    let told = ["0.5", "2", "0.25"].map(|lr| cluster.submit(&dir, &["main.py", lr]));
    for id in &told {
        eventually("it is done", || (cluster.job(id)["phase"] == "done").then_some(()));
    }
    let told = [&*told[0], &*told[1], &*told[2]];
    check(&cluster, told);
    cluster.kill_master();
    cluster.start_master();
    check(&cluster, told);
    let wide = cluster.atlas(&["jobs", "--output", "wide"]).exits(0).stdout;
    let title = wide.lines().next().unwrap();
    assert!(title.ends_with("params.lr  metrics.acc"), "{wide}");
    let refused = cluster.atlas(&["jobs", "--filter", "metric.acc>1"]).exits(126);
    refused.says("column 1: there is no field \"metric.acc\"; did you mean metrics.acc?");
}
