//! Several machines: real masters, Redis, agents and engines on hosts of their own.

mod deaths;
mod network;
mod queue;
mod share;
mod streams;
mod two_of_one;
mod unshared;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Stdio};

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

/// `atlas get logs --follow` at the user's host, of a job that counts.
struct Follower {
    child: Child,
    shown: BufReader<ChildStdout>,
    log: String,
}

impl Follower {
    /// Returns when it has shown the first line.
    fn of(site: &Site, id: &str) -> Self {
        let mut command = site.command(&["get", "logs", "scheduler", "--follow", id]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut shown = BufReader::new(child.stdout.take().unwrap());
        let mut log = String::new();
        while !log.ends_with("line 0\n") {
            assert_ne!(shown.read_line(&mut log).unwrap(), 0, "the job still runs: {log}");
        }
        Self { child, shown, log }
    }

    /// It shows all of the log, and ends with its job.
    #[track_caller]
    fn shows_all(mut self) {
        self.shown.read_to_string(&mut self.log).unwrap();
        let ended = self.child.wait().unwrap();
        assert!(ended.success(), "{ended}: {}", self.log);
        is_complete(&self.log);
    }
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
