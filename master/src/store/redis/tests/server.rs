//! A real server of a test's own, on a socket in a folder of its own. End-to-end tests use it too.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// Redis, or another program that takes the same orders.
pub struct Server {
    folder: TempDir,
    /// The program, and what stands before its name.
    words: Vec<String>,
    arguments: Vec<String>,
    pub child: Child,
}

impl Server {
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_by(&[], arguments)
    }

    /// `launcher` = the words before the program's name, where it does not run on this machine as it is.
    pub fn start_by(launcher: &[&str], arguments: &[&str]) -> Self {
        Self::of(&[launcher, &["redis-server"]].concat(), arguments)
    }

    pub fn of(words: &[&str], arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [words, arguments] =
            [words, arguments].map(|it| it.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        let child = start(&folder, &words, &arguments);
        Self { folder, words, arguments, child }
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("sock")
    }

    /// As a master is told of it.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn start_again(&mut self) {
        self.child = start(&self.folder, &self.words, &self.arguments);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns once it takes connections.
fn start(folder: &TempDir, words: &[String], arguments: &[String]) -> Child {
    let program = words.join(" ");
    let mut words = words.iter();
    let mut child = Command::new(words.next().unwrap())
        .args(words)
        .args(["--port", "0", "--unixsocket", "sock", "--databases", "64", "--save", ""])
        .args(["--appendonly", "yes", "--appendfsync", "always", "--dir", "."])
        .args(arguments)
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("could not start {program}: {error}; scripts/test.sh installs it")
        });
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let ready =
        said.by_ref().find(|line| line.to_lowercase().contains("ready to accept connections"));
    assert!(ready.is_some(), "{program} ended before it was ready");
    // It goes on writing.
    std::thread::spawn(move || said.for_each(drop));
    child
}
