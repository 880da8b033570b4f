//! A slot with its supervisor and jobs in a folder of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use atlas_node::slot::{Event, Slot};
use atlas_node::supervisor::{Command, ExitFile, Limits, RunFile};
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(180);

pub struct Fixture {
    pub dir: TempDir,
    jobs: usize,
}

/// A job that has ended.
pub struct Ended {
    pub exit: ExitFile,
    pub log: Vec<u8>,
    pub control: PathBuf,
}

impl Fixture {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), jobs: 0 }
    }

    pub fn slot_dir(&self) -> PathBuf {
        self.dir.path().join("slot")
    }

    /// The slot's supervisor, started when there is none.
    pub async fn slot(&self) -> Slot {
        Slot::start(&self.slot_dir(), &supervisor()).await.unwrap()
    }

    /// A control directory for this job.
    pub fn job(&mut self, run: &RunFile) -> PathBuf {
        self.jobs += 1;
        let control = self.dir.path().join(format!("job-{}", self.jobs));
        fs::create_dir(&control).unwrap();
        run.write(&control).unwrap();
        control
    }

    /// Runs a job to its end in a new supervisor or the one that is there.
    pub async fn run(&mut self, run: &RunFile) -> Ended {
        let control = self.job(run);
        let mut slot = self.slot().await;
        slot.run(&control).await.unwrap();
        exited(&mut slot, &control).await
    }
}

/// The supervisor ends with the test, and takes what is left of its job along.
impl Drop for Fixture {
    fn drop(&mut self) {
        let socket = self.slot_dir().join("sock");
        if let Ok(stream) = std::os::unix::net::UnixStream::connect(socket) {
            let peer = rustix::net::sockopt::socket_peercred(&stream).unwrap();
            let _ = rustix::process::kill_process(peer.pid, rustix::process::Signal::TERM);
        }
    }
}

/// What the build left beside this test; it is linked apart from the tests, as a static program.
pub fn supervisor() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).expect("tests lie in <profile>/deps");
    let binary = profile.join("atlas-supervisor");
    let built = binary.metadata().and_then(|it| it.modified());
    let built = built.unwrap_or_else(|_| {
        panic!("there is no {}: `make build` makes it", binary.display());
    });
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/supervisor");
    let changed = fs::read_dir(sources).unwrap().map(|it| it.unwrap().metadata().unwrap());
    let changed: SystemTime = changed.map(|it| it.modified().unwrap()).max().unwrap();
    assert!(
        built >= changed,
        "{} is older than its sources: `make build` renews it",
        binary.display()
    );
    binary
}

pub fn command(argv: &[&str]) -> Command {
    let env = BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
    Command { argv: argv.iter().map(ToString::to_string).collect(), env, cwd: "/tmp".into() }
}

pub fn run_file(argv: &[&str]) -> RunFile {
    RunFile {
        command: command(argv),
        prepare: Vec::new(),
        grace_ms: 10_000,
        time_limit_ms: None,
        user: None,
        limits: Limits::default(),
        api: None,
    }
}

pub fn sh(script: &str) -> RunFile {
    run_file(&["sh", "-c", script])
}

/// The next event, which has to come.
pub async fn next(slot: &mut Slot) -> Event {
    tokio::time::timeout(PATIENCE, slot.next()).await.expect("the supervisor says something")
}

/// Waits for the first output of a job: by then it has done what stands before it.
pub async fn spoke(slot: &mut Slot) {
    loop {
        match next(slot).await {
            Event::LogGrew { .. } => return,
            Event::Started(_) => {}
            other => panic!("the job should be running: {other:?}"),
        }
    }
}

pub async fn exited(slot: &mut Slot, control: &Path) -> Ended {
    loop {
        match next(slot).await {
            Event::Exited(exit) => {
                assert_eq!(ExitFile::read(control).unwrap().as_ref(), Some(&exit));
                let log = fs::read(control.join("log")).unwrap();
                assert_eq!(exit.log_length, log.len() as u64);
                return Ended { exit, log, control: control.to_owned() };
            }
            Event::Started(_) | Event::LogGrew { .. } => {}
            other => panic!("the job should end: {other:?}"),
        }
    }
}

/// Waits for a state of the world that announces itself to nobody here.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(tokio::time::Instant::now() < until, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process of this number is there and not a zombie.
pub fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// The number in a line `NAME=123` of a log.
pub fn number(log: &[u8], name: &str) -> i32 {
    let log = String::from_utf8_lossy(log);
    let line = log.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("no {name} in {log}")).trim().parse().unwrap()
}
