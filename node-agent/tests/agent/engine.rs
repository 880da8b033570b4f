//! An engine that is slow, or away, while jobs run in it: what is not known of a job is not said.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use atlas_core::agent::{ExitKind, Report};
use atlas_core::cluster::Held;
use atlas_core::node::{Condition, ExecutorKind};
use atlas_core::{Cause, JobId};
use atlas_runtime::tasks::Tasks;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use crate::harness::{Node, eventually};

/// A socket in front of the real engine.
struct Engine {
    mood: watch::Sender<Mood>,
    tasks: Tasks,
    _folder: tempfile::TempDir,
    socket: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Well,
    /// Ends every connection.
    Away,
    /// Requests with this at the end of their path wait.
    Slow(&'static str),
    /// A request with this in its path is done, but not answered, and nothing is from then on.
    DiesAfter(&'static str),
}

impl Engine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let (mood, seen) = watch::channel(Mood::Well);
        let (tasks, sender) = (Tasks::new(), mood.clone());
        let connections = tasks.clone();
        tasks.spawn("engine", async move {
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn("connection", serve(client, sender.clone(), seen.clone()));
            }
        });
        Self { mood, tasks, _folder: folder, socket }
    }

    fn is(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    async fn node(&self) -> Node {
        let host = format!("unix://{}", self.socket.display());
        Node::start_with(ExecutorKind::Docker, |settings| settings.docker_host = Some(host)).await
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

/// Every request has a connection of its own.
async fn serve(
    mut client: UnixStream,
    sender: watch::Sender<Mood>,
    mut mood: watch::Receiver<Mood>,
) {
    let mut request = vec![0; 64 << 10];
    let Ok(length) = client.read(&mut request).await else { return };
    request.truncate(length);
    let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
    let is = |mood: &Mood, line: &str| match mood {
        Mood::Slow(what) | Mood::DiesAfter(what) => line.contains(what),
        Mood::Well | Mood::Away => false,
    };
    let now = *mood.borrow();
    if let (Mood::Slow(_), true) = (now, is(&now, &line)) {
        mood.wait_for(|it| *it != now).await.unwrap();
    }
    if *mood.borrow() == Mood::Away {
        return;
    }
    let mut engine = UnixStream::connect("/var/run/docker.sock").await.unwrap();
    engine.write_all(&request).await.unwrap();
    if let (Mood::DiesAfter(_), true) = (now, is(&now, &line)) {
        let (mut answer, mut sent) = ([0; 12], [0; 64 << 10]);
        loop {
            tokio::select! {
                body = client.read(&mut sent) => match body {
                    Ok(length @ 1..) => engine.write_all(&sent[..length]).await.unwrap(),
                    _ => return,
                },
                _ = engine.read_exact(&mut answer) => break,
            }
        }
        sender.send_replace(Mood::Away);
        return;
    }
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut engine) => {}
        _ = mood.wait_for(|it| *it == Mood::Away) => {}
    }
}

fn docker(args: &[&str]) -> Option<String> {
    let output = Command::new("docker").args(args).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    output.status.success().then_some(text)
}

fn container(job: JobId) -> Option<String> {
    docker(&["inspect", "--format", "{{.State.Status}}", &format!("atlas-{job}.1")])
}

async fn pass(time: Duration) {
    let since = Instant::now();
    eventually("time passes", || (since.elapsed() > time).then_some(())).await;
}

/// A job that ends with 4 when it is told to.
const WAITS: &str = "echo up; while ! test -e go; do sleep 0.05; done; echo end; exit 4";

async fn goes_on_to_its_end(node: &Node, job: JobId) {
    fs::write(node.dir(job).join("work/go"), "").unwrap();
    assert_eq!(node.master.exited(job).await.kind, ExitKind::Code(4));
    node.master.archived(job).await;
    assert_eq!(node.said(job), "up\nend\n");
}

#[tokio::test]
async fn an_engine_that_starts_a_container_slowly_is_waited_for() {
    let engine = Engine::new();
    let node = engine.node().await;
    engine.is(Mood::Slow("/start"));
    let assignment = node.script("echo once");
    let job = assignment.job;
    node.master.assign(assignment).await;
    // Longer than a supervisor may take that was started.
    pass(Duration::from_secs(32)).await;
    assert!(!node.master.was_given_up(job));
    engine.is(Mood::Well);
    assert_eq!(node.master.exited(job).await.kind, ExitKind::Code(0));
}

#[tokio::test]
async fn a_job_that_is_stopped_while_its_container_starts_is_stopped_and_leaves_none() {
    let engine = Engine::new();
    let node = engine.node().await;
    engine.is(Mood::Slow("/start"));
    let assignment = node.script("sleep 1000");
    let job = assignment.job;
    node.master.assign(assignment).await;
    eventually("its container is made", || container(job)).await;
    node.master.stop(job, 100).await;
    // Longer than a start is waited for that has not come so far.
    pass(Duration::from_secs(22)).await;
    assert!(!node.master.was_given_up(job), "its container may be started yet");
    engine.is(Mood::Well);
    assert!(node.master.exited(job).await.stopped);
    eventually("its container is gone", || container(job).is_none().then_some(())).await;
}

#[tokio::test]
async fn a_start_that_was_not_answered_may_have_been_done() {
    let engine = Engine::new();
    let node = engine.node().await;
    // An engine that may not lift limits says so once.
    let first = node.script("true");
    let job = first.job;
    node.master.assign(first).await;
    node.master.archived(job).await;
    engine.is(Mood::DiesAfter("/start"));
    let assignment = node.script("echo once >> $ATLAS_CHECKPOINT_DIR/runs; sleep 1");
    let job = assignment.job;
    node.master.assign(assignment).await;
    node.master.started(job).await;
    engine.is(Mood::Well);
    assert_eq!(node.master.exited(job).await.kind, ExitKind::Code(0));
    let runs = node.archive(job).join("checkpoints/runs");
    assert_eq!(fs::read_to_string(runs).unwrap(), "once\n");
}

