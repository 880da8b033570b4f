//! Which job goes where, and when.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use atlas_tests::harness::{Node, Plan, Site, eventually};

/// Writes down that it has begun, and goes on until the file `go` is there.
fn waits_for(go: &Path, ledger: &Path) -> String {
    format!(
        "echo $ATLAS_JOB_ID >> {}; until [ -e {} ]; do sleep 0.05; done",
        ledger.display(),
        go.display()
    )
}

fn node_of(site: &Site, id: &str) -> String {
    let job = site.wait_status(id, "running");
    job["node"].as_str().unwrap_or_else(|| panic!("{job:#}")).to_owned()
}

#[test]
fn jobs_without_gpus_spread_over_the_nodes_and_each_log_is_followed_from_another_host() {
    let nodes = vec![Node { workers: 2, ..Node::default() }; 3];
    let site = Site::start(Plan { nodes, ..Plan::default() });
    let dir = site.project("spread", &[]);
    let (go, ledger) = (site.path("go"), site.path("ledger"));
    let script = format!("echo here; {}; echo end", waits_for(&go, &ledger));
    let ids: Vec<String> = (0..6).map(|_| site.submit(&dir, &["sh", "-c", &script])).collect();
    let on: Vec<String> = ids.iter().map(|it| node_of(&site, it)).collect();
    let expected = ["node-a", "node-b", "node-c", "node-a", "node-b", "node-c"];
    assert_eq!(on, expected, "each went where most slots were free");
    let mut followers = Vec::new();
    for id in &ids[..3] {
        let mut command = site.command(&["get", "logs", "scheduler", "--follow", id]);
        followers.push(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    }
    fs::write(go, "").unwrap();
    for follower in followers {
        let output = follower.wait_with_output().unwrap();
        assert!(output.stdout.ends_with(b"here\nend\n"), "{output:?}");
    }
    eventually("all have ended", || {
        ids.iter().all(|it| site.job(it)["status"] == "completed").then_some(())
    });
}
