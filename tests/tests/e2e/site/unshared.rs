//! A node that mounts no share, behind a line that is slow and then cut.

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
