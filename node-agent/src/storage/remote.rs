//! The master as the way to the shared storage, on a connection of its own: what is large does not stand in the way of heartbeats.

use std::sync::Arc;
use std::time::Duration;

use atlas_core::NodeName;
use atlas_proto::MAX_MESSAGE;
use atlas_proto::convert::ship::Holder;
use atlas_proto::wire;
use atlas_proto::wire::nodes_client::NodesClient;
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Uri};
use tonic::{Code, Request, Status};

use super::{Error, LogFile};
use crate::master::{self, Token};
use crate::paths::AttemptId;

/// A master that takes longer for one question is asked again.
const ANSWER: Duration = Duration::from_secs(60);

/// A cheap handle.
#[derive(Clone)]
pub struct Remote(Arc<Inner>);

struct Inner {
    client: NodesClient<Channel>,
    token: Token,
    node: NodeName,
    identity: String,
    /// The agent shuts down.
    ended: CancellationToken,
    runtime: Handle,
}

impl Remote {
    /// Connects when something is asked. To be called from within the runtime.
    pub fn new(
        master: &Uri,
        token: &Token,
        node: NodeName,
        identity: String,
        ended: CancellationToken,
    ) -> Self {
        let client = NodesClient::new(master::endpoint(master).connect_lazy())
            .max_decoding_message_size(MAX_MESSAGE);
        let (token, runtime) = (token.clone(), Handle::current());
        Self(Arc::new(Inner { client, token, node, identity, ended, runtime }))
    }

    pub fn client(&self) -> NodesClient<Channel> {
        self.0.client.clone()
    }

    pub fn signed<T>(&self, message: T) -> Request<T> {
        self.0.token.with(message)
    }

    pub fn holder(&self, id: AttemptId) -> wire::Holder {
        let (node, identity) = (self.0.node.clone(), self.0.identity.clone());
        (&Holder { node, identity, job: id.job, attempt: id.attempt }).into()
    }

    pub(super) fn begin_attempt(
        &self,
        id: AttemptId,
        cancel: &CancellationToken,
    ) -> Result<(), Error> {
        let request = self.signed(self.holder(id));
        self.ask(cancel, self.client().begin_attempt(request)).map(drop)
    }

    pub(super) fn append_log(
        &self,
        id: AttemptId,
        file: LogFile,
        offset: u64,
        data: Vec<u8>,
    ) -> Result<u64, Error> {
        let file = match file {
            LogFile::Text => wire::LogFile::Text,
            LogFile::Index => wire::LogFile::Index,
        };
        let request = self.signed(wire::AppendLogRequest {
            holder: Some(self.holder(id)),
            file: file.into(),
            offset,
            data: Bytes::from(data),
        });
        let reply = self.ask(&self.0.ended, self.client().append_log(request))?;
        Ok(reply.into_inner().length)
    }

    /// A piece of a spool.
    pub fn append_spool(
        &self,
        piece: wire::AppendSpoolRequest,
    ) -> Result<wire::AppendSpoolReply, Error> {
        let reply = self.ask(&self.0.ended, self.client().append_spool(self.signed(piece)))?;
        Ok(reply.into_inner())
    }

    pub(super) fn sync_log(&self, id: AttemptId) -> Result<(), Error> {
        let request = self.signed(self.holder(id));
        self.ask(&self.0.ended, self.client().sync_log(request)).map(drop)
    }

    /// Between two tries.
    pub fn pause(&self, cancel: &CancellationToken, span: Duration) -> Result<(), Error> {
        self.wait(cancel, async {
            tokio::time::sleep(span).await;
            Ok(())
        })
    }

    /// A question that has one answer.
    fn ask<T>(
        &self,
        cancel: &CancellationToken,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Error> {
        let bounded = async { Ok(tokio::time::timeout(ANSWER, call).await) };
        match self.wait(cancel, bounded)? {
            Ok(answer) => answer.map_err(error),
            Err(_) => Err(Error::Silent(ANSWER)),
        }
    }

    /// Waits on a thread that may block.
    pub fn wait<T>(
        &self,
        cancel: &CancellationToken,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Error> {
        self.0.runtime.block_on(async {
            tokio::select! {
                () = self.0.ended.cancelled() => Err(Error::Cancelled),
                () = cancel.cancelled() => Err(Error::Cancelled),
                done = call => done.map_err(error),
            }
        })
    }
}

/// What is wrong with the request stays wrong; everything else may pass.
pub(super) fn error(status: Status) -> Error {
    let wrong = [Code::InvalidArgument, Code::PermissionDenied, Code::NotFound, Code::OutOfRange];
    let status = Box::new(status);
    if wrong.contains(&status.code()) {
        Error::RefusedByMaster(status)
    } else {
        Error::Away(status)
    }
}