#[tokio::test]
async fn a_container_that_may_have_been_made_is_gone_before_its_job_is_given_up() {
    let engine = Engine::new();
    let node = engine.node().await;
    engine.is(Mood::DiesAfter("/containers/create?name="));
    let assignment = node.script("true");
    let job = assignment.job;
    node.master.assign(assignment).await;
    eventually("its container is made", || container(job)).await;
    pass(Duration::from_secs(1)).await;
    assert!(!node.master.was_given_up(job));
    engine.is(Mood::Well);
    let (cause, strike, _) = node.master.not_started(job).await;
    assert_eq!((cause, strike), (Cause::Internal, true));
    assert_eq!(container(job), None);
}

#[tokio::test]
async fn a_job_is_lost_when_the_engine_has_said_so() {
    let engine = Engine::new();
    let node = engine.node().await;
    let assignment = node.script("sleep 1000");
    let job = assignment.job;
    node.master.assign(assignment).await;
    node.master.started(job).await;
    engine.is(Mood::Away);
    docker(&["kill", &format!("atlas-{job}.1")]).unwrap();
    pass(Duration::from_secs(1)).await;
    assert!(!node.master.was_given_up(job), "nobody could know");
    engine.is(Mood::Well);
    let lost = |it: &Report| match it {
        Report::Lost { message } => Some(message.clone()),
        _ => None,
    };
    let message = node.master.told(job, "lost", lost).await;
    assert!(message.contains("code 137"), "{message}");
}

#[tokio::test]
async fn an_agent_waits_for_its_engine_and_then_adopts_what_runs_there() {
    let engine = Engine::new();
    let mut node = engine.node().await;
    let assignment = node.script(WAITS);
    let job = assignment.job;
    node.master.assign(assignment).await;
    node.master.started(job).await;
    node.stop().await;
    engine.is(Mood::Slow("/containers/json"));
    let back = async {
        pass(Duration::from_secs(1)).await;
        engine.is(Mood::Away);
        pass(Duration::from_secs(1)).await;
        engine.is(Mood::Well);
    };
    tokio::join!(node.start_again(), back);
    assert_eq!(node.master.joined(2).await.held.len(), 1);
    goes_on_to_its_end(&node, job).await;
}

#[tokio::test]
async fn a_node_whose_engine_is_away_joins_for_the_sake_of_what_runs_and_takes_no_jobs() {
    let engine = Engine::new();
    let mut node = engine.node().await;
    // The share of this cluster was never marked by its master.
    node.master.troubled(&[Condition::Share]).await;
    let assignment = node.script(WAITS);
    let job = assignment.job;
    node.master.assign(assignment).await;
    node.master.started(job).await;
    node.stop().await;
    engine.is(Mood::Away);
    node.start_again().await;
    let held = node.master.joined(2).await.held;
    assert!(matches!(held[..], [Held { report: Report::Started { .. }, .. }]), "{held:?}");
    let troubles = node.master.troubled(&[Condition::Share, Condition::Docker]).await;
    assert!(troubles.to_string().contains("no Docker engine answers"), "{troubles}");
    engine.is(Mood::Well);
    node.master.troubled(&[Condition::Share]).await;
    goes_on_to_its_end(&node, job).await;
    engine.is(Mood::Away);
    node.master.troubled(&[Condition::Share, Condition::Docker]).await;
}

/// A supervisor that stands still while its agent starts again.
async fn a_slow_supervisor_is_waited_for(mut node: Node, supervisor: impl Fn(&Node, JobId) -> i32) {
    let assignment = node.script(WAITS);
    let job = assignment.job;
    node.master.assign(assignment).await;
    node.master.started(job).await;
    let pid = Pid::from_raw(supervisor(&node, job)).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    node.restart().await;
    pass(Duration::from_secs(6)).await;
    kill_process(pid, Signal::CONT).unwrap();
    assert!(!node.master.was_given_up(job), "it runs");
    goes_on_to_its_end(&node, job).await;
}

#[tokio::test]
async fn a_supervisor_of_a_container_that_is_slow_keeps_its_job() {
    let node = Node::start_with(ExecutorKind::Docker, |_| {}).await;
    let pid = |_: &Node, job| {
        let pid = docker(&["inspect", "--format", "{{.State.Pid}}", &format!("atlas-{job}.1")]);
        pid.unwrap().parse().unwrap()
    };
    a_slow_supervisor_is_waited_for(node, pid).await;
}

#[tokio::test]
async fn a_supervisor_of_a_slot_that_is_slow_keeps_its_job() {
    let node = Node::start_process().await;
    a_slow_supervisor_is_waited_for(node, |node, _| node.supervisors()[0]).await;
}

#[tokio::test]
async fn a_job_is_lost_with_all_that_it_left_behind() {
    let node = Node::start_process().await;
    let assignment = node.script("setsid sh -c 'echo $$ > pid; exec sleep 1000' & sleep 1000");
    let job = assignment.job;
    node.master.assign(assignment).await;
    let pid = eventually("it says its number", || {
        fs::read_to_string(node.dir(job).join("work/pid")).ok().filter(|it| it.ends_with('\n'))
    })
    .await;
    node.kill_supervisors(Signal::KILL);
    node.master.told(job, "lost", |it| matches!(it, Report::Lost { .. }).then_some(())).await;
    let alive = Path::new("/proc").join(pid.trim()).join("cwd").read_link().is_ok();
    assert!(!alive, "it was said to be lost and runs");
}
