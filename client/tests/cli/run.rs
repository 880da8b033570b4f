//! Runs `atlas` and keeps what it said.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

/// A user: a home with configurations, and a folder to stand in.
pub struct User {
    dir: TempDir,
}

/// What a command did.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl User {
    /// Without any configuration.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("atlas-cli-").tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("here")).unwrap();
        Self { dir }
    }

    /// Whose `scheduler` is this master.
    pub fn of(master: &str) -> Self {
        let user = Self::new();
        user.configure("scheduler", &format!("scheduler_url: {master}\n"));
        user
    }

    pub fn configure(&self, name: &str, text: &str) {
        let folder = self.path("home/config/submission");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.config.yaml")), text).unwrap();
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    /// A file in the folder that the user stands in.
    pub fn here(&self, file: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path("here").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    pub fn command(&self, args: &[&str]) -> Command {
        self.program(Path::new(env!("CARGO_BIN_EXE_atlas")), args)
    }

    pub fn program(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(self.path("here"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.path("home"))
            .env("ATLAS_HOME", self.path("home"))
            .env("FOUNDATIONS_HOME", self.path("of-2020"))
            .env("USER", "ada")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub async fn atlas(&self, args: &[&str]) -> Run {
        Run::of(self.command(args).output().await.unwrap())
    }
}

impl Run {
    pub fn of(output: Output) -> Self {
        let Output { status, stdout, stderr } = output;
        let stderr = String::from_utf8(stderr).unwrap();
        Self { code: status.code().unwrap_or(-1), stdout, stderr }
    }

    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out(), self.stderr);
        self
    }

    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.out()))
    }

    #[track_caller]
    pub fn says(&self, text: &str) {
        assert!(self.stderr.contains(text), "{text:?} is not in {}", self.stderr);
    }
}

/// Reads what a running command prints until this text is there.
pub async fn printed(child: &mut Child, text: &str) {
    let out = child.stdout.as_mut().unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(text) {
        let mut byte = [0];
        let read = out.read(&mut byte).await.unwrap();
        assert_eq!(read, 1, "it ended after {:?}", String::from_utf8_lossy(&seen));
        seen.extend(byte);
    }
}
