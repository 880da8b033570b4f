//! One agent in this process with folders of its own, and the smallest master that it can talk to: real gRPC, on loopback.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use atlas_core::agent::{Assignment, Duty, Report, Work};
use atlas_core::cluster::Held;
use atlas_core::node::{Condition, ExecutorKind, Troubles};
use atlas_core::spec::{Bundle, JobSpec, Outputs, Sealed, Worker};
use atlas_core::{Attempt, BundleId, Demand, JobId};
use atlas_node::Settings;
use atlas_node::inventory::Wanted;
use atlas_proto::JOIN_TOKEN_HEADER;
use atlas_proto::convert::Entrusted;
use atlas_proto::wire::nodes_server::{Nodes, NodesServer};
use atlas_proto::wire::{self, master_message, node_message};
use atlas_runtime::clock::Wall;
use atlas_runtime::config::Secret;
use atlas_runtime::tasks::Tasks;
use rustix::process::{Signal, kill_process};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

pub const TOKEN: &str = "a-token";
const PATIENCE: Duration = Duration::from_secs(180);

/// What the master wants, and what it was told.
#[derive(Clone)]
pub struct Master {
    pub address: String,
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
    tasks: Tasks,
}

struct State {
    cluster: String,
    lease_ms: u64,
    answers: bool,
    wanted: Vec<Assignment>,
    /// Who has begun a session and not yet said what is held there.
    joining: Option<wire::Join>,
    greeted: usize,
    joins: Vec<Joined>,
    reports: Vec<Held>,
    /// What the node last found wrong with itself.
    troubles: Troubles,
    /// How far the master's clock is ahead of this machine's.
    ahead_ms: u64,
    down: Option<mpsc::Sender<Result<wire::MasterMessage, Status>>>,
}

/// The first words of a session.
#[derive(Clone)]
pub struct Joined {
    pub join: wire::Join,
    pub held: Vec<Held>,
}

impl Master {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let master = Self {
            address: listener.local_addr().unwrap().to_string(),
            state: Arc::new(Mutex::new(State {
                cluster: "cluster-1".into(),
                lease_ms: 300_000,
                answers: true,
                wanted: Vec::new(),
                joining: None,
                greeted: 0,
                joins: Vec::new(),
                reports: Vec::new(),
                troubles: Troubles::default(),
                ahead_ms: 0,
                down: None,
            })),
            changed: watch::Sender::new(0),
            tasks: Tasks::new(),
        };
        let service = NodesServer::new(master.clone());
        master.tasks.spawn(
            "master",
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        master
    }

    /// Ends the session, as a master does that dies, and changes something before the next.
    pub fn restart_as(&self, cluster: &str) {
        let mut state = self.state.lock().unwrap();
        state.cluster = cluster.into();
        state.down = None;
        drop(state);
        self.tick();
    }

    /// Hears everything and says nothing more.
    pub fn fall_silent(&self) {
        self.state.lock().unwrap().answers = false;
    }

    /// From the next session on.
    pub fn lease(&self, lease_ms: u64) {
        self.state.lock().unwrap().lease_ms = lease_ms;
    }

    pub async fn assign(&self, assignment: Assignment) {
        let message = master_message::Message::Assign(wire(&assignment));
        let down = {
            let mut state = self.state.lock().unwrap();
            state.wanted.push(assignment);
            state.down.clone()
        };
        send(down, message).await;
    }

    pub async fn stop(&self, job: JobId, grace_ms: u64) {
        let down = self.state.lock().unwrap().down.clone();
        let stop = wire::StopAttempt { job: job.to_string(), attempt: 1, grace_ms };
        send(down, master_message::Message::Stop(stop)).await;
    }

    /// From now on its clock is ahead of this machine's.
    pub fn clock_ahead(&self, by: Duration) {
        self.state.lock().unwrap().ahead_ms = u64::try_from(by.as_millis()).unwrap();
    }

    /// Waits until a node has asked so often whom it is about to join.
    pub async fn greeted(&self, times: usize) {
        self.until("greeted", |state| (state.greeted >= times).then_some(())).await;
    }

    /// Waits until this is all that the node finds wrong with itself.
    pub async fn troubled(&self, conditions: &[Condition]) -> Troubles {
        let only = |it: &Troubles| it.iter().map(|it| it.0).eq(conditions.iter().copied());
        self.until(&format!("{conditions:?}"), |state| {
            only(&state.troubles).then(|| state.troubles.clone())
        })
        .await
    }

    /// Waits for a report of this job that is what is looked for.
    pub async fn told<T>(&self, job: JobId, what: &str, look: impl Fn(&Report) -> Option<T>) -> T {
        self.until(what, |state| {
            state.reports.iter().filter(|it| it.job == job).find_map(|it| look(&it.report))
        })
        .await
    }

