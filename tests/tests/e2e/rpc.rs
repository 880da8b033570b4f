//! gRPC spoken by hand, for what `atlas` and `atlas-node` themselves never say.

use std::path::Path;

use atlas_proto::USER_HEADER;
use atlas_proto::wire::jobs_client::JobsClient;
use atlas_proto::wire::nodes_client::NodesClient;
use atlas_proto::wire::{self, JobOverrides, JobRef, SubmitRequest};
use atlas_tests::harness::{Cluster, eventually};
use tokio::runtime::Runtime;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// One connection to a master.
pub struct Rpc {
    runtime: Runtime,
    channel: Channel,
}

impl Rpc {
    pub fn new(cluster: &Cluster) -> Self {
        let runtime = Runtime::new().unwrap();
        let endpoint = Channel::from_shared(cluster.grpc()).unwrap();
        let channel = runtime.block_on(endpoint.connect()).unwrap();
        Self { runtime, channel }
    }

    pub fn jobs(&self) -> JobsClient<Channel> {
        JobsClient::new(self.channel.clone())
    }

    pub fn nodes(&self) -> NodesClient<Channel> {
        NodesClient::new(self.channel.clone())
    }

    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// The bundle of a small folder that the master has from a job before.
    pub fn bundle(&self, cluster: &Cluster, dir: &Path) -> wire::Bundle {
        let job = cluster.submit(dir, &["true"]);
        // Its node must have nothing left to do for it: a test may count what the node holds.
        eventually("the job is done", || (cluster.job(&job)["phase"] == "done").then_some(()));
        let job = self.wait(self.jobs().get_job(JobRef { job })).unwrap().into_inner();
        job.spec.unwrap().bundle.unwrap()
    }

    pub fn submit(&self, request: SubmitRequest) -> Result<wire::SubmitReply, Status> {
        let reply = self.wait(self.jobs().submit(signed(request)));
        reply.map(tonic::Response::into_inner)
    }
}

pub fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// A submission of this command.
pub fn submission(id: &str, bundle: &wire::Bundle, command: &[&str]) -> SubmitRequest {
    SubmitRequest {
        id: id.into(),
        bundle: Some(bundle.clone()),
        dir_name: "by-hand".into(),
        overrides: Some(JobOverrides {
            command: command.iter().map(ToString::to_string).collect(),
            ..JobOverrides::default()
        }),
        ..SubmitRequest::default()
    }
}

/// As a user's request.
pub fn signed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(USER_HEADER, "ada".parse().unwrap());
    request
}
