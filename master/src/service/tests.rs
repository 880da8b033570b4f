//! The service layer on a real reactor and store, with nodes that do as a test says.

mod compacting;
mod importing;
mod listing;
mod retention;
mod shipping;
mod tracking;

use std::sync::Arc;
use std::time::Duration;

use atlas_core::cluster::{Input, Lease, Policy, Session};
use atlas_core::node::{ExecutorKind, NodeSpec, Troubles};
use atlas_core::resources::Capacity;
use atlas_core::spec::Sealed;
use atlas_core::{Cluster, Epoch, JobId, NodeName};
use atlas_proto::wire::node_proxy_server::{NodeProxy, NodeProxyServer};
use atlas_proto::wire::{FileEntry, FilesChunk, LogChunk, NodeFilesRequest, ReadLogRequest};
use atlas_runtime::tasks::Tasks;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use super::*;
use crate::edge::seal::Seals;
use crate::edge::token::JobTokens;
use crate::reactor::{Down, Link, Parts, Reactor, WelcomeFacts, now};
use crate::store::{Embedded, contract};
use crate::tracker;

/// Long before a connection to a node is given up.
const SOON: Duration = Duration::from_secs(8);

/// What a node says of any log.
#[derive(Clone, Copy)]
enum Says {
    /// These words, and then it stands still.
    Freezes(&'static str),
    /// These words, and it breaks off behind the first 4 bytes until it is asked for the rest.
    BreaksOff(&'static str),
}

#[tonic::async_trait]
impl NodeProxy for Says {
    type ReadLogStream = BoxStream<'static, Result<LogChunk, Status>>;
    type ListFilesStream = BoxStream<'static, Result<FileEntry, Status>>;
    type ReadFilesStream = BoxStream<'static, Result<FilesChunk, Status>>;

    async fn read_log(
        &self,
        request: Request<ReadLogRequest>,
    ) -> Result<Response<Self::ReadLogStream>, Status> {
        let from = request.get_ref().since_offset.unwrap_or_default();
        let chunk = |text: &'static str| LogChunk {
            offset: from,
            data: text.into(),
            ..LogChunk::default()
        };
        let chunks = match (self, from) {
            (Self::Freezes(words), 0) => {
                stream::iter([Ok(chunk(words))]).chain(stream::pending()).boxed()
            }
            (Self::BreaksOff(words), 0) => {
                stream::iter([Ok(chunk(&words[..4])), Err(Status::unavailable("it shuts down"))])
                    .boxed()
            }
            (Self::BreaksOff(words), 4) => stream::iter([Ok(chunk(&words[4..]))]).boxed(),
            _ => panic!("{from} was asked for"),
        };
        Ok(Response::new(chunks))
    }

    async fn list_files(
        &self,
        _: Request<NodeFilesRequest>,
    ) -> Result<Response<Self::ListFilesStream>, Status> {
        Ok(Response::new(stream::pending().boxed()))
    }

    async fn read_files(
        &self,
        _: Request<NodeFilesRequest>,
    ) -> Result<Response<Self::ReadFilesStream>, Status> {
        Ok(Response::new(stream::pending().boxed()))
    }
}

pub(crate) struct World {
    pub service: Arc<Service>,
    pub tasks: Tasks,
    dir: Arc<tempfile::TempDir>,
}

impl World {
    pub async fn new() -> Self {
        Self::over(Arc::new(tempfile::tempdir().unwrap())).await
    }

    /// A master on what others left there.
    async fn over(dir: Arc<tempfile::TempDir>) -> Self {
        let store: Arc<dyn Store> = Arc::new(Embedded::open(dir.path()).unwrap());
        let lead = store.lead().await.unwrap();
        let snapshot = store.restore().await.unwrap();
        let policy = Policy { lease: Lease::UntilReboot, ..Policy::default() };
        let (cluster, effects) = Cluster::restore(policy, now(), snapshot);
        let tasks = Tasks::new();
        let compactor = tracker::Compactor::default();
        let runs = Runs::start(store.clone(), compactor.listener(), &tasks);
        let feed = Feed::new(lead.mark.epoch, vec![runs.listener(), compactor.listener()]);
        let welcome = WelcomeFacts {
            cluster: lead.cluster.clone(),
            epoch: lead.mark.epoch,
            lease_ms: 0,
            heartbeat_ms: 3000,
        };
        let (trash, to_trash) = mpsc::unbounded_channel();
        let keys = Keys { tokens: JobTokens::new("key"), seals: Seals::new("key") };
        let (store_of_reactor, feed_of_reactor) = (store.clone(), feed.clone());
        let (reactor, handle) = Reactor::new(Parts {
            cluster,
            store: store_of_reactor,
            mark: lead.mark,
            welcome,
            keys: keys.clone(),
            feed: feed_of_reactor,
            trash,
            effects,
            tasks: tasks.clone(),
        });
        tasks.spawn("reactor", async move { drop(reactor.run().await) });
        let storage = Storage::default();
        let tracker = Tracker::new(tracker::Parts {
            store: store.clone(),
            reactor: handle.clone(),
            archive: Archive::new(dir.path().to_owned()),
            epoch: lead.mark.epoch,
            turns: storage.spools.clone(),
            tables: storage.tables.clone(),
            tasks: tasks.clone(),
        });
        let projects = Projects::new(store.clone(), handle.clone(), tasks.clone());
        let service = Arc::new(Service {
            reactor: handle,
            store,
            feed,
            runs,
            bundles: Arc::new(Bundles::open(dir.path(), 1 << 20).unwrap()),
            archive: Archive::new(dir.path().to_owned()),
            proxy: Proxy::new("token".parse().unwrap()),
            keys,
            share_mark: String::new(),
            cluster: lead.cluster,
            age: Age::begin(dir.path(), lead.mark, false).unwrap(),
            max_bundle: 1 << 20,
            max_output: 1 << 30,
            storage,
            fillings: Fillings::default(),
            measured: Arc::default(),
            removals: Default::default(),
            tracker,
            projects,
            tasks: tasks.clone(),
        });
        tasks.spawn("compactor", compactor.run(service.tracker.clone(), service.runs.clone()));
        tasks.spawn("trash", crate::trash::run(to_trash, service.clone(), lead.mark.epoch));
        Self { service, tasks, dir }
    }

