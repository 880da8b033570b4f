//! The way to the node that owns a job: a connection for each stream of logs or files. Streams that share one also share its
//! window, so that a reader who does not read would stop all others of that node.

use std::time::Duration;

use atlas_core::{Attempt, JobId, NodeName};
use atlas_proto::wire::node_proxy_client::NodeProxyClient;
use atlas_proto::wire::{FileEntry, FilesChunk, LogChunk, NodeFilesRequest, ReadLogRequest};
use atlas_proto::{JOIN_TOKEN_HEADER, MAX_MESSAGE};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

/// A node that does not answer by then is away.
const CONNECT: Duration = Duration::from_secs(5);
/// How often a node that streams is asked whether it is still there: one that lost its power says nothing.
const STILL_THERE: Duration = Duration::from_secs(10);
/// Bytes on their way to one reader: what they add up to is what many who do not read cost.
const WINDOW: u32 = 1 << 20;

/// Calls nodes with the cluster's token.
pub struct Proxy {
    token: MetadataValue<Ascii>,
}

/// A request that did not reach the node, or that it refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("node {node} has an address that is none: {address}")]
    Address { node: NodeName, address: String, source: tonic::transport::Error },
    #[error("node {node} at {address} does not answer, so what it holds cannot be read now")]
    Away { node: NodeName, address: String, source: Box<Status> },
    #[error("node {node} could not do it")]
    Refused { node: NodeName, source: Box<Status> },
}

/// Where a job is.
#[derive(Clone, Debug)]
pub struct Host {
    pub node: NodeName,
    pub address: String,
    pub job: JobId,
    pub attempt: Attempt,
}

impl Proxy {
    pub fn new(token: MetadataValue<Ascii>) -> Self {
        Self { token }
    }

    pub async fn read_log(
        &self,
        host: &Host,
        mut request: ReadLogRequest,
    ) -> Result<Streaming<LogChunk>, Error> {
        request.job = host.job.to_string();
        request.attempt = host.attempt.0;
        let mut client = Self::client(host)?;
        client
            .read_log(self.signed(request))
            .await
            .map(tonic::Response::into_inner)
            .map_err(|it| failed(host, it))
    }

    pub async fn list_files(&self, host: &Host, path: &str) -> Result<Streaming<FileEntry>, Error> {
        let request = self.signed(files(host, path));
        let mut client = Self::client(host)?;
        client
            .list_files(request)
            .await
            .map(tonic::Response::into_inner)
            .map_err(|it| failed(host, it))
    }

    pub async fn read_files(
        &self,
        host: &Host,
        path: &str,
    ) -> Result<Streaming<FilesChunk>, Error> {
        let request = self.signed(files(host, path));
        let mut client = Self::client(host)?;
        client
            .read_files(request)
            .await
            .map(tonic::Response::into_inner)
            .map_err(|it| failed(host, it))
    }

    /// Connects with the first request.
    fn client(host: &Host) -> Result<NodeProxyClient<Channel>, Error> {
        let Host { node, address, .. } = host;
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|source| {
            Error::Address { node: node.clone(), address: address.clone(), source }
        })?;
        let channel = endpoint
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(STILL_THERE)
            .keep_alive_timeout(CONNECT)
            // With its client gone a connection counts as idle, although it has a stream.
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .connect_lazy();
        Ok(NodeProxyClient::new(channel).max_decoding_message_size(MAX_MESSAGE))
    }

    fn signed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert(JOIN_TOKEN_HEADER, self.token.clone());
        request
    }
}

fn files(host: &Host, path: &str) -> NodeFilesRequest {
    NodeFilesRequest { job: host.job.to_string(), attempt: host.attempt.0, path: path.into() }
}

fn failed(host: &Host, status: Status) -> Error {
    let node = host.node.clone();
    if status.code() == tonic::Code::Unavailable {
        return Error::Away { node, address: host.address.clone(), source: Box::new(status) };
    }
    Error::Refused { node, source: Box::new(status) }
}
