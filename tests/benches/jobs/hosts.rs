//! User, master, Redis and node on hosts of their own, with a network between them.

use std::fs::File;
use std::thread;

use atlas_tests::harness::{Node, Plan, Site};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{latencies, submit};

/// The client is a thread of its own: a thread is on the network of whoever started it, or of the host that it moved to.
pub fn latency() {
    let nodes = vec![Node::default()];
    let site = Site::start(Plan { nodes, log: "warn", ..Plan::default() });
    let measure = || {
        let network = File::open(format!("/proc/{}/ns/net", site.user_host.pid())).unwrap();
        let network_only = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&network), network_only).unwrap();
        let client = submit::Client::new(&site, site.master_url(), "date");
        latencies("submit to running, four hosts, Redis", &client, 50, &|_| ());
    };
    thread::scope(|scope| scope.spawn(measure).join().unwrap());
}
