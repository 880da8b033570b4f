//! A master in the test: keeps what it was told, plays what it was given, and fails where it should.

mod projects;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use atlas_proto::wire::jobs_server::{Jobs, JobsServer};
use atlas_proto::wire::projects_server::ProjectsServer;
use atlas_proto::wire::upload_bundle_request::Part;
use atlas_proto::{USER_HEADER, wire};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// A master that serves until it is dropped.
pub struct Master {
    pub url: String,
    state: Arc<Mutex<State>>,
    _serving: JoinSet<()>,
}

/// What the master has, and how it behaves; a test sets what it needs.
#[derive(Default)]
pub struct State {
    /// Empty = that of the client.
    pub version: String,
    pub jobs: BTreeMap<String, wire::Job>,
    pub bundles: BTreeMap<String, Vec<u8>>,
    pub nodes: Vec<wire::Node>,
    pub files: Vec<wire::FileEntry>,
    /// Of each path that is read.
    pub tars: BTreeMap<String, Vec<u8>>,
    pub log: Vec<u8>,
    /// How each submitted job ends: `None` = it goes on for ever.
    pub end: Option<(&'static str, Option<wire::Cause>)>,
    pub refusal: Option<Status>,

    /// Replies to submissions that get lost, after the job was made.
    pub lost_replies: u32,
    /// Bytes after which an upload, a log or a tar breaks off, once.
    pub break_upload_at: Option<usize>,
    pub break_log_at: Option<usize>,
    /// What those that follow a log are told first, instead of bytes.
    pub notice: Option<&'static str>,
    pub break_tar_at: Option<usize>,

    pub submissions: Vec<wire::SubmitRequest>,
    pub users: BTreeSet<String>,
    pub traceparents: Vec<Option<String>>,
    pub uploads: Vec<wire::UploadStart>,
    pub arrived: Vec<u8>,
    pub log_requests: Vec<wire::ReadLogRequest>,
    pub list_requests: Vec<wire::ListJobsRequest>,
    /// Of every page of a listing.
    pub columns: Vec<String>,
    pub tar_requests: Vec<String>,
    pub stopped: Vec<String>,
    pub deleted: Vec<String>,
    pub emptied: Vec<String>,
    pub removed_nodes: Vec<String>,
    pub project: Option<wire::GetProjectReply>,
    pub project_changes: Vec<wire::ChangeProjectRequest>,
    pub labels: Vec<wire::LabelJobRequest>,
    pub usage: wire::UsageReply,
    pub usage_requests: Vec<wire::UsageRequest>,
}

impl Master {
    pub async fn start(state: State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(state));
        let service = JobsServer::new(Served(state.clone()));
        let projects = ProjectsServer::new(projects::ServedProjects(state.clone()));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            let server = Server::builder().add_service(service).add_service(projects);
            server.serve_with_incoming(incoming).await.unwrap();
        });
        Self { url, state, _serving: serving }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// A job that has ended.
pub fn ended(id: &str, status: &str, cause: Option<(&str, &str)>) -> wire::Job {
    let cause = cause.map(|(kind, value)| wire::Cause { kind: kind.into(), value: value.into() });
    wire::Job {
        id: id.into(),
        status: status.into(),
        phase: "done".into(),
        cause,
        submitted_ms: 1_795_168_800_000,
        started_ms: Some(1_795_168_800_000),
        ended_ms: Some(1_795_168_860_000),
        attempt: 1,
        log_bytes: Some(0),
        spec: Some(wire::JobSpec {
            project: "mnist".into(),
            user: "ada".into(),
            command: vec!["main.py".into(), "--lr".into(), "1".into()],
            ..Default::default()
        }),
        ..Default::default()
    }
}

struct Served(Arc<Mutex<State>>);

type Answer<T> = Result<Response<T>, Status>;
type Stream<T> = BoxStream<'static, Result<T, Status>>;

impl Served {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn find(&self, text: &str) -> Result<&wire::Job, Status> {
        let found = self.jobs.values().find(|it| it.id.starts_with(text));
        found.ok_or_else(|| Status::not_found(format!("there is no job {text}")))
    }

