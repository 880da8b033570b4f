//! Several machines: real masters, Redis, agents and engines on hosts of their own.

mod deaths;
mod network;
mod queue;
mod share;
mod two_of_one;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use atlas_tests::harness::{Site, eventually};

/// Counts on its log until it is told to end. Says in a ledger on the share that it has begun.
const COUNT: &str = "echo begun >> $ATLAS_CHECKPOINT_DIR/ledger\n\
    n=0; until [ -e $ATLAS_CHECKPOINT_DIR/go ]; do echo line $n; n=$((n+1)); sleep 0.5; done; echo end $n\n";

/// The job's `$ATLAS_CHECKPOINT_DIR`.
fn checkpoints(site: &Site, id: &str) -> PathBuf {
    site.shared("jobs").join(&id[..2]).join(id).join("checkpoints")
}

fn begun(site: &Site, id: &str) -> Option<usize> {
    Some(fs::read_to_string(checkpoints(site, id).join("ledger")).ok()?.lines().count())
}

fn let_end(site: &Site, id: &str) {
    fs::write(checkpoints(site, id).join("go"), "").unwrap();
}

/// Submits so many jobs that count; returns when all of them do.
fn counting(site: &Site, jobs: usize) -> Vec<String> {
    let dir = site.project("count", &[("count.sh", COUNT)]);
    let ids: Vec<String> = (0..jobs).map(|_| site.submit(&dir, &["sh", "count.sh"])).collect();
    for id in &ids {
        eventually("a job counts", || begun(site, id));
    }
    ids
}

/// Ends the jobs: each was run once, from its beginning to its end, and its log is all there.
#[track_caller]
fn end_well(site: &Site, ids: &[String]) {
    ids.iter().for_each(|it| let_end(site, it));
    for id in ids {
        site.atlas(&["wait", id]).exits(0);
        let job =
            eventually("it is archived", || Some(site.job(id)).filter(|it| it["phase"] == "done"));
        assert_eq!((&job["attempt"], begun(site, id)), (&1.into(), Some(1)), "{job:#}");
        let log = site.atlas(&["get", "logs", "scheduler", id]).exits(0).stdout;
        is_complete(&log);
    }
}

#[track_caller]
fn is_complete(log: &str) {
    let begin = log.find("line 0\n").unwrap_or_else(|| panic!("no first line in {log:?}"));
    let lines: Vec<&str> = log[begin..].lines().collect();
    let (last, counted) = lines.split_last().unwrap();
    assert_eq!(*last, format!("end {}", counted.len()), "{log}");
    assert!(counted.iter().enumerate().all(|(n, it)| *it == format!("line {n}")), "{log}");
}

/// How many of these jobs each node has.
fn by_node(site: &Site, ids: &[String]) -> BTreeMap<String, usize> {
    let mut nodes = BTreeMap::new();
    for id in ids {
        let node = site.job(id)["node"].as_str().unwrap_or("none").to_owned();
        *nodes.entry(node).or_default() += 1;
    }
    nodes
}
