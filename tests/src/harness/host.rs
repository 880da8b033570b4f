//! A host of its own: network, mounts, host name and processes, in namespaces that one process holds. What runs there ends with
//! that process, and it ends with the test, however the test ends.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::atlas::Atlas;
use super::place::{Place, Process, only_child};

/// The first process of a host: reaps, and ends when nobody holds its input any more.
const FIRST: &str = "hostname \"$1\" && ip link set lo up && exec 3<&0 && echo ready || exit 1\n\
    cat <&3 >/dev/null & wait $!";

/// Namespaces and the process that holds them.
#[derive(Debug)]
pub struct Namespaces {
    /// Open = they live.
    input: Option<ChildStdin>,
    holder: Child,
    pid: u32,
}

impl Namespaces {
    /// `script` says `ready`, and ends with its input.
    pub fn hold(options: &[&str], script: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("unshare");
        command.args(options).args(["sh", "-c", script, "sh"]).args(arguments);
        let mut holder = command
            // Ctrl-C is for the test; what it leaves is removed after it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("unshare did not start: {error}"));
        let mut said = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(
            said, "ready\n",
            "a host of its own cannot be had: run the tests as root, where network namespaces and iproute2 are (see above for what failed)"
        );
        let forks = options.contains(&"--fork");
        let pid = if forks { only_child(holder.id()).unwrap() } else { holder.id() };
        Self { input: holder.stdin.take(), holder, pid }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.holder.wait();
    }
}

/// One host.
#[derive(Debug)]
pub struct Host {
    name: String,
    folder: PathBuf,
    namespaces: Namespaces,
}

impl Host {
    /// `folder` is the host's own: what lies there is nobody else's.
    pub fn boot(name: &str, folder: PathBuf) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let options =
            ["--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"];
        Self { name: name.into(), folder, namespaces: Namespaces::hold(&options, FIRST, &[name]) }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.join(below)
    }

    pub fn pid(&self) -> u32 {
        self.namespaces.pid()
    }

    /// Somebody at this host whose folders lie in its own; their `scheduler` is what listens here.
    pub fn user(&self) -> Atlas {
        Atlas::new(self.place(), &self.folder, Vec::new())
    }

    pub fn place(&self) -> Place {
        Place::of(self.pid())
    }

    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        self.place().command(program)
    }

    #[track_caller]
    pub fn run(&self, words: &[&str]) -> String {
        self.place().run(words)
    }

    /// Starts a program that goes on until it is killed; what it says is in `log` of the host's folder.
    pub fn spawn(&self, command: Command, log: &str) -> Process {
        self.place().spawn(command, &self.path(log))
    }
}