    /// The job right after its submission, while it runs, and at its end.
    fn life(&self, job: &wire::Job) -> Vec<wire::Job> {
        if job.phase == "done" {
            return vec![job.clone()];
        }
        let running = wire::Job {
            status: "running".into(),
            phase: "running".into(),
            attempt: 1,
            started_ms: Some(job.submitted_ms),
            ..job.clone()
        };
        let end = self.end.as_ref().map(|(status, cause)| wire::Job {
            status: (*status).into(),
            phase: "done".into(),
            cause: cause.clone(),
            ended_ms: Some(job.submitted_ms + 1),
            log_bytes: Some(self.log.len() as u64),
            ..running.clone()
        });
        [Some(job.clone()), Some(running), end].into_iter().flatten().collect()
    }
}

/// Yields what there is, then breaks off where it should, or goes on for ever.
fn pieces<T: Send + 'static>(items: Vec<T>, broken: bool, endless: bool) -> Response<Stream<T>> {
    let items = stream::iter(items.into_iter().map(Ok));
    let rest = if broken { Some(Err(Status::unavailable("the connection was cut"))) } else { None };
    let items = items.chain(stream::iter(rest));
    Response::new(if endless { items.chain(stream::pending()).boxed() } else { items.boxed() })
}

#[tonic::async_trait]
impl Jobs for Served {
    type WatchJobStream = Stream<wire::Job>;
    type ReadLogStream = Stream<wire::LogChunk>;
    type ListFilesStream = Stream<wire::FileEntry>;
    type ReadFilesStream = Stream<wire::FilesChunk>;

    async fn info(&self, request: Request<wire::InfoRequest>) -> Answer<wire::InfoReply> {
        let mut state = self.state();
        let user = request.metadata().get(USER_HEADER).map(|it| it.to_str().unwrap().to_owned());
        state.users.extend(user);
        let version = if state.version.is_empty() {
            env!("CARGO_PKG_VERSION").into()
        } else {
            state.version.clone()
        };
        Ok(Response::new(wire::InfoReply {
            version,
            cluster_id: "c".into(),
            max_bundle_bytes: 1 << 30,
        }))
    }

    async fn submit(&self, request: Request<wire::SubmitRequest>) -> Answer<wire::SubmitReply> {
        let mut state = self.state();
        let parent =
            request.metadata().get("traceparent").map(|it| it.to_str().unwrap().to_owned());
        state.traceparents.push(parent);
        if let Some(refusal) = &state.refusal {
            return Err(refusal.clone());
        }
        let request = request.into_inner();
        let bundle = request.bundle.clone().unwrap();
        if !state.bundles.contains_key(&bundle.id) {
            return Err(Status::failed_precondition("the bundle is not there"));
        }
        let created = !state.jobs.contains_key(&request.id);
        let spec = wire::JobSpec {
            project: request.dir_name.clone(),
            user: "ada".into(),
            ..Default::default()
        };
        let job = wire::Job {
            id: request.id.clone(),
            status: "queued".into(),
            phase: "queued".into(),
            submitted_ms: 1_795_168_800_000,
            spec: Some(spec),
            ..Default::default()
        };
        state.jobs.entry(request.id.clone()).or_insert_with(|| job.clone());
        state.submissions.push(request);
        if state.lost_replies > 0 {
            state.lost_replies -= 1;
            return Err(Status::unavailable("the reply was lost"));
        }
        Ok(Response::new(wire::SubmitReply { job: Some(job), created, notices: vec![] }))
    }

    async fn get_run(&self, _: Request<wire::JobRef>) -> Answer<wire::GetRunReply> {
        Ok(Response::new(wire::GetRunReply { run_json: "{}".into() }))
    }

    async fn rerun(&self, _: Request<wire::RerunRequest>) -> Answer<wire::SubmitReply> {
        Err(Status::unimplemented("nothing is run again here"))
    }

    async fn find_bundle(
        &self,
        request: Request<wire::FindBundleRequest>,
    ) -> Answer<wire::FindBundleReply> {
        let state = self.state();
        let known = state.bundles.contains_key(&request.get_ref().bundle);
        Ok(Response::new(wire::FindBundleReply { known, offset: state.arrived.len() as u64 }))
    }