    pub async fn started(&self, job: JobId) {
        self.told(job, "started", |it| matches!(it, Report::Started { .. }).then_some(())).await;
    }

    pub async fn exited(&self, job: JobId) -> atlas_core::agent::Exit {
        let exit = |it: &Report| match it {
            Report::Exited(exit) => Some(exit.clone()),
            Report::NotStarted { .. } | Report::Lost { .. } => panic!("{it:?}"),
            _ => None,
        };
        self.told(job, "exited", exit).await
    }

    pub async fn archived(&self, job: JobId) -> Option<String> {
        let left = |it: &Report| match it {
            Report::Archived { left_behind } => Some(left_behind.clone()),
            _ => None,
        };
        self.told(job, "archived", left).await
    }

    pub async fn joined(&self, times: usize) -> Joined {
        self.until("joined", |state| state.joins.get(times - 1).cloned()).await
    }

    /// Whether it was said that this job is gone or could not be started.
    pub fn was_given_up(&self, job: JobId) -> bool {
        let gave_up = |it: &Report| matches!(it, Report::Lost { .. } | Report::NotStarted { .. });
        self.state.lock().unwrap().reports.iter().any(|it| it.job == job && gave_up(&it.report))
    }

    /// Does not want this job any more, without saying so.
    pub fn forget_one(&self, job: JobId) {
        self.state.lock().unwrap().wanted.retain(|it| it.job != job);
    }

    /// Wants nothing any more, without saying so.
    pub fn forget(&self) {
        self.state.lock().unwrap().wanted.clear();
    }

    async fn until<T>(&self, what: &str, look: impl Fn(&State) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        let waiting = async {
            loop {
                if let Some(found) = look(&self.state.lock().unwrap()) {
                    return found;
                }
                changed.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(found) => found,
            Err(_) => panic!("not {what}: {:#?}", self.state.lock().unwrap().reports),
        }
    }

    fn tick(&self) {
        self.changed.send_modify(|it| *it += 1);
    }

    /// What a master does with what it hears: an end is followed by the archive, an archive by the release.
    fn hear(&self, message: wire::NodeMessage) -> Vec<master_message::Message> {
        let mut state = self.state.lock().unwrap();
        match message.message.unwrap() {
            node_message::Message::Join(join) => {
                state.troubles = join.troubles.clone().unwrap().try_into().unwrap();
                state.joining = Some(join);
                Vec::new()
            }
            node_message::Message::HeldList(wire::HeldList { held, last }) => {
                // A piece each, so that the node is seen to wait for the last.
                assert!(last, "a short list is one piece");
                let held: Vec<Held> = held.into_iter().map(|it| it.try_into().unwrap()).collect();
                let answers = state.answers;
                let join = state.joining.take().expect("a list follows a join");
                state.joins.push(Joined { join, held: held.clone() });
                let mut replies = vec![master_message::Message::Welcome(wire::Welcome {
                    revision: 0,
                    cluster_id: state.cluster.clone(),
                    epoch: 1,
                    lease_ms: state.lease_ms,
                    heartbeat_ms: 100,
                })];
                let mut pieces: Vec<_> =
                    state.wanted.iter().map(|it| (vec![wire(it)], false)).collect();
                pieces.push((Vec::new(), true));
                replies.extend(pieces.into_iter().map(|(assignments, last)| {
                    master_message::Message::Assignments(wire::AssignmentList { assignments, last })
                }));
                for it in held {
                    replies.extend(report(&mut state, it));
                }
                if answers { replies } else { Vec::new() }
            }
            node_message::Message::Heartbeat(wire::Heartbeat { number }) if state.answers => {
                vec![master_message::Message::Heartbeat(wire::HeartbeatAck {
                    revision: 0,
                    number,
                    wall_ms: Wall::now() + state.ahead_ms,
                })]
            }
            node_message::Message::Heartbeat(_) => Vec::new(),
            node_message::Message::Troubles(troubles) => {
                state.troubles = troubles.try_into().unwrap();
                Vec::new()
            }
            node_message::Message::Report(held) => report(&mut state, held.try_into().unwrap()),
        }
    }
}

fn wire(assignment: &Assignment) -> wire::Assignment {
    wire::Assignment::of(assignment, |_| Entrusted {
        token: "atlas_job_token".into(),
        secrets: Default::default(),
    })
}

fn report(state: &mut State, held: Held) -> Vec<master_message::Message> {
    let id = (held.job, held.attempt);
    let place = state.wanted.iter().position(|it| (it.job, it.attempt) == id);
    let replies = match (&held.report, place) {
        (Report::Exited(_), Some(place)) => {
            state.wanted[place].duty = Duty::Archive;
            vec![master_message::Message::Assign(wire(&state.wanted[place]))]
        }
        (
            Report::Archived { .. } | Report::NotStarted { .. } | Report::Lost { .. },
            Some(place),
        ) => {
            state.wanted.remove(place);
            vec![release(held.job, held.attempt)]
        }
        _ => Vec::new(),
    };
    state.reports.push(held);
    replies
}

fn release(job: JobId, attempt: Attempt) -> master_message::Message {
    master_message::Message::Release(wire::ReleaseAttempt {
        job: job.to_string(),
        attempt: attempt.0,
    })
}

async fn send(
    down: Option<mpsc::Sender<Result<wire::MasterMessage, Status>>>,
    message: master_message::Message,
) {
    if let Some(down) = down {
        let _ = down.send(Ok(wire::MasterMessage { message: Some(message) })).await;
    }
}

#[tonic::async_trait]
impl Nodes for Master {
    type SessionStream = ReceiverStream<Result<wire::MasterMessage, Status>>;
    type FetchBundleStream = ReceiverStream<Result<wire::FilesChunk, Status>>;
    type FetchCheckpointsStream = ReceiverStream<Result<wire::CheckpointPart, Status>>;
    type ShipStream = ReceiverStream<Result<wire::ShipReply, Status>>;

