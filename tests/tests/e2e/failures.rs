//! What fails, and what users then see.

use std::time::{Duration, Instant};

use atlas_tests::harness::{Cluster, Settings, eventually};

/// Counts to ten in two seconds, on its log and in a ledger beside it.
const COUNT: &str =
    "import time\nfor n in range(20):\n    print('line', n, flush=True)\n    time.sleep(0.1)\n";

fn expected() -> String {
    (0..20).map(|n| format!("line {n}\n")).collect()
}

fn log(cluster: &Cluster, id: &str) -> String {
    let text = cluster.atlas(&["get", "logs", "scheduler", id]).exits(0).stdout;
    let begin = text.find("line 0\n").unwrap_or_else(|| panic!("no first line in {text:?}"));
    text[begin..].to_owned()
}

fn master_is_killed(executor: &'static str) {
    let mut cluster = Cluster::start(Settings { executor, ..Settings::default() });
    let dir = cluster.project("count", &[("main.py", COUNT)]);
    let ids: Vec<String> = (0..3).map(|_| cluster.submit(&dir, &["main.py"])).collect();
    cluster.wait_status(&ids[0], "running");
    cluster.kill_master();
    cluster.start_master();
    for id in &ids {
        cluster.atlas(&["wait", id]).exits(0);
        assert_eq!(log(&cluster, id), expected());
        assert_eq!(cluster.job(id)["attempt"], 1);
    }
}

#[test]
fn running_and_queued_processes_survive_the_death_of_the_master() {
    master_is_killed("process");
}

#[test]
fn running_and_queued_containers_survive_the_death_of_the_master() {
    master_is_killed("docker");
}

fn agent_is_killed(executor: &'static str) {
    let mut cluster = Cluster::start(Settings { executor, ..Settings::default() });
    let dir = cluster.project("count", &[("main.py", COUNT)]);
    let ids: Vec<String> = (0..2).map(|_| cluster.submit(&dir, &["main.py"])).collect();
    cluster.wait_status(&ids[0], "running");
    cluster.kill_node();
    cluster.start_node();
    for id in &ids {
        cluster.atlas(&["wait", id]).exits(0);
        assert_eq!(log(&cluster, id), expected());
        assert_eq!(cluster.job(id)["attempt"], 1, "it was started again");
    }
}

#[test]
fn a_running_process_is_adopted_by_the_next_agent() {
    agent_is_killed("process");
}

#[test]
fn a_running_container_is_adopted_by_the_next_agent() {
    agent_is_killed("docker");
}

#[test]
fn an_exit_while_the_agent_is_dead_is_the_truth() {
    let mut cluster = Cluster::start(Settings::default());
    let dir = cluster.project(
        "quick",
        &[("main.py", "import time, sys\nprint('in', flush=True)\ntime.sleep(1)\nsys.exit(7)\n")],
    );
    let id = cluster.submit(&dir, &["main.py"]);
    cluster.wait_status(&id, "running");
    cluster.kill_node();
    let node = cluster.path("node/jobs");
    eventually("the job has ended without its agent", || {
        let entry = std::fs::read_dir(&node).ok()?.next()?.ok()?;
        entry.path().join("control/exit").exists().then_some(())
    });
    cluster.start_node();
    cluster.atlas(&["wait", &id]).exits(7);
}

#[test]
fn a_master_that_stood_still_for_40_seconds_ends_no_lease() {
    let cluster = Cluster::start(Settings::default());
    let dir = cluster
        .project("long", &[("main.py", "import time\nprint('in', flush=True)\ntime.sleep(45)\n")]);
    let id = cluster.submit(&dir, &["main.py"]);
    cluster.wait_status(&id, "running");
    cluster.signal_master("STOP");
    let since = Instant::now();
    eventually("the master has stood still", || {
        (since.elapsed() > Duration::from_secs(40)).then_some(())
    });
    cluster.signal_master("CONT");
    cluster.atlas(&["wait", &id]).exits(0);
    assert_eq!(cluster.job(&id)["attempt"], 1);
}
