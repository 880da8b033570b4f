//! A million events, each there once and in order, whoever is killed meanwhile.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use atlas_tests::harness::{Cluster, Server, Settings, eventually};

use crate::tracking::{check_loss, get};

const MILLION: u64 = 1_000_000;

/// Logs until it is killed, and after each call writes down that it returned, where that outlives it. The end that it has is only
/// for a machine on which the others take far longer to come back.
const ENDLESS: &str = r#"import foundations, mmap, os, signal, sys
with open(sys.argv[1], "r+b") as file:
    ledger = memoryview(mmap.mmap(file.fileno(), 16)).cast("Q")
ledger[1] = os.getpid()
for n in range(3_000_000):
    foundations.log_metric("loss", n)
    ledger[0] = n + 1
signal.pause()
"#;

/// What a job wrote down outside of everything that is tried here.
struct Ledger(PathBuf);

impl Ledger {
    /// A file of this name, and the job that has it.
    fn begin(cluster: &Cluster) -> (Self, String) {
        let ledger = Self(cluster.path("ledger"));
        fs::write(&ledger.0, [0; 16]).unwrap();
        let dir = cluster.project("endless", &[("main.py", ENDLESS)]);
        let id = cluster.submit(&dir, &["main.py", ledger.0.to_str().unwrap()]);
        (ledger, id)
    }

    fn word(&self, at: usize) -> u64 {
        let bytes = fs::read(&self.0).unwrap();
        u64::from_ne_bytes(bytes[at * 8..at * 8 + 8].try_into().unwrap())
    }

    /// How many calls returned.
    fn returned(&self) -> u64 {
        self.word(0)
    }

    /// Waits until so many calls have returned.
    fn reaches(&self, calls: u64) {
        eventually("the job goes on", || (self.returned() >= calls).then_some(()));
    }

    fn kill_job(&self) {
        let pid = self.word(1).to_string();
        let killed = Command::new("kill").args(["-KILL", &pid]).status().unwrap();
        assert!(killed.success(), "the job was gone before it was killed");
    }
}

/// How many of its events a master has for good.
fn counted(cluster: &Cluster, id: &str) -> u64 {
    get(cluster, &format!("/jobs/{id}/run"))["metrics"]["loss"]["count"].as_u64().unwrap_or(0)
}

/// `killed_store`: what else dies with the master.
fn every_event_of_a_million_counts_once(settings: Settings, mut killed_store: impl FnMut()) {
    let mut cluster = Cluster::start(Settings { log: "info", ..settings });
    let (ledger, id) = Ledger::begin(&cluster);
    for part in 1..=3 {
        ledger.reaches(part * MILLION / 5);
        cluster.kill_node();
        cluster.start_node();
        let had = counted(&cluster, &id);
        eventually("more is counted", || (counted(&cluster, &id) > had).then_some(()));
        cluster.kill_master();
        killed_store();
        cluster.start_master();
    }
    cluster.kill_master();
    cluster.kill_node();
    ledger.reaches(MILLION);
    ledger.kill_job();
    cluster.start_master();
    cluster.start_node();

    cluster.atlas(&["wait", &id]).exits(137);
    eventually("it is archived", || (cluster.job(&id)["phase"] == "done").then_some(()));
    let (returned, counted) = (ledger.returned(), counted(&cluster, &id));
    // What was written by a call that did not come to return may be there.
    let is_right = counted == returned || counted == returned + 1;
    assert!(is_right, "{returned} calls returned, {counted} are there");
    check_loss(&cluster, &id, counted);
    assert_eq!(cluster.job(&id)["attempt"], 1);
}

#[test]
fn every_event_of_a_million_counts_once_whoever_is_killed() {
    every_event_of_a_million_counts_once(Settings::default(), || ());
}

#[test]
fn every_event_of_a_million_counts_once_where_the_state_is_in_a_redis_that_is_killed_too() {
    let mut server = Server::start(&[]);
    let env = vec![("ATLAS_REDIS", server.url())];
    every_event_of_a_million_counts_once(Settings { env, ..Settings::default() }, || {
        server.kill();
        server.start_again();
    });
}
