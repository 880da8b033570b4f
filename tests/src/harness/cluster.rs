//! One machine: a master and a node, with folders and ports of their own.

use std::fs;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use super::atlas::Atlas;
use super::place::{Place, Process};
use super::{Agent, binary, eventually};

/// How a cluster under test differs from the plain one.
pub struct Settings {
    pub executor: &'static str,
    pub workers: u32,
    /// The node registers its GPUs.
    pub gpus: bool,
    /// The node has the shared storage.
    pub shared: bool,
    pub lease: &'static str,
    pub log: &'static str,
    /// What jobs may mount.
    pub volumes: String,
    /// More options of the master.
    pub master: &'static [&'static str],
    /// Variables of every process.
    pub env: Vec<(&'static str, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            executor: "process",
            workers: 1,
            gpus: false,
            shared: true,
            lease: "5m",
            log: "debug",
            volumes: "/".into(),
            master: &[],
            env: Vec::new(),
        }
    }
}

/// One machine: master and node, and the user in front of it.
pub struct Cluster {
    dir: TempDir,
    user: Atlas,
    settings: Settings,
    http: String,
    grpc: String,
    /// Where the node listens; a restart must be found where the first one was.
    listen: String,
    master: Option<Process>,
    node: Option<Process>,
}

impl Cluster {
    pub fn start(settings: Settings) -> Self {
        let dir = tempfile::Builder::new().prefix("atlas-e2e-").tempdir().unwrap();
        let [http, grpc, listen] = [(); 3].map(|()| "127.0.0.1:0".to_owned());
        let user = Atlas::new(Place::here(), dir.path(), settings.env.clone());
        let mut cluster =
            Self { dir, user, settings, http, grpc, listen, master: None, node: None };
        cluster.start_master();
        cluster.start_node();
        cluster
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    pub fn start_master(&mut self) {
        let endpoints = self.path("master/endpoints.json");
        let _ = fs::remove_file(&endpoints);
        let mut command = Command::new(binary("atlas-master"));
        command
            .args(["--http", &self.http, "--grpc", &self.grpc, "--lease", self.settings.lease])
            .arg("--data")
            .arg(self.path("master"))
            .arg("--shared")
            .arg(self.path("shared"))
            .args(self.settings.master);
        self.master = Some(self.spawn(command, "master.log"));
        let text = eventually("the master serves", || fs::read_to_string(&endpoints).ok());
        let endpoints: Value = serde_json::from_str(&text).unwrap();
        let address =
            |key: &str| endpoints[key].as_str().unwrap().trim_start_matches("http://").to_owned();
        // A restart must be found where the first one was.
        (self.http, self.grpc) = (address("http"), address("grpc"));
        self.user.goes_to(&self.grpc);
    }

    pub fn start_node(&mut self) {
        let mut command = Command::new(binary("atlas-node"));
        command.args(["--name", "node-a"]);
        let share = self.path("shared");
        Agent {
            master: &self.grpc(),
            token: &self.path("master/join-token"),
            listen: &self.listen,
            data: &self.path("node"),
            share: self.settings.shared.then_some(share.as_path()),
            executor: self.settings.executor,
            workers: self.settings.workers,
            gpus: self.settings.gpus,
            volumes: &self.settings.volumes,
        }
        .describe(&mut command);
        self.node = Some(self.spawn(command, "node.log"));
        self.listen = eventually("the node is ready", || {
            let nodes = self.json(&["node", "list"]);
            let node = nodes.as_array()?.first().filter(|it| it["state"] == "ready")?;
            Some(node["address"].as_str()?.to_owned())
        });
    }

    fn spawn(&self, mut command: Command, log: &str) -> Process {
        command.env("ATLAS_LOG", self.settings.log).envs(self.settings.env.iter().cloned());
        Place::here().spawn(command, &self.path(log))
    }

    /// For every process that is started from now on; `None` takes it away.
    pub fn set_env(&mut self, name: &'static str, value: Option<&str>) {
        self.settings.env.retain(|it| it.0 != name);
        self.settings.env.extend(value.map(|it| (name, it.to_owned())));
    }

    /// SIGKILL: the process can do nothing about it.
    pub fn kill_master(&mut self) {
        self.master = None;
    }

    pub fn kill_node(&mut self) {
        self.node = None;
    }

    /// Processes of the cluster: the master's and the agent's pid.
    pub fn pids(&self) -> [u32; 2] {
        [self.master.as_ref().unwrap().pid(), self.node.as_ref().unwrap().pid()]
    }

    /// The supervisors of jobs that are plain processes.
    pub fn supervisors(&self) -> Vec<u32> {
        let sockets = self.path("node").display().to_string();
        let numbers = fs::read_dir("/proc").unwrap().flatten();
        let numbers = numbers.filter_map(|it| it.file_name().to_str()?.parse().ok());
        numbers
            .filter(|pid: &u32| {
                // It may end while it is looked at.
                let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                words.contains("atlas-supervisor") && words.contains(&sockets)
            })
            .collect()
    }

    /// Where gRPC is served, as a URL.
    pub fn grpc(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// Where HTTP is served, as HOST:PORT.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// SIGKILL to the supervisor of this attempt of a job; what it held goes with it or is left to the agent.
    pub fn kill_supervisor(&self, id: &str, attempt: u32) {
        match self.settings.executor {
            "docker" => {
                let container = format!("atlas-{id}.{attempt}");
                let killed = Command::new("docker").args(["kill", &container]).output().unwrap();
                assert!(killed.status.success(), "{killed:?}");
            }
            _ => self.supervisors().into_iter().for_each(kill),
        }
    }

    pub fn signal_master(&self, signal: &str) {
        self.master.as_ref().unwrap().signal(signal);
    }
}

impl Deref for Cluster {
    type Target = Atlas;
    fn deref(&self) -> &Atlas {
        &self.user
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking() {
            show_ends(&[self.path("master.log"), self.path("node.log")]);
        }
        self.stop_what_runs();
        // Before the folder is removed under them.
        self.kill_node();
        self.kill_master();
    }
}

/// What helps whoever reads of a failure.
pub(super) fn show_ends(logs: &[PathBuf]) {
    for log in logs {
        let text = fs::read_to_string(log).unwrap_or_default();
        let tail: Vec<&str> = text.lines().rev().take(60).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        eprintln!("--- the end of {}\n{}", log.display(), tail.join("\n"));
    }
}

fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
}
