//! A cable that is pulled from a node, for less and for more than its lease, from Redis, and from the master.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use atlas_tests::harness::{Node, Plan, Site, eventually};
use serde_json::Value;

use super::{Follower, counting, end_well, let_end};

/// Writes every 100 ms when it was and who, and ends only when it is killed or told to. `argv`: the ledger, and what tells it.
const LEDGER: &str = "import os, signal, sys, time\n\
    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
    me = '%s %d' % (os.environ['ATLAS_ATTEMPT'], os.getpid())\n\
    while not os.path.exists(sys.argv[2]):\n\
    \x20   with open(sys.argv[1], 'a') as ledger:\n\
    \x20       ledger.write('%d %s\\n' % (time.clock_gettime_ns(time.CLOCK_BOOTTIME), me))\n\
    \x20   time.sleep(0.1)\n";

/// One line of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sign {
    at: u64,
    attempt: u32,
    pid: u32,
}

fn signs(ledger: &Path) -> Vec<Sign> {
    let text = fs::read_to_string(ledger).unwrap_or_default();
    // The last line may be half written.
    let lines = text.split_inclusive('\n').filter(|it| it.ends_with('\n'));
    let sign = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        let [attempt, pid] = [1, 2].map(|at| u32::try_from(number(at)).unwrap());
        Sign { at: number(0), attempt, pid }
    };
    lines.map(sign).collect()
}

/// A job that leaves signs; returns when it has.
fn leaves_signs(site: &Site, ledger: &Path, until: &Path) -> String {
    let dir = site.project("signs", &[("main.py", LEDGER)]);
    let job = site.submit(&dir, &["main.py", ledger.to_str().unwrap(), until.to_str().unwrap()]);
    eventually("it leaves signs", || signs(ledger).first().cloned());
    job
}

fn node(site: &Site, name: &str) -> Value {
    let nodes = site.json(&["node", "list"]);
    nodes.as_array().unwrap().iter().find(|it| it["name"] == name).unwrap().clone()
}

#[test]
fn a_cable_pulled_for_less_than_the_lease_touches_no_job_and_a_log_goes_on_where_it_was() {
    let nodes = vec![Node { workers: 2, ..Node::default() }; 2];
    let site = Site::start(Plan { lease: "1m", nodes, ..Plan::default() });
    let (ledger, until) = (site.path("ledger"), site.path("until"));
    let job = leaves_signs(&site, &ledger, &until);
    let counting = counting(&site, 2);
    assert!([&job, &counting[1]].iter().all(|it| site.job(it)["node"] == "node-a"));
    let follower = Follower::of(&site, &counting[1]);
    site.pull_cable(&site.nodes[0].host);
    site.wait_for_node(0, "away");
    assert_eq!(site.job(&job)["status"], "running");
    site.plug_cable(&site.nodes[0].host);
    site.wait_for_node(0, "ready");
    end_well(&site, &counting);
    follower.shows_all();
    fs::write(until, "").unwrap();
    site.atlas(&["wait", &job]).exits(0);
    assert_eq!(site.job(&job)["attempt"], 1);
    let signs = signs(&ledger);
    let first = &signs[0];
    assert!(signs.iter().all(|it| (it.attempt, it.pid) == (1, first.pid)), "{signs:?}");
    let longest = signs.windows(2).map(|it| it[1].at - it[0].at).max().unwrap();
    assert!(longest < 10_000_000_000, "it stood still for {longest} ns");
}

#[test]
fn a_cable_pulled_for_longer_ends_jobs_there_before_they_start_elsewhere() {
    let nodes = vec![Node::default(); 2];
    let site = Site::start(Plan { lease: "40s", nodes, ..Plan::default() });
    let (ledger, until) = (site.path("ledger"), site.path("until"));
    let job = leaves_signs(&site, &ledger, &until);
    let before = node(&site, "node-a");
    site.pull_cable(&site.nodes[0].host);
    eventually("it runs elsewhere", || signs(&ledger).iter().find(|it| it.attempt == 2).cloned());
    let moved = site.wait_status(&job, "running");
    assert_eq!((&moved["node"], &moved["attempt"]), (&"node-b".into(), &2.into()), "{moved:#}");

    site.plug_cable(&site.nodes[0].host);
    site.wait_for_node(0, "ready");
    let after = node(&site, "node-a");
    assert_eq!(before["joined_at"], after["joined_at"], "it is another node: {after:#}");
    // It works, and what it had lost stays where it is.
    let dir = site.project("next", &[]);
    let next = site.submit(&dir, &["true"]);
    site.atlas(&["wait", &next]).exits(0);
    assert_eq!(site.job(&next)["node"], "node-a");
    fs::write(until, "").unwrap();
    site.atlas(&["wait", &job]).exits(0);
    assert_eq!(site.job(&job)["attempt"], 2);
    let signs = signs(&ledger);
    let last = signs.iter().filter(|it| it.attempt == 1).map(|it| it.at).max().unwrap();
    let first = signs.iter().filter(|it| it.attempt == 2).map(|it| it.at).min().unwrap();
    eprintln!("{} ms between the two", (first - last) / 1_000_000);
    assert!(last < first, "it ran twice for {} ms", (last - first) / 1_000_000);
}

#[test]
fn a_redis_that_nothing_reaches_refuses_submissions_within_seconds_and_jobs_go_on() {
    let site = Site::start(Plan::default());
    let ids = counting(&site, 3);
    let (early, late) = ids.split_at(1);
    let dir = site.project("refused", &[]);
    let submit = ["submit", "--quiet", "--detach", "scheduler", dir.to_str().unwrap(), "true"];
    site.pull_cable(&site.redis_host);
    for _ in 0..2 {
        let began = Instant::now();
        site.atlas(&submit).exits(126).says("store");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    early.iter().for_each(|it| let_end(&site, it));
    site.plug_cable(&site.redis_host);
    end_well(&site, early);
    let next = eventually("it takes jobs again", || {
        let run = site.atlas(&submit);
        (run.code == 0).then(|| run.stdout.trim().to_owned())
    });
    site.atlas(&["wait", &next]).exits(0);
    end_well(&site, late);
}

#[test]
fn a_master_that_nothing_reaches_for_a_while_finds_every_job_as_it_was() {
    let site = Site::start(Plan { lease: "1m", ..Plan::default() });
    let ids = counting(&site, 3);
    let (early, late) = ids.split_at(1);
    let follower = Follower::of(&site, &ids[0]);
    site.pull_cable(&site.master_host);
    early.iter().for_each(|it| let_end(&site, it));
    // Its nodes find that it does not answer, and so does whoever follows.
    let log = |at: usize| fs::read_to_string(site.nodes[at].host.path("node.log")).unwrap();
    for at in 0..3 {
        eventually("its nodes have noticed", || log(at).contains("has not answered").then_some(()));
    }
    site.plug_cable(&site.master_host);
    site.wait_for_nodes();
    end_well(&site, early);
    follower.shows_all();
    end_well(&site, late);
}
