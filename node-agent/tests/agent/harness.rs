//! One agent in this process with folders of its own, and the smallest master that it can talk to.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use atlas_core::agent::{Assignment, Duty, Work};
use atlas_core::node::ExecutorKind;
use atlas_core::spec::{Bundle, JobSpec, Outputs, Sealed, Worker};
use atlas_core::{Attempt, BundleId, Demand, JobId};
use atlas_node::Settings;
use atlas_node::inventory::Wanted;
use atlas_runtime::config::Secret;
use atlas_runtime::tasks::Tasks;
use rustix::process::{Signal, kill_process};
use sha2::{Digest, Sha256};

use crate::master::{Master, TOKEN};

pub const PATIENCE: Duration = Duration::from_secs(180);

/// An agent and its folders, which outlive it.
pub struct Node {
    folder: tempfile::TempDir,
    pub master: Master,
    pub settings: Settings,
    tasks: Tasks,
}

impl Node {
    pub async fn start_process() -> Self {
        Self::start_with(ExecutorKind::Process, |_| {}).await
    }

    pub async fn start_with(executor: ExecutorKind, change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::Builder::new().prefix("atlas-node-").tempdir().unwrap();
        // As a master leaves it that has started.
        fs::create_dir_all(folder.path().join("shared/jobs")).unwrap();
        let master = Master::start().await;
        let mut settings = Settings {
            master: format!("http://{}", master.address).parse().unwrap(),
            shared: Some(folder.path().join("shared")),
            data: folder.path().join("data"),
            inventory: Wanted { workers: Some(2), gpus: false },
            executor,
            docker_host: None,
            address: None,
            listen: Some("127.0.0.1:0".parse().unwrap()),
            name: "node-a".parse().unwrap(),
            volumes: Vec::new(),
            default_volumes: Vec::new(),
            token: Secret::new(TOKEN.into()),
            job_user: "root".parse().unwrap(),
            job_env: Default::default(),
            max_output: 1 << 30,
            cache_size: 1 << 30,
            min_free: 0,
            worker_image: image(),
            registry_config: None,
            supervisor: supervisor(),
        };
        if rustix::process::geteuid().as_raw() != 0 {
            settings.job_user = atlas_node::options::JobUser::this_process();
        }
        change(&mut settings);
        let mut node = Self { folder, master, settings, tasks: Tasks::new() };
        node.run();
        node.master.joined(1).await;
        node
    }

    fn run(&mut self) {
        self.tasks = Tasks::new();
        let (settings, tasks) = (self.settings.clone(), self.tasks.clone());
        self.tasks.spawn("agent", async move {
            if let Err(error) = atlas_node::run(settings, tasks).await {
                eprintln!("the agent did not start: {}", atlas_runtime::Chain(&error));
            }
        });
    }

    /// Ends the agent's tasks where they stand, and starts it again.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Starts an agent that was stopped.
    pub async fn start_again(&mut self) {
        let joins = self.master.joins();
        self.run();
        self.master.joined(joins + 1).await;
    }

    pub async fn stop(&self) {
        self.tasks.shutdown(Duration::from_secs(10)).await.unwrap();
    }

    /// Puts a bundle of these files into the shared storage, and makes a job that runs this command there.
    pub fn job(&self, files: &[(&str, &str)], command: &[&str]) -> Assignment {
        self.job_of(files, &[], command)
    }

    /// With files that are no text besides.
    pub fn job_of(
        &self,
        files: &[(&str, &str)],
        binaries: &[(&str, &[u8])],
        command: &[&str],
    ) -> Assignment {
        let texts = files.iter().map(|(name, text)| (*name, text.as_bytes()));
        let mut files: Vec<_> = texts.chain(binaries.iter().copied()).collect();
        files.sort();
        let (bytes, bundle) = bundle(&files);
        let id = bundle.id;
        let path = self.shared().join(format!("bundles/{}/{id}.tar.zst", id.shard()));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        Assignment {
            job: JobId::from_random(uuid::Uuid::new_v4().into_bytes()),
            attempt: Attempt(1),
            duty: Duty::Run(Work {
                spec: Arc::new(spec(bundle, command)),
                gpus: Vec::new(),
                sealed: Sealed::default(),
            }),
        }
    }

    /// A job of one shell script, which ends with this exit.
    pub fn script(&self, script: &str) -> Assignment {
        self.job(&[("run.sh", script)], &["sh", "run.sh"])
    }

    pub fn shared(&self) -> &Path {
        self.settings.shared.as_deref().unwrap()
    }

    pub fn dir(&self, job: JobId) -> PathBuf {
        self.settings.data.join(format!("jobs/{job}.1"))
    }