    async fn upload_bundle(
        &self,
        request: Request<Streaming<wire::UploadBundleRequest>>,
    ) -> Answer<wire::UploadBundleReply> {
        let mut parts = request.into_inner();
        let Some(Part::Start(start)) = parts.message().await?.and_then(|it| it.part) else {
            return Err(Status::invalid_argument("no start"));
        };
        self.state().uploads.push(start.clone());
        while let Some(Part::Data(data)) = parts.message().await?.and_then(|it| it.part) {
            let mut state = self.state();
            state.arrived.extend_from_slice(&data);
            let arrived = state.arrived.len();
            if state.break_upload_at.take_if(|it| arrived >= *it).is_some() {
                return Err(Status::unavailable("the connection was cut"));
            }
        }
        let mut state = self.state();
        let arrived = std::mem::take(&mut state.arrived);
        if arrived.len() as u64 != start.bytes {
            return Err(Status::invalid_argument("not as many bytes as were said"));
        }
        state.bundles.insert(start.bundle, arrived);
        Ok(Response::new(wire::UploadBundleReply { bytes: start.bytes }))
    }

    async fn get_job(&self, request: Request<wire::JobRef>) -> Answer<wire::Job> {
        let state = self.state();
        let job = state.find(&request.get_ref().job)?;
        Ok(Response::new(state.life(job).pop().unwrap()))
    }

    async fn list_jobs(
        &self,
        request: Request<wire::ListJobsRequest>,
    ) -> Answer<wire::ListJobsReply> {
        let mut state = self.state();
        let request = request.into_inner();
        state.list_requests.push(request.clone());
        let from: usize =
            if request.cursor.is_empty() { 0 } else { request.cursor.parse().unwrap() };
        // Pages of two, whatever was asked for.
        let to = (from + 2.min(request.limit as usize)).min(state.jobs.len());
        let jobs: Vec<_> = state.jobs.values().skip(from).take(to - from).cloned().collect();
        let next_cursor = if to < state.jobs.len() { to.to_string() } else { String::new() };
        let total = state.jobs.len() as u64;
        Ok(Response::new(wire::ListJobsReply {
            jobs,
            next_cursor,
            total,
            columns: state.columns.clone(),
        }))
    }

    async fn watch_job(&self, request: Request<wire::JobRef>) -> Answer<Self::WatchJobStream> {
        let state = self.state();
        let job = state.find(&request.get_ref().job)?;
        let life = state.life(job);
        let endless = life.last().unwrap().phase != "done";
        Ok(pieces(life, false, endless))
    }

    async fn stop_job(&self, request: Request<wire::JobRef>) -> Answer<wire::Job> {
        let mut state = self.state();
        let job = state.find(&request.get_ref().job)?.clone();
        if job.phase == "done" {
            return Err(Status::failed_precondition(format!("job {} has ended", job.id)));
        }
        state.stopped.push(job.id.clone());
        Ok(Response::new(wire::Job { phase: "stopping".into(), ..job }))
    }

    async fn label_job(&self, request: Request<wire::LabelJobRequest>) -> Answer<wire::Job> {
        let mut state = self.state();
        let request = request.into_inner();
        let job = state.find(&request.job)?.clone();
        state.labels.push(request.clone());
        let spec = wire::JobSpec { name: request.name, tags: request.tags, ..Default::default() };
        Ok(Response::new(wire::Job { spec: Some(spec), ..job }))
    }

    async fn delete_job(&self, request: Request<wire::JobRef>) -> Answer<wire::DeleteJobReply> {
        let mut state = self.state();
        let id = state.find(&request.get_ref().job)?.id.clone();
        state.deleted.push(id.clone());
        Ok(Response::new(wire::DeleteJobReply { id }))
    }

    async fn remove_outputs(&self, request: Request<wire::JobRef>) -> Answer<wire::Job> {
        let mut state = self.state();
        let job = state.find(&request.get_ref().job)?.clone();
        state.emptied.push(job.id.clone());
        Ok(Response::new(job))
    }

