//! `atlas up` with the real master and node, which have to be built (`make build`) beside the command.

#![expect(clippy::unwrap_used, reason = "what fails in a test is the test")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::Value;
use tempfile::TempDir;

/// One user on one machine, whose Atlas may run or not.
struct Machine {
    dir: TempDir,
}

/// An `atlas up` that is ready.
struct Up {
    process: Child,
    stderr: BufReader<ChildStderr>,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("atlas-up-").tempdir().unwrap();
        fs::create_dir_all(dir.path().join("project")).unwrap();
        Self { dir }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_atlas"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("ATLAS_HOME", self.path("home"))
            .env("FOUNDATIONS_HOME", self.path("none"))
            .env_remove("ATLAS_CONFIG")
            .env_remove("ATLAS_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn up_command(&self, args: &[&str]) -> Command {
        for part in ["atlas-master", "atlas-node", "atlas-supervisor"] {
            let path = Path::new(env!("CARGO_BIN_EXE_atlas")).with_file_name(part);
            assert!(path.exists(), "{} is missing: run `make build` first", path.display());
        }
        let ports = ["--http", "0", "--grpc", "0", "--node", "0", "--executor", "process"];
        self.command(&[&["up"], &ports[..], args].concat())
    }

    fn up(&self, args: &[&str]) -> Up {
        self.ready(self.up_command(args))
    }

    /// Starts Atlas, waits until it is ready, and makes it the `scheduler` of this user.
    fn ready(&self, mut up: Command) -> Up {
        let mut process = up.spawn().unwrap();
        let mut stderr = BufReader::new(process.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("Ctrl-C stops Atlas") {
            assert!(stderr.read_line(&mut said).unwrap() > 0, "it ended after: {said}");
        }
        let folder = self.path("home/config/submission");
        fs::create_dir_all(&folder).unwrap();
        let url = self.endpoints()["grpc"].as_str().unwrap().to_owned();
        fs::write(folder.join("scheduler.config.yaml"), format!("scheduler_url: {url}\n")).unwrap();
        Up { process, stderr }
    }

    fn endpoints(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("home/data/endpoints.json")).unwrap()).unwrap()
    }

    #[track_caller]
    fn atlas(&self, args: &[&str], code: i32) -> (String, String) {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        let [stdout, stderr] = [stdout, stderr].map(|it| String::from_utf8(it).unwrap());
        assert_eq!(status.code(), Some(code), "{args:?}\nstdout: {stdout}\nstderr: {stderr}");
        (stdout, stderr)
    }

    fn submit(&self, command: &[&str]) -> String {
        let args = [&["submit", "--quiet", "--detach", "scheduler", "project"], command].concat();
        self.atlas(&args, 0).0.trim().to_owned()
    }

    /// Follows the job until it has said that it runs.
    fn runs(&self, job: &str) {
        let mut follow =
            self.command(&["get", "logs", "--follow", "scheduler", job]).spawn().unwrap();
        let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
        assert!(lines.any(|it| it.unwrap() == "running"), "{job} ended without running");
        follow.kill().unwrap();
        follow.wait().unwrap();
    }
}

impl Up {
    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Its end, and what it said at last.
    fn ends(&mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        (self.process.wait().unwrap().code(), said)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Its parts end with it, however a test ends.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Says that it runs, and goes on while this file is there, which is as long as the test at most.
fn while_there(file: &Path) -> [String; 3] {
    fs::write(file, "").unwrap();
    let script = format!("echo running; while [ -e '{}' ]; do sleep 0.05; done", file.display());
    ["sh".into(), "-c".into(), script]
}

fn wait_for_end(pid: &Value) {
    let pid = Pid::from_raw(i32::try_from(pid.as_i64().unwrap()).unwrap()).unwrap();
    // Gone already is what is wanted.
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    let patience = Timespec { tv_sec: 180, tv_nsec: 0 };
    assert_eq!(
        poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&patience)),
        Ok(1),
        "{pid:?} lives on"
    );
}

