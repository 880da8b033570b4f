//! What this node serves to its master alone: logs and files of the jobs it holds. Users never talk to nodes.
//!
//! **Invariant:** whatever is asked for, and however slowly it is taken, a stream holds a few chunks and no more.

mod files;
mod log;

use std::io;
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use atlas_core::Attempt;
use atlas_proto::convert::parse;
use atlas_proto::wire::node_proxy_server::{NodeProxy, NodeProxyServer};
use atlas_proto::wire::{FileEntry, FilesChunk, LogChunk, NodeFilesRequest, ReadLogRequest};
use atlas_runtime::process::port_holder;
use atlas_runtime::tasks::Tasks;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::driver::{Handle, View};
use crate::master::Token;
use crate::paths::AttemptId;

/// Chunks of a stream that wait for its reader.
const CHUNKS: usize = 2;
/// Folders that are listed or read at the same time, each by a thread; further readers wait. A thread may be held up by a disk or by
/// a reader that does not read, and copying logs and archiving need threads, too.
const LISTINGS: usize = 32;
const READS: usize = 32;

/// The node's own server.
pub struct Proxy {
    driver: Handle,
    tasks: Tasks,
    listings: Arc<Semaphore>,
    reads: Arc<Semaphore>,
}

/// Why the node does not serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not listen on {address}: {holder} does; choose another address by --listen")]
    Taken { address: SocketAddr, holder: String },
    #[error("could not listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("the node's server failed")]
    Serve(#[source] tonic::transport::Error),
}

/// Takes the address, so that it is known before the node joins.
pub async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => Error::Taken {
            address,
            holder: port_holder(address.port()).unwrap_or_else(|| "another process".into()),
        },
        _ => Error::Listen { address, source },
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

impl Proxy {
    pub fn new(driver: Handle, tasks: Tasks) -> Self {
        let (listings, reads) = (Semaphore::new(LISTINGS), Semaphore::new(READS));
        Self { driver, tasks, listings: Arc::new(listings), reads: Arc::new(reads) }
    }

    /// Serves until the agent shuts down.
    pub async fn serve(self, listener: TcpListener, token: Token) -> Result<(), Error> {
        let tasks = self.tasks.clone();
        let shows_token = move |request: Request<()>| {
            if token.is_shown_by(&request) {
                Ok(request)
            } else {
                Err(Status::unauthenticated("the join token is missing or not this cluster's"))
            }
        };
        Server::builder()
            .tcp_nodelay(true)
            .add_service(NodeProxyServer::with_interceptor(self, shows_token))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async move {
                tasks.cancelled().await;
            })
            .await
            .map_err(Error::Serve)
    }

    /// Works for a stream when there is room, unless its reader is gone by then.
    fn in_turn<T: Send + 'static>(
        &self,
        turns: &Arc<Semaphore>,
        to: Sender<T>,
        work: impl FnOnce(&Sender<T>) + Send + 'static,
    ) {
        let (turns, tasks) = (turns.clone(), self.tasks.clone());
        self.tasks.spawn("read files", async move {
            let turn = tokio::select! {
                turn = turns.acquire_owned() => turn.expect("it is never closed"),
                () = to.closed() => return,
                () = tasks.cancelled() => return,
            };
            drop(tokio::task::spawn_blocking(move || {
                let _turn = turn;
                work(&to);
            }));
        });
    }

    async fn find(&self, job: &str, attempt: u64) -> Result<View, Status> {
        let job = parse("job", job).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let id = AttemptId { job, attempt: Attempt(attempt) };
        let view = self.driver.find(id).await;
        view.ok_or_else(|| Status::not_found(format!("this node does not hold {id}")))
    }
}

#[tonic::async_trait]
impl NodeProxy for Proxy {
    type ReadLogStream = ReceiverStream<Result<LogChunk, Status>>;
    type ListFilesStream = ReceiverStream<Result<FileEntry, Status>>;
    type ReadFilesStream = ReceiverStream<Result<FilesChunk, Status>>;

    async fn read_log(
        &self,
        request: Request<ReadLogRequest>,
    ) -> Result<Response<Self::ReadLogStream>, Status> {
        let request = request.into_inner();
        let view = self.find(&request.job, request.attempt).await?;
        let (chunks, stream) = tokio::sync::mpsc::channel(CHUNKS);
        let tasks = self.tasks.clone();
        self.tasks.spawn("read log", async move {
            tokio::select! {
                () = tasks.cancelled() => {}
                () = log::read(view, request, chunks) => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn list_files(
        &self,
        request: Request<NodeFilesRequest>,
    ) -> Result<Response<Self::ListFilesStream>, Status> {
        let NodeFilesRequest { job, attempt, path } = request.into_inner();
        let (view, path) = (self.find(&job, attempt).await?, below(&path)?);
        let (entries, stream) = tokio::sync::mpsc::channel(64);
        self.in_turn(&self.listings, entries, move |entries| {
            files::list(&view.dir.work(), &path, entries);
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn read_files(
        &self,
        request: Request<NodeFilesRequest>,
    ) -> Result<Response<Self::ReadFilesStream>, Status> {
        let NodeFilesRequest { job, attempt, path } = request.into_inner();
        let (view, path) = (self.find(&job, attempt).await?, below(&path)?);
        let (chunks, stream) = tokio::sync::mpsc::channel(CHUNKS);
        self.in_turn(&self.reads, chunks, move |chunks| {
            files::read(&view.dir.work(), &path, chunks);
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// A path that stays below where it begins.
fn below(path: &str) -> Result<PathBuf, Status> {
    let plain = |it: Component<'_>| matches!(it, Component::Normal(_) | Component::CurDir);
    if Path::new(path).components().all(plain) && !path.contains('\0') {
        let parts = Path::new(path).components().filter(|it| matches!(it, Component::Normal(_)));
        return Ok(parts.collect());
    }
    Err(Status::invalid_argument(format!("path: {path:?} is not below the job's directory")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_the_directory() {
        for (path, expected) in [("", ""), ("a/b", "a/b"), ("./a//b/", "a/b")] {
            assert_eq!(below(path).unwrap(), PathBuf::from(expected));
        }
        for path in ["/etc", "..", "a/../../b", "a\0b"] {
            assert!(below(path).is_err(), "{path:?} was taken");
        }
    }
}