    async fn clear_queue(
        &self,
        _: Request<wire::ClearQueueRequest>,
    ) -> Answer<wire::ClearQueueReply> {
        let ended = self.state().jobs.values().filter(|it| it.status == "queued").count() as u64;
        Ok(Response::new(wire::ClearQueueReply { ended }))
    }

    async fn list_queue(
        &self,
        request: Request<wire::ListQueueRequest>,
    ) -> Answer<wire::ListQueueReply> {
        let state = self.state();
        let queued: Vec<_> = state.jobs.values().filter(|it| it.status == "queued").collect();
        let jobs = (1..).zip(&queued).take(request.get_ref().limit as usize);
        let jobs = jobs.map(|(place, job)| wire::QueuedJob {
            place,
            job: Some((*job).clone()),
            reason: "waits for 1 slot to be free".into(),
        });
        Ok(Response::new(wire::ListQueueReply { jobs: jobs.collect(), total: queued.len() as u64 }))
    }

    async fn list_nodes(&self, _: Request<wire::ListNodesRequest>) -> Answer<wire::ListNodesReply> {
        Ok(Response::new(wire::ListNodesReply { nodes: self.state().nodes.clone() }))
    }

    async fn remove_node(
        &self,
        request: Request<wire::RemoveNodeRequest>,
    ) -> Answer<wire::RemoveNodeReply> {
        let mut state = self.state();
        let name = request.into_inner().name;
        if !state.nodes.iter().any(|it| it.name == name) {
            return Err(Status::not_found(format!("there is no node {name}")));
        }
        state.removed_nodes.push(name);
        Ok(Response::new(wire::RemoveNodeReply {}))
    }

    async fn read_log(
        &self,
        request: Request<wire::ReadLogRequest>,
    ) -> Answer<Self::ReadLogStream> {
        let mut state = self.state();
        let request = request.into_inner();
        state.find(&request.job)?;
        state.log_requests.push(request.clone());
        let from = usize::try_from(request.since_offset.unwrap_or(0)).unwrap().min(state.log.len());
        let broken = state.break_log_at.take();
        let to = broken.unwrap_or(state.log.len());
        // Small pieces, so that letters and lines are cut.
        let chunks = state.log[from..to].chunks(7).scan(from as u64, |offset, data| {
            let at_ms = if request.timestamps { 1_795_168_800_000 } else { 0 };
            let chunk = wire::LogChunk {
                offset: *offset,
                data: data.to_vec().into(),
                at_ms,
                notice: String::new(),
            };
            *offset += data.len() as u64;
            Some(chunk)
        });
        let notice = state.notice.filter(|_| request.follow);
        let notice = notice.map(|it| wire::LogChunk { notice: it.into(), ..Default::default() });
        let endless = request.follow && state.end.is_none();
        Ok(pieces(notice.into_iter().chain(chunks).collect(), broken.is_some(), endless))
    }

    async fn list_files(
        &self,
        request: Request<wire::ListFilesRequest>,
    ) -> Answer<Self::ListFilesStream> {
        let state = self.state();
        let wire::ListFilesRequest { job, path } = request.into_inner();
        state.find(&job)?;
        let below = |it: &&wire::FileEntry| {
            path.is_empty() || it.path == path || it.path.starts_with(&format!("{path}/"))
        };
        Ok(pieces(state.files.iter().filter(below).cloned().collect(), false, false))
    }

    async fn read_files(
        &self,
        request: Request<wire::ReadFilesRequest>,
    ) -> Answer<Self::ReadFilesStream> {
        let mut state = self.state();
        let path = request.into_inner().path;
        state.tar_requests.push(path.clone());
        let tar = state.tars.get(&path).cloned();
        let tar = tar.ok_or_else(|| Status::not_found(format!("there is nothing at {path:?}")))?;
        let broken = state.break_tar_at.take();
        let data = tar[..broken.unwrap_or(tar.len())].chunks(1000);
        let chunks = data.map(|it| wire::FilesChunk { data: it.to_vec().into() }).collect();
        Ok(pieces(chunks, broken.is_some(), false))
    }
}

/// Long enough for anything that is bound to happen.
pub const PATIENCE: Duration = Duration::from_secs(180);