    async fn epoch(&self) -> Epoch {
        self.service.store.mark().await.unwrap().epoch
    }

    /// A node of this name with one slot; its number is its session's.
    async fn join(&self, name: &str, number: u64, says: Says) -> mpsc::Receiver<Down> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tonic::transport::Server::builder()
            .add_service(NodeProxyServer::new(says))
            .serve_with_incoming(TcpListenerStream::new(listener));
        self.tasks.spawn("node", async move { drop(server.await) });
        self.join_at(name, number, address).await
    }

    /// A node that says where it is; whether it is there, nobody asks.
    pub async fn join_at(&self, name: &str, number: u64, address: String) -> mpsc::Receiver<Down> {
        let spec = NodeSpec {
            name: name.parse().unwrap(),
            identity: name.into(),
            boot_id: "boot".into(),
            address,
            version: crate::VERSION.into(),
            executor: ExecutorKind::Process,
            capacity: Capacity { slots: 1, gpus: Vec::new(), cpu_milli: 1000, memory: 1 << 30 },
            volumes: Vec::new(),
        };
        let (link, down) = Link::new(16);
        self.service
            .reactor
            .join(spec, Session(number), Troubles::default(), Vec::new(), link)
            .await
            .unwrap();
        down
    }

    pub async fn submit(&self) -> JobId {
        self.submit_as(7).await
    }

    pub async fn submit_as(&self, number: u8) -> JobId {
        let id = JobId::from_random([number; 16]);
        self.service
            .reactor
            .ask_for(Input::Submit { id, spec: contract::spec().into(), sealed: Sealed::default() })
            .await
            .unwrap();
        id
    }

    /// The node is gone for good, with all that it held.
    async fn remove(&self, name: &str, number: u64) {
        let node: NodeName = name.parse().unwrap();
        let reactor = &self.service.reactor;
        let leave = Input::Leave { node: node.clone(), session: Session(number) };
        reactor.tell(leave).await.unwrap();
        reactor.ask_for(Input::RemoveNode { node }).await.unwrap();
    }
}

#[tokio::test]
async fn who_follows_a_job_follows_it_away_from_a_node_that_stands_still() {
    let world = World::new().await;
    let _a = world.join("a", 1, Says::Freezes("from a")).await;
    let job = world.submit().await;
    let request = ReadLogRequest { job: job.to_string(), follow: true, ..Default::default() };
    let mut log = world.service.clone().read_log(request).await.unwrap();
    assert_eq!(log.recv().await.unwrap().unwrap().data, "from a");
    let _b = world.join("b", 2, Says::Freezes("from b")).await;
    world.remove("a", 1).await;
    let next = tokio::time::timeout(SOON, log.recv()).await.expect("it waits for the dead node");
    assert_eq!(next.unwrap().unwrap().data, "from b");
}

#[tokio::test]
async fn who_follows_is_told_when_the_node_breaks_off_and_reads_on_where_it_was() {
    let world = World::new().await;
    let _node = world.join("a", 1, Says::BreaksOff("one two")).await;
    let job = world.submit().await;
    let request = ReadLogRequest { job: job.to_string(), follow: true, ..Default::default() };
    let mut log = world.service.clone().read_log(request).await.unwrap();
    assert_eq!(log.recv().await.unwrap().unwrap().data, "one ");
    let told = log.recv().await.unwrap().unwrap();
    assert!(told.notice.contains("node a") && told.data.is_empty(), "{told:?}");
    let rest = tokio::time::timeout(SOON, log.recv()).await.expect("it does not ask again");
    let rest = rest.unwrap().unwrap();
    assert_eq!((rest.offset, &rest.data[..], &*rest.notice), (4, &b"two"[..], ""));
}

#[tokio::test]
async fn who_does_not_follow_hears_at_once_that_the_node_is_away_and_is_not_to_ask_again() {
    let world = World::new().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let _node = world.join_at("a", 1, closed.to_string()).await;
    let job = world.submit().await;
    let request = ReadLogRequest { job: job.to_string(), ..Default::default() };
    let mut log = world.service.clone().read_log(request).await.unwrap();
    let error =
        tokio::time::timeout(SOON, log.recv()).await.expect("it waits").unwrap().unwrap_err();
    let status = crate::grpc::status(&error);
    assert_eq!(status.code(), tonic::Code::Internal);
    assert!(
        status.message().starts_with(&format!("node a at {closed} does not answer")),
        "{status}"
    );
}
