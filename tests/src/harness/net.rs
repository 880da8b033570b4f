//! The network between hosts: a bridge in a network namespace of its own, and a cable to each host.

use std::net::Ipv4Addr;
use std::path::Path;

use super::eventually;
use super::host::{Host, Namespaces};
use super::place::Place;

/// Holds the bridge. When its input ends every host is gone or about to be, and it removes what they leave.
const SWITCH: &str = "ip link add bridge type bridge && ip link set bridge up && echo ready || exit 1\n\
    cat >/dev/null\n\
    until rm -rf -- \"$1\"; do sleep 0.1; done 2>/dev/null\n\
    find /sys/fs/cgroup -depth -type d -path \"*/$2*\" -exec rmdir {} + 2>/dev/null";

#[derive(Debug)]
pub struct Switch(Namespaces);

impl Switch {
    /// `folder` and control groups that begin with its name are removed at the end.
    pub fn new(folder: &Path) -> Self {
        let name = folder.file_name().and_then(|it| it.to_str()).unwrap();
        Self(Namespaces::hold(&["--net"], SWITCH, &[folder.to_str().unwrap(), name]))
    }

    fn run(&self, words: &[&str]) {
        Place::in_network_of(self.0.pid()).run(words);
    }

    pub fn connect(&self, host: &Host, address: Ipv4Addr) {
        let (port, pid) = (port(host), host.pid().to_string());
        let peer = ["peer", "name", "eth0", "netns", &pid];
        self.run(&[&["ip", "link", "add", "name", &port, "type", "veth"], &peer[..]].concat());
        self.run(&["ip", "link", "set", "dev", &port, "master", "bridge", "up"]);
        host.run(&["ip", "address", "add", &format!("{address}/24"), "dev", "eth0"]);
        host.run(&["ip", "link", "set", "eth0", "up"]);
    }

    pub fn pull_cable(&self, host: &Host) {
        self.run(&["ip", "link", "set", "dev", &port(host), "down"]);
    }

    /// Returns when the host can be reached. What it found unreachable meanwhile it forgets: a
    /// search for an address that began without the cable would fail seconds later, and take
    /// what was sent since then with it.
    pub fn plug_cable(&self, host: &Host) {
        self.run(&["ip", "link", "set", "dev", &port(host), "up"]);
        let link = ["ip", "-brief", "link", "show", "dev", "eth0", "up"];
        eventually("the cable carries", || host.run(&link).contains(" UP ").then_some(()));
        host.run(&["ip", "neighbour", "flush", "dev", "eth0"]);
    }
}

/// The switch's end of the host's cable.
fn port(host: &Host) -> String {
    format!("to-{}", host.name())
}
