//! Real processes for one test: [`Cluster`] is one machine, [`Site`] several hosts with a network between them.
#![expect(clippy::unwrap_used, reason = "a harness fails where it stands")]

mod atlas;
mod cluster;
mod engine;
mod gpus;
mod host;
mod machine;
mod net;
mod place;
mod redis;
mod site;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

pub use atlas::{Atlas, Run};
pub use cluster::{Cluster, Settings};
pub use gpus::Gpus;
pub use host::Host;
pub use machine::{Machine, Node};
pub use redis::{Server, cli};
pub use site::{Plan, Site};

/// Only what hangs takes this long, on a machine that is busy with other things, too.
const PATIENCE: Duration = Duration::from_secs(180);

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

/// Puts so many copies of its last job into the store of a master that does not run.
pub fn multiply_jobs(data: &Path, copies: u32) {
    multiply(include_str!("multiply_jobs.py"), data, copies);
}

/// The same of a job that has told something; each copy told other numbers.
pub fn multiply_runs(data: &Path, copies: u32) {
    multiply(include_str!("multiply_runs.py"), data, copies);
}

fn multiply(script: &str, data: &Path, copies: u32) {
    let file = data.join("atlas.sqlite");
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(file).arg(copies.to_string());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// How an agent under test is started, wherever it runs.
struct Agent<'a> {
    master: &'a str,
    token: &'a Path,
    listen: &'a str,
    data: &'a Path,
    share: Option<&'a Path>,
    executor: &'a str,
    workers: u32,
    gpus: bool,
    volumes: &'a str,
}

impl Agent<'_> {
    fn describe(&self, command: &mut Command) {
        command
            .args(["--master", self.master, "--listen", self.listen])
            .args(["--executor", self.executor, "--worker-image", &image()])
            .args(["--workers", &self.workers.to_string(), "--allow-volume", self.volumes])
            .args(job_user())
            .args(self.gpus.then_some("--gpus"))
            .arg("--token-file")
            .arg(self.token)
            .arg("--data")
            .arg(self.data);
        if let Some(share) = self.share {
            command.arg("--shared").arg(share);
        }
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
