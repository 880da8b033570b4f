//! Two machines that say that they are the same node.

use std::fs;
use std::process::Command;

use atlas_tests::harness::{Node, Plan, Site, eventually};

use super::{counting, end_well};

/// The agent of the second machine says that it is the first one's.
fn site() -> Site {
    let second = Node { options: vec!["--name=node-a".into()], ..Node::default() };
    let mut site =
        Site::without_agents(Plan { nodes: vec![Node::default(), second], ..Plan::default() });
    site.nodes[0].start_agent();
    site.wait_for_node(0, "ready");
    site
}

/// The second agent has said this.
fn second_says(site: &Site, words: &str) {
    eventually("the second one says so", || {
        let log = fs::read_to_string(site.nodes[1].host.path("node.log")).ok()?;
        log.contains(words).then_some(())
    });
}

/// There is one node, the first, and it runs its job as if there were no other.
#[track_caller]
fn first_is_untouched(site: &Site, jobs: &[String]) {
    let nodes = site.json(&["node", "list"]);
    assert_eq!(nodes.as_array().unwrap().len(), 1, "{nodes:#}");
    assert_eq!(
        (&nodes[0]["state"], &nodes[0]["address"]),
        (&"ready".into(), &"10.77.0.11:5000".into())
    );
    end_well(site, jobs);
}

#[test]
fn a_second_node_of_a_name_is_refused_and_the_first_is_untouched() {
    let mut site = site();
    let jobs = counting(&site, 1);
    site.nodes[1].start_agent();
    second_says(&site, "another machine of the name node-a was here just now");
    first_is_untouched(&site, &jobs);
}

#[test]
fn a_copy_of_a_nodes_folder_on_another_machine_is_refused_and_the_node_is_untouched() {
    let mut site = site();
    let jobs = counting(&site, 1);
    let [from, to] = [0, 1].map(|it| site.nodes[it].host.path("node"));
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    site.nodes[1].start_agent();
    second_says(&site, "node-a was heard from 10.77.0.11:5000");
    // Now both of them wait for it.
    site.kill_master();
    site.start_master();
    site.wait_for_node(0, "ready");
    first_is_untouched(&site, &jobs);
}
