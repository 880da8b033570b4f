//! Several hosts with a network between them: a master, a Redis, nodes, and a user at a host of their own.
//!
//! Every host is made of namespaces that a process of its own holds until the test ends, in whatever way it ends. They have the
//! same addresses in every site, because no site sees another.

use std::fs;
use std::net::Ipv4Addr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::thread;

use super::atlas::Atlas;
use super::cluster::show_ends;
use super::host::Host;
use super::machine::{Machine, Node, Surroundings, mount};
use super::net::Switch;
use super::place::{Place, Process};
use super::redis::Server;
use super::{binary, eventually};

/// How a site is made.
pub struct Plan {
    pub lease: &'static str,
    /// Of master and agents.
    pub log: &'static str,
    /// They are called node-a, node-b, …
    pub nodes: Vec<Node>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { lease: "5m", log: "debug", nodes: vec![Node::default(); 3] }
    }
}

const MASTER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const REDIS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const USER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);
const FIRST_NODE: u8 = 11;
const GRPC: &str = "10.77.0.1:5558";

pub struct Site {
    user: Atlas,
    pub nodes: Vec<Machine>,
    redis: Server,
    master: Option<Process>,
    pub master_host: Host,
    pub redis_host: Host,
    pub user_host: Host,
    lease: &'static str,
    surroundings: Surroundings,
    switch: Switch,
    /// Last: with it goes everything that lies here.
    folder: PathBuf,
}

impl Site {
    pub fn start(plan: Plan) -> Self {
        let mut site = Self::without_agents(plan);
        site.nodes.iter_mut().for_each(Machine::start_agent);
        site.wait_for_nodes();
        site
    }

    /// Everything runs but the nodes' agents.
    pub fn without_agents(plan: Plan) -> Self {
        let folder = tempfile::Builder::new().prefix("atlas-site-").tempdir().unwrap().keep();
        let switch = Switch::new(&folder);
        let boot = |name: &str, address: Ipv4Addr| {
            let host = Host::boot(name, folder.join(name));
            switch.connect(&host, address);
            host
        };
        let surroundings = Surroundings {
            site: folder.file_name().unwrap().to_str().unwrap().to_owned(),
            master: format!("http://{GRPC}"),
            log: plan.log,
            token: folder.join("master/data/join-token"),
            exports: folder.join("exports"),
            share: folder.join("share"),
        };
        for path in [&surroundings.exports, &surroundings.share] {
            fs::create_dir(path).unwrap();
        }
        let master_host = boot("master", MASTER);
        mount(&master_host, &surroundings);
        let redis_host = boot("redis", REDIS);
        let redis = Server::start_by(
            &Place::in_network_of(redis_host.pid()).words(),
            &["--port", "6379", "--bind", &REDIS.to_string(), "--protected-mode", "no"],
        );
        let user_host = boot("user", USER);
        let user = Atlas::new(user_host.place(), &folder.join("user"), Vec::new());
        user.goes_to(GRPC);
        let nodes = (FIRST_NODE..).zip('a'..).zip(plan.nodes);
        let nodes = nodes.map(|((number, letter), node)| {
            let address = Ipv4Addr::new(10, 77, 0, number);
            let host = boot(&format!("node-{letter}"), address);
            Machine::new(host, format!("{address}:5000"), node, surroundings.clone())
        });
        let nodes = nodes.collect();
        let mut site = Self {
            user,
            nodes,
            redis,
            master: None,
            master_host,
            redis_host,
            user_host,
            lease: plan.lease,
            surroundings,
            switch,
            folder,
        };
        site.start_master();
        site
    }

    /// In the site's folder, which is the same on every host.
    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.join(below)
    }

    /// Where every host reaches the master.
    pub fn master_url(&self) -> &str {
        &self.surroundings.master
    }

    /// A file of the share, as it is wherever it is mounted.
    pub fn shared(&self, below: impl AsRef<Path>) -> PathBuf {
        self.surroundings.exports.join(below)
    }

    /// Returns when it serves; nodes need a moment more to come back.
    pub fn start_master(&mut self) {
        let data = self.master_host.path("data");
        let _ = fs::remove_file(data.join("endpoints.json"));
        let mut command = self.master_host.command(binary("atlas-master"));
        command
            .args(["--http", "10.77.0.1:5555", "--grpc", GRPC, "--insecure-no-accounts"])
            .args(["--redis", &format!("redis://{REDIS}:6379"), "--lease", self.lease])
            .arg("--data")
            .arg(&data)
            .arg("--shared")
            .arg(&self.surroundings.share)
            .env("ATLAS_LOG", self.surroundings.log);
        self.master = Some(self.master_host.spawn(command, "master.log"));
        eventually("the master serves", || data.join("endpoints.json").exists().then_some(()));
    }

    /// SIGKILL.
    pub fn kill_master(&mut self) {
        self.master = None;
    }

    pub fn kill_redis(&mut self) {
        self.redis.kill();
    }

    pub fn start_redis(&mut self) {
        self.redis.start_again();
    }

    pub fn pull_cable(&self, host: &Host) {
        self.switch.pull_cable(host);
    }

    pub fn plug_cable(&self, host: &Host) {
        self.switch.plug_cable(host);
    }

    /// A further host with nothing on it.
    pub fn host(&self, name: &str, address: Ipv4Addr) -> Host {
        let host = Host::boot(name, self.folder.join(name));
        self.switch.connect(&host, address);
        host
    }

    /// `atlas node list` says this of the node.
    pub fn node_state(&self, node: usize) -> Option<String> {
        let nodes = self.json(&["node", "list"]);
        let it = nodes.as_array()?.iter().find(|it| it["name"] == self.nodes[node].name())?;
        Some(it["state"].as_str()?.to_owned())
    }

    pub fn wait_for_node(&self, node: usize, state: &str) {
        eventually(&format!("{} is {state}", self.nodes[node].name()), || {
            (self.node_state(node)? == state).then_some(())
        });
    }

    pub fn wait_for_nodes(&self) {
        (0..self.nodes.len()).for_each(|it| self.wait_for_node(it, "ready"));
    }
}

impl Deref for Site {
    type Target = Atlas;
    fn deref(&self) -> &Atlas {
        &self.user
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if thread::panicking() {
            let nodes = self.nodes.iter().map(|it| it.host.path("node.log"));
            let logs: Vec<PathBuf> = nodes.chain([self.master_host.path("master.log")]).collect();
            show_ends(&logs);
        }
    }
}
