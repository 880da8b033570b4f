//! A node that mounts no share, behind a line that is slow and then cut.

use std::fs;
use std::time::{Duration, Instant};

use atlas_tests::harness::{Node, Plan, Site, eventually};

#[test]
fn what_a_node_without_the_share_keeps_of_a_job_survives_a_cable_pulled_in_mid_shipment() {
    let nodes = vec![Node { shared: false, ..Node::default() }];
    let site = Site::start(Plan { lease: "1m", nodes, ..Plan::default() });
    let host = &site.nodes[0].host;
    // 80 MB take some seconds.
    let limit = ["root", "tbf", "rate", "100mbit", "burst", "256k", "latency", "100ms"];
    host.run(&[&["tc", "qdisc", "add", "dev", "eth0"], &limit[..]].concat());
    let dir = site.project("large", &[]);
    let script = "head -c 80000000 /dev/urandom > large; sha256sum < large";
    let job = site.submit(&dir, &["sh", "-c", script]);
    eventually("it is being archived", || (site.job(&job)["phase"] == "archiving").then_some(()));
    site.pull_cable(host);
    site.wait_for_node(0, "away");
    assert_eq!(site.job(&job)["phase"], "archiving", "it was too quick for this test");
    site.plug_cable(host);
    let kept =
        eventually("it is archived", || Some(site.job(&job)).filter(|it| it["phase"] == "done"));
    assert_eq!((&kept["attempt"], &kept["left_behind"]), (&1.into(), &serde_json::Value::Null));
    let large = site.shared("jobs").join(&job[..2]).join(&job).join("outputs/large");
    let sum = site.master_host.run(&["sha256sum", large.to_str().unwrap()]);
    let log = site.atlas(&["get", "logs", "scheduler", &job]).exits(0).stdout;
    assert!(log.contains(sum.split_whitespace().next().unwrap()), "{sum}: {log}");
}

/// Saves once and waits; the next attempt says what it found.
const SAVES: &str = "cd $ATLAS_CHECKPOINT_DIR; if [ -e saved ]; then echo found $(cat saved); exit; fi\n\
    hostname > saved; echo saved; exec sleep 600\n";

#[test]
fn a_checkpoint_goes_from_one_node_without_the_share_to_the_next_attempt_on_another() {
    let unshared = |workers| Node { shared: false, workers, ..Node::default() };
    let nodes = vec![unshared(1), unshared(2)];
    let mut site = Site::without_agents(Plan { nodes, ..Plan::default() });
    site.nodes[0].start_agent();
    let dir = site.project("saves", &[("saves.sh", SAVES)]);
    let job = site.submit(&dir, &["sh", "saves.sh"]);
    eventually("it has saved", || {
        site.atlas(&["get", "logs", "scheduler", &job]).stdout.contains("saved\n").then_some(())
    });
    // With more free slots than the first it is where the next attempt goes.
    site.nodes[1].start_agent();
    site.wait_for_nodes();
    site.nodes[0].host.run(&["pkill", "-KILL", "-f", "atlas-supervisor"]);
    site.atlas(&["wait", &job]).exits(0);
    let ended = site.job(&job);
    assert_eq!((&ended["attempt"], &ended["node"]), (&2.into(), &"node-b".into()), "{ended:#}");
    let log = site.atlas(&["get", "logs", "scheduler", &job]).exits(0).stdout;
    assert!(log.ends_with("found node-a\n"), "{log}");
}

/// A node without the share, and a job there that has saved something.
fn has_saved(script: &str) -> (Site, String) {
    let nodes = vec![Node { shared: false, ..Node::default() }];
    let site = Site::start(Plan { lease: "40s", nodes, ..Plan::default() });
    let dir = site.project("saves", &[("saves.sh", script)]);
    let job = site.submit(&dir, &["sh", "saves.sh"]);
    eventually("it has saved", || {
        site.atlas(&["get", "logs", "scheduler", &job]).stdout.contains("saved\n").then_some(())
    });
    (site, job)
}

#[test]
fn a_job_whose_node_lost_the_lease_goes_on_there_with_what_it_had_saved_when_the_cable_is_back() {
    let (site, job) = has_saved(SAVES);
    site.pull_cable(&site.nodes[0].host);
    site.wait_status(&job, "queued");
    site.plug_cable(&site.nodes[0].host);
    site.atlas(&["wait", &job]).exits(0);
    let ended = site.job(&job);
    assert_eq!((&ended["attempt"], &ended["node"]), (&2.into(), &"node-a".into()), "{ended:#}");
    let log = site.atlas(&["get", "logs", "scheduler", &job]).exits(0).stdout;
    assert!(log.ends_with("found node-a\n"), "{log}");
}

/// Saves once and waits; the next attempt says how much it found.
const COUNTS: &str = "cd $ATLAS_CHECKPOINT_DIR; [ $ATLAS_ATTEMPT = 1 ] || { echo found $(ls | wc -l); exit; }\n\
    echo 1 > saved; echo saved; exec sleep 600\n";

#[test]
fn a_job_is_queued_again_when_the_storage_takes_nothing_of_what_it_had_saved_for_two_leases() {
    let (site, job) = has_saved(COUNTS);
    let share = site.path("share").display().to_string();
    let mount = |how: &str| site.master_host.run(&["mount", "-o", how, &share]);
    mount("remount,bind,ro");
    let began = Instant::now();
    site.nodes[0].host.run(&["pkill", "-KILL", "-f", "atlas-supervisor"]);
    eventually("it is tried again", || (site.job(&job)["attempt"] == 2).then_some(()));
    let held = began.elapsed();
    assert!(held >= Duration::from_secs(80), "its slot was given away after {held:?}");
    mount("remount,bind,rw");
    site.atlas(&["wait", &job]).exits(0);
    let log = site.atlas(&["get", "logs", "scheduler", &job]).exits(0).stdout;
    assert!(log.ends_with("found 0\n"), "{log}");
}

#[test]
fn a_lost_attempt_keeps_its_slot_for_two_leases_where_the_master_does_not_answer() {
    let (site, job) = has_saved(COUNTS);
    let host = &site.nodes[0].host;
    site.pull_cable(&site.master_host);
    host.run(&["pkill", "-KILL", "-f", "atlas-supervisor"]);
    eventually("its slot is given back", || {
        let log = fs::read_to_string(host.path("node.log")).unwrap();
        log.contains("of its checkpoints nothing more was taken for 80s").then_some(())
    });
    site.plug_cable(&site.master_host);
    site.atlas(&["wait", &job]).exits(0);
    let log = site.atlas(&["get", "logs", "scheduler", &job]).exits(0).stdout;
    assert!(log.ends_with("found 0\n"), "{log}");
}