#[test]
fn jobs_outlive_atlas_and_are_found_by_the_next_one() {
    let machine = Machine::new();
    let file = machine.path("goes-on");
    let mut up = machine.up(&[]);
    let script = while_there(&file);
    let [running, waiting] =
        [(); 2].map(|()| machine.submit(&script.each_ref().map(String::as_str)));
    machine.runs(&running);

    let second = machine.up_command(&[]).output().unwrap();
    let refused = String::from_utf8(second.stderr).unwrap();
    assert!(refused.contains("is in use by atlas up (pid"), "{refused}");

    up.send(Signal::INT);
    let (code, said) = up.ends();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1 job goes on under its supervisor"), "{said}");
    assert!(!machine.path("home/data/endpoints.json").exists());
    machine.atlas(&["jobs"], 126);

    let mut up = machine.up(&[]);
    fs::remove_file(&file).unwrap();
    machine.atlas(&["wait", &running, &waiting], 0);
    let (log, _) = machine.atlas(&["get", "logs", "scheduler", &running], 0);
    assert_eq!(log.lines().filter(|it| *it == "running").count(), 1, "{log}");
    up.send(Signal::TERM);
    let (code, said) = up.ends();
    assert!(code == Some(0) && said.contains("no job is running"), "{said}");
}

#[test]
fn with_stop_jobs_nothing_outlives_atlas() {
    let machine = Machine::new();
    let mut up = machine.up(&["--stop-jobs", "--workers", "2"]);
    let script = while_there(&machine.path("goes-on"));
    let jobs = [(); 3].map(|()| machine.submit(&script.each_ref().map(String::as_str)));
    machine.runs(&jobs[0]);
    up.send(Signal::INT);
    let (code, said) = up.ends();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Stopping 2 jobs.") && said.contains("no job is running"), "{said}");
    let mut up = machine.up(&[]);
    machine.atlas(&["wait", &jobs[0], &jobs[1], &jobs[2]], 125);
    up.send(Signal::TERM);
    assert_eq!(up.ends().0, Some(0));
}

#[test]
fn a_kill_leaves_no_part_behind_and_a_stop_is_found_by_its_folder() {
    let machine = Machine::new();
    let mut up = machine.up(&[]);
    let master: Value =
        serde_json::from_slice(&fs::read(machine.path("home/data/master/endpoints.json")).unwrap())
            .unwrap();
    up.send(Signal::KILL);
    assert_eq!(up.ends().0, None);
    wait_for_end(&master["pid"]);

    let mut up = machine.up(&[]);
    let server = machine.path("atlas-server");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_atlas"), &server).unwrap();
    let stop = || {
        Command::new(&server).arg("stop").env("ATLAS_HOME", machine.path("home")).output().unwrap()
    };
    let stopped = stop();
    assert!(stopped.status.success(), "{stopped:?}");
    assert_eq!(up.ends().0, Some(0));
    assert_eq!(stop().status.code(), Some(1));
}

const STORE: [&str; 2] = ["atlas.sqlite", "atlas.sqlite-wal"];

/// What of these is there.
fn copy_all(from: &Path, to: &Path, names: &[&str]) {
    for name in names.iter().filter(|it| from.join(it).exists()) {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

#[test]
fn a_store_that_was_put_back_from_a_copy_is_refused_until_that_is_accepted() {
    let machine = Machine::new();
    let data = machine.path("home/data/master");
    let run_one = |up: Command| {
        let mut up = machine.ready(up);
        let job = machine.submit(&["true"]);
        machine.atlas(&["wait", &job], 0);
        up.send(Signal::INT);
        assert_eq!(up.ends().0, Some(0));
        job
    };
    let kept = run_one(machine.up_command(&[]));
    copy_all(&data, machine.dir.path(), &STORE);
    let lost = run_one(machine.up_command(&[]));
    for file in STORE.map(|it| data.join(it)).iter().filter(|it| it.exists()) {
        fs::remove_file(file).unwrap();
    }
    copy_all(machine.dir.path(), &data, &STORE);
    // The second time the master knows it before any node has come.
    for _ in 0..2 {
        let refused = machine.up_command(&[]).output().unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(126), "{said}");
        assert!(said.contains("older than what node") && said.contains("--accept-older"), "{said}");
    }
    let mut accepting = machine.up_command(&[]);
    accepting.env("ATLAS_ACCEPT_OLDER_STORE", "true");
    run_one(accepting);

    let _up = machine.up(&[]);
    machine.atlas(&["show", &kept], 0);
    machine.atlas(&["show", &lost], 1);
}
