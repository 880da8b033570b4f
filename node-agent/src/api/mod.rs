//! What jobs ask the master: their supervisors bring it to a socket of this agent, and from there it goes through a tunnel to
//! the master. Bytes both ways, with the back-pressure of both ends; what they say is between job and master.

mod tunnel;

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;
use std::time::Duration;

use atlas_runtime::Chain;
use atlas_runtime::tasks::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::transport::Uri;

use crate::master::Token;
use crate::node::Node;
use crate::paths::Data;
use crate::supervisor::socket;

/// Connections of all jobs together; more wait in their supervisors.
const MOST: usize = 512;
/// Bytes on their way, in each direction of a connection.
const PIECE: usize = 8 << 10;
/// After an error that is the kernel's, which has nothing more to give.
const REST: Duration = Duration::from_secs(1);
/// How long a client is listened to that can only be told that the master is away.
const BRIEF: Duration = Duration::from_secs(2);
/// How a connection with HTTP/2 begins, which an answer in HTTP/1 would only confuse.
const HTTP2: &[u8] = b"PRI ";

/// The way to the master.
#[derive(Clone)]
pub struct Api {
    master: Uri,
    token: Token,
    tasks: Tasks,
}

/// Listens in a folder of its own, which is mounted into containers as a whole: a socket that the next agent puts there is seen.
pub fn listen(data: &Data) -> io::Result<UnixListener> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data.api())?;
    UnixListener::from_std(socket::listen(&data.api().join(SOCKET))?)
}

/// In that folder.
pub const SOCKET: &str = "sock";

impl Api {
    pub fn of(node: &Node, token: &Token) -> Self {
        let (master, tasks) = (node.settings.master.clone(), node.tasks.clone());
        Self { master, token: token.clone(), tasks }
    }

    /// Serves until the agent shuts down.
    pub async fn serve(self, listener: UnixListener) {
        let room = Arc::new(Semaphore::new(MOST));
        loop {
            let next = async {
                let place = room.clone().acquire_owned().await.expect("it is never closed");
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                next = next => next,
                () = self.tasks.cancelled() => return,
            };
            match accepted {
                Ok((job, _)) => {
                    let api = self.clone();
                    self.tasks.spawn("api", async move {
                        tokio::select! {
                            () = api.carry(job) => {}
                            () = api.tasks.cancelled() => {}
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!("cannot take a job's connection: {error}");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    async fn carry(&self, mut job: UnixStream) {
        match tunnel::open(&self.master, &self.token).await {
            // Whoever breaks it off, the other one sees it.
            Ok(mut master) => {
                let _ = copy_bidirectional_with_sizes(&mut job, &mut master, PIECE, PIECE).await;
            }
            Err(error) => {
                tracing::warn!("a job does not reach the master: {}", Chain(&error));
                // It closes its connection when it has read this, or already has.
                let _ = timeout(BRIEF, apologise(job, &error)).await;
            }
        }
    }
}

/// Tells the job why there is no answer, where it can read that.
async fn apologise(mut job: UnixStream, error: &tunnel::Error) -> io::Result<()> {
    let mut heard = [0; 1024];
    let count = job.read(&mut heard).await?;
    if heard[..count].starts_with(HTTP2) {
        return Ok(());
    }
    let (code, title) = match error {
        tunnel::Error::Away { .. } => (503, "Service Unavailable"),
        tunnel::Error::Refused { .. } => (502, "Bad Gateway"),
    };
    let detail = Chain(error).to_string();
    let body = serde_json::json!({ "title": title, "status": code, "detail": detail }).to_string();
    let answer = format!(
        "HTTP/1.1 {code} {title}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    job.write_all(answer.as_bytes()).await?;
    job.shutdown().await?;
    // What is closed with something unread in it takes the answer along.
    while job.read(&mut heard).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests;
