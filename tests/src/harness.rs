//! Real processes for one test: a master, a node, and the `atlas` command, with folders and ports of their own.
#![expect(clippy::unwrap_used, reason = "a harness fails where it stands")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Only what hangs takes this long, on a machine that is busy with other things, too.
const PATIENCE: Duration = Duration::from_secs(180);

/// How a cluster under test differs from the plain one.
pub struct Settings {
    pub executor: &'static str,
    pub workers: u32,
    /// The node registers its GPUs.
    pub gpus: bool,
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
            lease: "5m",
            log: "debug",
            volumes: "/".into(),
            master: &[],
            env: Vec::new(),
        }
    }
}

/// One machine: master and node.
pub struct Cluster {
    dir: TempDir,
    settings: Settings,
    http: String,
    grpc: String,
    master: Option<Child>,
    node: Option<Child>,
}

impl Cluster {
    pub fn start(settings: Settings) -> Self {
        let dir = tempfile::Builder::new().prefix("atlas-e2e-").tempdir().unwrap();
        let (http, grpc) = ("127.0.0.1:0".to_owned(), "127.0.0.1:0".to_owned());
        let mut cluster = Self { dir, settings, http, grpc, master: None, node: None };
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
        let config = self.path("home/config/submission");
        fs::create_dir_all(&config).unwrap();
        fs::write(
            config.join("scheduler.config.yaml"),
            format!("scheduler_url: http://{}\n", self.grpc),
        )
        .unwrap();
    }

    pub fn start_node(&mut self) {
        let mut command = Command::new(binary("atlas-node"));
        command
            .args([
                "--master",
                &format!("http://{}", self.grpc),
                "--name",
                "node-a",
                "--listen",
                "127.0.0.1:0",
            ])
            .args([
                "--workers",
                &self.settings.workers.to_string(),
                "--executor",
                self.settings.executor,
            ])
            .args(self.settings.gpus.then_some("--gpus"))
            .args(["--allow-volume", &self.settings.volumes])
            .args(job_user())
            .args(["--worker-image", &image()])
            .arg("--data")
            .arg(self.path("node"))
            .arg("--shared")
            .arg(self.path("shared"))
            .arg("--token-file")
            .arg(self.path("master/join-token"));
        self.node = Some(self.spawn(command, "node.log"));
        eventually("the node is ready", || {
            let nodes = self.json(&["node", "list"]);
            (nodes.as_array()?.first()?["state"] == "ready").then_some(())
        });
    }

    fn spawn(&self, mut command: Command, log: &str) -> Child {
        let log = fs::File::options().create(true).append(true).open(self.path(log)).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .env("ATLAS_LOG", self.settings.log)
            .envs(self.settings.env.iter().cloned());
        command.spawn().unwrap_or_else(|error| {
            panic!("{command:?} did not start ({error}); run `make build` first")
        })
    }

    /// SIGKILL: the process can do nothing about it.
    pub fn kill_master(&mut self) {
        kill(&mut self.master);
    }

    pub fn kill_node(&mut self) {
        kill(&mut self.node);
    }

    /// Processes of the cluster: the master's and the agent's pid.
    pub fn pids(&self) -> [u32; 2] {
        [self.master.as_ref().unwrap().id(), self.node.as_ref().unwrap().id()]
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
            _ => self.supervisors().into_iter().for_each(|it| send(it, "KILL")),
        }
    }

    pub fn signal_master(&self, signal: &str) {
        send(self.master.as_ref().unwrap().id(), signal);
    }

    /// A job directory with these files.
    pub fn project(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let dir = self.path("projects").join(name);
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
        let mut command = Command::new(binary("atlas"));
        command
            .args(args)
            .envs(self.settings.env.iter().cloned())
            .env("ATLAS_HOME", self.path("home"))
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
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking() {
            for log in ["master.log", "node.log"] {
                let text = fs::read_to_string(self.path(log)).unwrap_or_default();
                let tail: Vec<&str> = text.lines().rev().take(60).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                eprintln!("--- the end of {log}\n{}", tail.join("\n"));
            }
        }
        self.stop_what_runs();
        kill(&mut self.node);
        kill(&mut self.master);
    }
}

impl Cluster {
    /// A test that failed half-way leaves jobs behind; they and their supervisors must not outlive it.
    fn stop_what_runs(&self) {
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

/// The one place that sleeps. Waits for what is bound to happen.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "it did not happen within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// An agent of root has to be told whom jobs run as; another's run as whoever runs the tests.
pub fn job_user() -> &'static [&'static str] {
    let uid = fs::metadata("/proc/self").unwrap().uid();
    if uid == 0 { &["--job-user", "root"] } else { &[] }
}

/// The lean worker image that `make test` builds.
pub fn image() -> String {
    std::env::var("ATLAS_TEST_IMAGE").unwrap_or_else(|_| "atlas/worker:lean".into())
}

/// Beside the test's own binary.
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().and_then(Path::parent).unwrap().join(name)
}

fn kill(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn send(pid: u32, signal: &str) {
    let sent =
        Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}
