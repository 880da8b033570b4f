//! A host that runs jobs.

use std::path::PathBuf;

use super::engine::Engine;
use super::gpus::Gpus;
use super::host::Host;
use super::place::Process;
use super::{Agent, binary};

/// How a node is made.
#[derive(Clone, Debug)]
pub struct Node {
    pub executor: &'static str,
    pub workers: u32,
    /// It registers so many GPUs.
    pub gpus: u32,
    /// It mounts the share.
    pub shared: bool,
    /// More options of its agent.
    pub options: Vec<String>,
}

impl Default for Node {
    fn default() -> Self {
        Self { executor: "process", workers: 1, gpus: 0, shared: true, options: Vec::new() }
    }
}

/// What every machine of a site finds there.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    /// As control groups are named.
    pub site: String,
    pub master: String,
    pub log: &'static str,
    pub token: PathBuf,
    /// Where the share really lies, and where every host mounts it.
    pub exports: PathBuf,
    pub share: PathBuf,
}

pub struct Machine {
    pub host: Host,
    address: String,
    node: Node,
    surroundings: Surroundings,
    gpus: Option<Gpus>,
    engine: Option<Engine>,
    agent: Option<Process>,
}

impl Machine {
    /// Everything but the agent.
    pub(super) fn new(host: Host, address: String, node: Node, surroundings: Surroundings) -> Self {
        let engine = (node.executor == "docker").then(|| Engine::start(&host, &surroundings.site));
        let gpus = (node.gpus > 0).then(Gpus::build);
        let machine = Self { host, address, node, surroundings, gpus, engine, agent: None };
        if machine.node.shared {
            machine.mount_share();
        }
        machine
    }

    pub fn name(&self) -> &str {
        self.host.name()
    }

    pub fn mount_share(&self) {
        mount(&self.host, &self.surroundings);
    }

    /// What is open goes on; a path leads to an empty folder.
    pub fn unmount_share(&self) {
        self.host.run(&["umount", "--lazy", self.surroundings.share.to_str().unwrap()]);
    }

    /// Starts the agent; the caller waits for what should come of it.
    pub fn start_agent(&mut self) {
        let Surroundings { master, token, share, .. } = &self.surroundings;
        let mut command = self.host.command(binary("atlas-node"));
        command.args(&self.node.options).env("ATLAS_LOG", self.surroundings.log);
        Agent {
            master,
            token,
            listen: &self.address,
            data: &self.host.path("node"),
            share: self.node.shared.then_some(share.as_path()),
            executor: self.node.executor,
            workers: self.node.workers,
            gpus: self.node.gpus > 0,
            volumes: "/",
        }
        .describe(&mut command);
        if let Some(engine) = &self.engine {
            command.args(["--docker-host", &engine.url()]);
        }
        if let Some(gpus) = &self.gpus {
            command.envs(gpus.env(self.node.gpus));
        }
        self.agent = Some(self.host.spawn(command, "node.log"));
    }

    /// SIGKILL.
    pub fn kill_agent(&mut self) {
        self.agent = None;
    }

    pub fn kill_engine(&mut self) {
        self.engine.as_mut().unwrap().kill();
    }

    pub fn start_engine(&mut self) {
        self.engine.as_mut().unwrap().start_again(&self.host);
    }
}

pub(super) fn mount(host: &Host, surroundings: &Surroundings) {
    let [exports, share] =
        [&surroundings.exports, &surroundings.share].map(|it| it.to_str().unwrap());
    host.run(&["mount", "--bind", exports, share]);
}
