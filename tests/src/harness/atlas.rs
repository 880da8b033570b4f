//! The `atlas` command, as somebody at one host types it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::place::Place;
use super::{binary, eventually};

/// A user's place: configuration and job directories of their own.
#[derive(Debug)]
pub struct Atlas {
    place: Place,
    folder: PathBuf,
    env: Vec<(&'static str, String)>,
}

impl Atlas {
    pub(super) fn new(place: Place, folder: &Path, env: Vec<(&'static str, String)>) -> Self {
        Self { place, folder: folder.to_owned(), env }
    }

    /// From now on commands go to the master at this HOST:PORT.
    pub(super) fn goes_to(&self, grpc: &str) {
        let config = self.folder.join("home/config/submission");
        fs::create_dir_all(&config).unwrap();
        let text = format!("scheduler_url: http://{grpc}\n");
        fs::write(config.join("scheduler.config.yaml"), text).unwrap();
    }

    /// A job directory with these files.
    pub fn project(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let dir = self.folder.join("projects").join(name);
        fs::create_dir_all(&dir).unwrap();
        for (file, text) in files {
            fs::write(dir.join(file), text).unwrap();
        }
        dir
    }

    /// Runs `atlas` to its end.
    pub fn atlas(&self, args: &[&str]) -> Run {
        let output = self.command(args).output().unwrap();
        Run::of(args, &output)
    }

    /// `atlas`, to be run by the caller.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.place.command(binary("atlas"));
        command
            .args(args)
            .envs(self.env.iter().cloned())
            .env("ATLAS_HOME", self.folder.join("home"))
            .env_remove("ATLAS_CONFIG")
            .env_remove("ATLAS_URL")
            .env_remove("ATLAS_TOKEN")
            .stdin(Stdio::null());
        command
    }

    /// What a listing says as JSON.
    pub fn json(&self, args: &[&str]) -> Value {
        let mut all = args.to_vec();
        all.extend(["--output", "json"]);
        let run = self.atlas(&all);
        serde_json::from_str(&run.stdout).unwrap_or(Value::Null)
    }

    /// Submits without waiting; the job's id.
    pub fn submit(&self, dir: &Path, command: &[&str]) -> String {
        let mut args = vec!["submit", "--quiet", "--detach", "scheduler", dir.to_str().unwrap()];
        args.extend(command);
        let run = self.atlas(&args);
        assert_eq!(run.code, 0, "{run:?}");
        run.stdout.trim().to_owned()
    }

    pub fn job(&self, id: &str) -> Value {
        self.json(&["show", id])
    }

    /// Waits until the job's status is this word.
    pub fn wait_status(&self, id: &str, status: &str) -> Value {
        eventually(&format!("{id} is {status}"), || {
            let job = self.job(id);
            (job["status"] == status).then_some(job)
        })
    }

    /// A test that failed half-way leaves jobs behind; they and their supervisors must not outlive it.
    pub(super) fn stop_what_runs(&self) {
        let jobs = self.json(&["jobs", "--status", "running"]);
        for job in jobs.as_array().into_iter().flatten() {
            if let Some(id) = job["id"].as_str() {
                self.atlas(&["stop", "scheduler", id]);
                self.atlas(&["wait", id]);
            }
        }
    }
}

/// What a command did.
#[derive(Debug)]
pub struct Run {
    pub args: Vec<String>,
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn of(args: &[&str], output: &Output) -> Self {
        Self {
            args: args.iter().map(ToString::to_string).collect(),
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The command ended with this code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// These words stand in what was said on stderr.
    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        assert!(self.stderr.contains(words), "not said: {words:?}\n{self:#?}");
        self
    }
}
