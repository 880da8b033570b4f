//! Streams of a job whose node goes away under them.

use std::fs::{self, File};
use std::process::Stdio;

use atlas_tests::harness::{Node, Plan, Site, eventually};

use super::{counting, end_well, is_complete};

#[test]
fn who_follows_a_log_is_told_of_a_pulled_cable_and_reads_on_where_it_was() {
    let site = Site::start(Plan { nodes: vec![Node::default()], ..Plan::default() });
    let ids = counting(&site, 1);
    let (shown, said) = (site.path("shown"), site.path("said"));
    let follower = site
        .command(&["get", "logs", "--follow", "scheduler", &ids[0]])
        .stdout(File::create(&shown).unwrap())
        .stderr(File::create(&said).unwrap())
        .spawn();
    let text = |of| fs::read_to_string(of).unwrap();
    eventually("lines are shown", || text(&shown).contains("line 2\n").then_some(()));
    site.pull_cable(&site.nodes[0].host);
    eventually("it is told", || text(&said).contains("node-a").then_some(()));
    let now = site.atlas(&["get", "logs", "scheduler", &ids[0]]).exits(126);
    now.says("node node-a at ").says("does not answer");
    let lines = text(&shown).lines().count();
    site.plug_cable(&site.nodes[0].host);
    eventually("it goes on", || (text(&shown).lines().count() > lines).then_some(()));
    end_well(&site, &ids);
    assert!(follower.unwrap().wait().unwrap().success(), "{}", text(&said));
    is_complete(&text(&shown));
    assert_eq!(text(&said).matches("node-a").count(), 1, "it is told once");
}

/// TCP connections that the master holds to an address.
fn connections(site: &Site, to: &str) -> usize {
    site.master_host.run(&["ss", "-tnH", "state", "established", "dst", to]).lines().count()
}

#[test]
fn a_client_that_vanishes_in_mid_stream_costs_the_master_nothing_for_long() {
    let site = Site::start(Plan { nodes: vec![Node::default()], ..Plan::default() });
    let ids = counting(&site, 1);
    let mut follower = site.command(&["get", "logs", "--follow", "scheduler", &ids[0]]);
    let mut follower = follower.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let user = "10.77.0.3";
    eventually("the master holds a connection", || (connections(&site, user) > 0).then_some(()));
    site.pull_cable(&site.user_host);
    eventually("the master has ended it", || (connections(&site, user) == 0).then_some(()));
    site.plug_cable(&site.user_host);
    follower.kill().unwrap();
    follower.wait().unwrap();
    end_well(&site, &ids);
}