    pub fn archive(&self, job: JobId) -> PathBuf {
        self.shared().join(format!("jobs/{}/{job}", job.shard()))
    }

    pub fn log(&self, job: JobId) -> String {
        fs::read_to_string(self.archive(job).join("log/1.log")).unwrap()
    }

    /// The log without the banner.
    pub fn said(&self, job: JobId) -> String {
        let log = self.log(job);
        let line = "=".repeat(120);
        log.rsplit_once(&format!("{line}\n")).map_or(log.clone(), |(_, said)| said.to_owned())
    }
}

impl Node {
    /// The processes of the slots' supervisors.
    pub fn supervisors(&self) -> Vec<i32> {
        let slots = fs::read_dir(self.settings.data.join("slots")).into_iter().flatten().flatten();
        let peers = slots.filter_map(|slot| {
            let stream = UnixStream::connect(slot.path().join("sock")).ok()?;
            Some(rustix::net::sockopt::socket_peercred(&stream).unwrap())
        });
        peers.map(|peer| peer.pid.as_raw_nonzero().get()).collect()
    }

    pub fn signal_supervisors(&self, signal: Signal) {
        for pid in self.supervisors() {
            kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
        }
    }

    /// Ends the supervisors of slots, and returns when they are gone.
    pub fn kill_supervisors(&self, signal: Signal) {
        let slots = fs::read_dir(self.settings.data.join("slots")).into_iter().flatten().flatten();
        for slot in slots {
            if let Ok(mut stream) = UnixStream::connect(slot.path().join("sock")) {
                let peer = rustix::net::sockopt::socket_peercred(&stream).unwrap();
                let _ = kill_process(peer.pid, signal); // it may have ended just now
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
            }
        }
    }

    /// And the containers.
    fn remove_containers(&self) {
        let identity = fs::read_to_string(self.settings.data.join("identity")).unwrap_or_default();
        let filter = format!("label=atlas.node={identity}");
        let listed =
            Command::new("docker").args(["ps", "-aq", "--filter", &filter]).output().unwrap();
        let ids = String::from_utf8(listed.stdout).unwrap();
        if !ids.trim().is_empty() {
            let _ = Command::new("docker").args(["rm", "-fv"]).args(ids.lines()).output();
        }
    }
}

impl Drop for Node {
    /// Supervisors must not outlive a test, whatever became of it.
    fn drop(&mut self) {
        self.tasks.cancel();
        self.kill_supervisors(Signal::TERM);
        if self.settings.executor == ExecutorKind::Docker {
            self.remove_containers();
        }
        // Threads of the agent may be writing still, and then there is something new in a folder that was just emptied.
        while fs::remove_dir_all(self.folder.path()).is_err() && self.folder.path().exists() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// What is wanted of a job that is to be run, to be changed before it is assigned.
pub fn wanted(assignment: &mut Assignment) -> &mut JobSpec {
    match &mut assignment.duty {
        Duty::Run(work) => Arc::make_mut(&mut work.spec),
        other => panic!("it is to {other:?}"),
    }
}

fn spec(bundle: Bundle, command: &[&str]) -> JobSpec {
    JobSpec {
        project: "p".parse().unwrap(),
        user: "ada".into(),
        name: None,
        tags: Default::default(),
        note: String::new(),
        bundle,
        command: command.iter().map(ToString::to_string).collect(),
        entrypoint: None,
        demand: Demand::default(),
        shm: None,
        time_limit: None,
        worker: Worker::default(),
        params: None,
        outputs: Outputs::default(),
        wait_for_capacity: false,
        fresh_requirements: false,
        git: None,
        rerun: None,
        outside: None,
        traceparent: None,
    }
}

fn bundle(files: &[(&str, &[u8])]) -> (Vec<u8>, Bundle) {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *content).unwrap();
    }
    let mut bytes = tar.into_inner().unwrap();
    bytes.resize(bytes.len().next_multiple_of(10240), 0);
    let bundle = Bundle {
        id: BundleId::from_sha256(Sha256::digest(&bytes).into()),
        tar_size: bytes.len() as u64,
        files: files.len() as u64,
    };
    (zstd::encode_all(&bytes[..], 1).unwrap(), bundle)
}

/// What the build left beside this test; it is linked apart from the tests, as a static program.
pub fn supervisor() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).expect("tests lie in <profile>/deps");
    let binary = profile.join("atlas-supervisor");
    assert!(binary.exists(), "there is no {}: `make build` makes it", binary.display());
    binary
}

fn image() -> String {
    std::env::var("ATLAS_TEST_IMAGE").unwrap_or_else(|_| "atlas/worker:lean".into())
}

/// The one place that sleeps: for what happens outside, where nobody tells.
pub async fn eventually<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "it did not happen: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
