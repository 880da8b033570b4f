//! A client that speaks gRPC as `atlas` does, without starting a process for each call.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use atlas_proto::USER_HEADER;
use atlas_proto::wire::jobs_client::JobsClient;
use atlas_proto::wire::{
    Bundle, JobOverrides, JobRef, ListJobsReply, ListJobsRequest, ReadLogRequest, SubmitRequest,
};
use atlas_tests::harness::Atlas;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tonic::Request;
use tonic::transport::Channel;

pub struct Client {
    runtime: Runtime,
    jobs: JobsClient<Channel>,
    bundle: Bundle,
}

impl Client {
    /// A client whose bundle is there already: an almost empty folder, sent by a first job.
    pub fn new(user: &Atlas, grpc: &str, name: &str) -> Self {
        let dir = user.project(name, &[("main.py", "")]);
        let first = user.submit(Path::new(&dir), &["true"]);
        user.atlas(&["wait", &first]).exits(0);
        let runtime = Runtime::new().unwrap();
        let channel = runtime
            .block_on(Channel::from_shared(grpc.to_owned()).unwrap().tcp_nodelay(true).connect())
            .unwrap();
        let mut jobs = JobsClient::new(channel);
        let job = runtime.block_on(jobs.get_job(JobRef { job: first })).unwrap().into_inner();
        Self { runtime, jobs, bundle: job.spec.unwrap().bundle.unwrap() }
    }

    fn request(&self, command: &[&str]) -> Request<SubmitRequest> {
        let overrides = JobOverrides {
            command: command.iter().map(ToString::to_string).collect(),
            project: Some("bench".into()),
            ..JobOverrides::default()
        };
        let mut request = Request::new(SubmitRequest {
            id: uuid::Uuid::new_v4().to_string(),
            bundle: Some(self.bundle.clone()),
            dir_name: "bench".into(),
            job_config_yaml: None,
            overrides: Some(overrides),
            git: None,
            secrets: Default::default(),
            git_diff: None,
        });
        request.metadata_mut().insert(USER_HEADER, "bench".parse().unwrap());
        request
    }

    /// A page of what is found.
    pub fn list(&self, request: ListJobsRequest) -> ListJobsReply {
        self.runtime.block_on(self.jobs.clone().list_jobs(request)).unwrap().into_inner()
    }

    pub fn submit_one(&self, command: &[&str]) -> String {
        let reply = self.runtime.block_on(self.jobs.clone().submit(self.request(command))).unwrap();
        reply.into_inner().job.unwrap().id
    }

    /// The job, and milliseconds from the call to the time that it prints: nanoseconds since 1970, its last line.
    pub fn submit_to_first_instruction(&self, command: &[&str]) -> (String, f64) {
        let request = self.request(command);
        let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let mut jobs = self.jobs.clone();
        let (id, printed) = self.runtime.block_on(async {
            let job = jobs.submit(request).await.unwrap().into_inner().job.unwrap();
            let log =
                ReadLogRequest { job: job.id.clone(), follow: true, ..ReadLogRequest::default() };
            let mut chunks = jobs.read_log(log).await.unwrap().into_inner();
            let mut text = Vec::new();
            while let Some(chunk) = chunks.message().await.unwrap() {
                text.extend_from_slice(&chunk.data);
            }
            // The next round begins on an idle node.
            let mut news =
                jobs.watch_job(JobRef { job: job.id.clone() }).await.unwrap().into_inner();
            while news.message().await.unwrap().is_some() {}
            (job.id, String::from_utf8(text).unwrap())
        });
        let first = Duration::from_nanos(printed.lines().last().unwrap().parse().unwrap());
        (id, (first - began).as_secs_f64() * 1000.0)
    }

    /// How long it takes until all are acknowledged.
    pub fn submit_many(&self, jobs: usize, in_flight: usize, command: &[&str]) -> Duration {
        let requests: Vec<_> = (0..jobs).map(|_| self.request(command)).collect();
        let room = Arc::new(Semaphore::new(in_flight));
        let began = Instant::now();
        self.runtime.block_on(async {
            let mut calls = tokio::task::JoinSet::new();
            for request in requests {
                let place = room.clone().acquire_owned().await.unwrap();
                let mut client = self.jobs.clone();
                calls.spawn(async move {
                    client.submit(request).await.unwrap();
                    drop(place);
                });
            }
            while let Some(done) = calls.join_next().await {
                done.unwrap();
            }
        });
        began.elapsed()
    }
}

/// A gauge of the master's `/metrics`.
pub fn metric(address: &str, name: &str) -> u64 {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let line = text.lines().find(|it| it.split(' ').next() == Some(name)).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}
