//! Where programs run: on this machine, or in the namespaces of a host of its own.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::eventually;

/// What has to be said before a program's name so that it runs in a place.
#[derive(Clone, Debug, Default)]
pub struct Place(Vec<String>);

impl Place {
    /// This machine, as the test itself sees it.
    pub fn here() -> Self {
        Self::default()
    }

    /// With the network, mounts, host name and processes of the process with this id.
    pub fn of(pid: u32) -> Self {
        let target = pid.to_string();
        let words = ["nsenter", "--target", &target, "--net", "--mount", "--uts", "--pid", "--"];
        Self(words.map(str::to_owned).into())
    }

    /// With nothing but the network of the process with this id; ends with whoever starts it.
    pub fn in_network_of(pid: u32) -> Self {
        let target = pid.to_string();
        let words =
            ["setpriv", "--pdeathsig", "KILL", "nsenter", "--target", &target, "--net", "--"];
        Self(words.map(str::to_owned).into())
    }

    /// The words before a program's name.
    pub fn words(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }

    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let Some((first, rest)) = self.0.split_first() else {
            return Command::new(program.as_ref());
        };
        let mut command = Command::new(first);
        command.args(rest).arg(program.as_ref());
        command
    }

    /// Words that are run to their end, which is a good one; what they print.
    #[track_caller]
    pub fn run(&self, words: &[&str]) -> String {
        let output = self.command(words[0]).args(&words[1..]).output();
        let output = output.unwrap_or_else(|error| panic!("{words:?} did not start: {error}"));
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A program that goes on until it is killed.
    pub fn spawn(&self, mut command: Command, log: &Path) -> Process {
        let log = fs::File::options().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("{command:?} did not start ({error}); run `make build` first")
        });
        Process { pid: self.pid(&child), child }
    }

    /// In a host the program is the child of what has entered it.
    fn pid(&self, child: &Child) -> u32 {
        if !self.0.iter().any(|it| it == "--pid") {
            return child.id();
        }
        eventually("a program has entered its host", || only_child(child.id()))
    }
}

/// The one process that this one has started.
pub fn only_child(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.trim().parse().ok()
}

/// A running program; killed with its value.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    child: Child,
}

impl Process {
    /// As the test's own machine numbers it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub fn signal(&self, signal: &str) {
        let words = [&format!("-{signal}"), &self.pid.to_string()];
        assert!(Command::new("kill").args(words).status().unwrap().success());
    }

    /// Asked to end, it does.
    pub fn end(mut self) {
        self.signal("TERM");
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    /// SIGKILL: the process can do nothing about it.
    fn drop(&mut self) {
        // Until it is waited for below, the number belongs to nobody else.
        if let Ok(None) = self.child.try_wait() {
            let _ = Command::new("kill")
                .args(["-KILL", &self.pid.to_string()])
                .stderr(Stdio::null())
                .status();
            let _ = self.child.wait();
        }
    }
}
