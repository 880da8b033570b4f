//! The smallest master that an agent can talk to: real gRPC, on loopback.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use atlas_core::agent::{Assignment, Duty, Report};
use atlas_core::cluster::Held;
use atlas_core::node::{Condition, Troubles};
use atlas_core::{Attempt, Cause, JobId};
use atlas_proto::JOIN_TOKEN_HEADER;
use atlas_proto::convert::Entrusted;
use atlas_proto::wire::nodes_server::{Nodes, NodesServer};
use atlas_proto::wire::{self, master_message, node_message};
use atlas_runtime::clock::Wall;
use atlas_runtime::tasks::Tasks;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use crate::harness::PATIENCE;

pub const TOKEN: &str = "a-token";

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

    /// Why not, whether it is the node's fault, and what was said.
    pub async fn not_started(&self, job: JobId) -> (Cause, bool, String) {
        let said = |it: &Report| match it {
            Report::NotStarted { cause, strike, message } => {
                Some((cause.clone(), *strike, message.clone()))
            }
            _ => None,
        };
        self.told(job, "not started", said).await
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

    /// Sessions that have begun.
    pub fn joins(&self) -> usize {
        self.state.lock().unwrap().joins.len()
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

    async fn append_spool(
        &self,
        request: Request<wire::AppendSpoolRequest>,
    ) -> Result<Response<wire::AppendSpoolReply>, Status> {
        let wire::AppendSpoolRequest { offset, data, last, .. } = request.into_inner();
        let lines = data.iter().rposition(|it| *it == b'\n').map_or(0, |it| it + 1);
        let taken = if last { data.len() } else { lines };
        let length = offset + taken as u64;
        Ok(Response::new(wire::AppendSpoolReply { length, wanted: Vec::new() }))
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
