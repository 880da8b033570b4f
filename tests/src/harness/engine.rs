//! A Docker Engine of a host's own.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::host::Host;
use super::place::Process;
use super::{eventually, image};

pub struct Engine {
    folder: PathBuf,
    control_groups: String,
    process: Option<Process>,
}

impl Engine {
    /// Starts it, and brings the worker image from this machine's engine.
    pub fn start(host: &Host, site: &str) -> Self {
        let folder = host.path("docker");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.json"), "{}").unwrap();
        let control_groups = format!("/{site}-{}", host.name());
        let mut engine = Self { folder, control_groups, process: None };
        engine.start_again(host);
        let image = image();
        let mut save = Command::new("docker");
        let mut save = save.args(["save", &image]).stdout(Stdio::piped()).spawn().unwrap();
        let mut load = engine.docker(&["load"]);
        assert!(load.stdin(save.stdout.take().unwrap()).output().unwrap().status.success());
        assert!(save.wait().unwrap().success(), "there is no {image} in this machine's engine");
        engine
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.folder.join("sock").display())
    }

    /// Words for this engine.
    pub fn docker(&self, words: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(self.url()).args(words);
        command
    }

    /// SIGKILL; its containers go on.
    pub fn kill(&mut self) {
        self.process = None;
    }

    pub fn start_again(&mut self, host: &Host) {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let mut command = host.command("dockerd");
        command
            .args(["--live-restore", "--bip", "172.31.0.1/24", "--host", &self.url()])
            .args(["--config-file", &at("config.json"), "--pidfile", &at("pid")])
            .args(["--data-root", &at("data"), "--exec-root", &at("exec")])
            .args(["--cgroup-parent", &self.control_groups]);
        self.process = Some(host.spawn(command, "dockerd.log"));
        eventually("the host's engine answers", || {
            self.docker(&["version"]).output().unwrap().status.success().then_some(())
        });
    }
}