    async fn greet(
        &self,
        request: Request<wire::Greeting>,
    ) -> Result<Response<wire::MasterFacts>, Status> {
        if request.metadata().get(JOIN_TOKEN_HEADER).is_none_or(|it| it != TOKEN) {
            return Err(Status::unauthenticated("wrong token"));
        }
        let mut state = self.state.lock().unwrap();
        state.greeted += 1;
        let (cluster_id, ahead_ms) = (state.cluster.clone(), state.ahead_ms);
        drop(state);
        self.tick();
        let version = env!("CARGO_PKG_VERSION").into();
        let share_mark = "mark".into();
        let wall_ms = Wall::now() + ahead_ms;
        Ok(Response::new(wire::MasterFacts { cluster_id, version, share_mark, wall_ms }))
    }

    async fn session(
        &self,
        request: Request<Streaming<wire::NodeMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        if request.metadata().get(JOIN_TOKEN_HEADER).is_none_or(|it| it != TOKEN) {
            return Err(Status::unauthenticated("wrong token"));
        }
        let (down, stream) = mpsc::channel(64);
        self.state.lock().unwrap().down = Some(down.clone());
        let (master, mut up) = (self.clone(), request.into_inner());
        self.tasks.spawn("session", async move {
            let mut changed = master.changed.subscribe();
            loop {
                let message = tokio::select! {
                    message = up.message() => message,
                    _ = changed.changed() => {
                        let ours = master.state.lock().unwrap().down.as_ref().is_some_and(|it| it.same_channel(&down));
                        if ours { continue } else { return }
                    }
                };
                let Ok(Some(message)) = message else { return };
                let replies = master.hear(message);
                for message in replies {
                    send(Some(down.clone()), message).await;
                }
                master.tick();
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn fetch_bundle(
        &self,
        _request: Request<wire::FetchBundleRequest>,
    ) -> Result<Response<Self::FetchBundleStream>, Status> {
        Err(Status::not_found("this master has no bundles"))
    }

    async fn begin_attempt(
        &self,
        _request: Request<wire::Holder>,
    ) -> Result<Response<wire::BeginAttemptReply>, Status> {
        Err(no_storage())
    }

    async fn fetch_checkpoints(
        &self,
        _request: Request<wire::FetchCheckpointsRequest>,
    ) -> Result<Response<Self::FetchCheckpointsStream>, Status> {
        Err(no_storage())
    }

    async fn append_log(
        &self,
        _request: Request<wire::AppendLogRequest>,
    ) -> Result<Response<wire::AppendLogReply>, Status> {
        Err(no_storage())
    }

    async fn sync_log(
        &self,
        _request: Request<wire::Holder>,
    ) -> Result<Response<wire::SyncLogReply>, Status> {
        Err(no_storage())
    }

    async fn ship(
        &self,
        _request: Request<Streaming<wire::ShipRequest>>,
    ) -> Result<Response<Self::ShipStream>, Status> {
        Err(no_storage())
    }
}

fn no_storage() -> Status {
    Status::not_found("this master has no storage: its nodes have it mounted")
}

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
        let joins = self.master.state.lock().unwrap().joins.len();
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
        worker: Worker::default(),
        params: None,
        outputs: Outputs::default(),
        wait_for_capacity: false,
        fresh_requirements: false,
        git: None,
        rerun: None,
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
