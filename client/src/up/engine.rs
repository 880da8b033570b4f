//! Docker, or plain processes?

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::Error;
use crate::config::variable;
use crate::say::Say;

/// An engine that takes longer is not there.
const PATIENCE: Duration = Duration::from_secs(3);
/// The image that jobs run in when they name none, unless the node is told of another one.
const IMAGE: &str = "atlas/worker:latest";

/// What jobs run in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Executor {
    /// Containers
    Docker,
    /// Plain processes: isolates nothing but files and signals
    Process,
}

impl Executor {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Process => "process",
        }
    }

    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Docker => "in Docker containers",
            Self::Process => "as plain processes",
        }
    }
}

/// What was asked for; else Docker where an engine answers and the worker image is there.
pub async fn choose(asked: Option<Executor>, say: Say) -> Result<Executor, Error> {
    match asked {
        Some(Executor::Process) => Ok(Executor::Process),
        Some(Executor::Docker) => match get("/_ping").await {
            Ok(200) => Ok(Executor::Docker),
            Ok(status) => Err(Error::Engine { why: format!("the engine answers with {status}") }),
            Err(error) => {
                Err(Error::Engine { why: format!("no engine answers at {}: {error}", host()) })
            }
        },
        None => {
            let image = variable("ATLAS_WORKER_IMAGE").unwrap_or_else(|| IMAGE.into());
            Ok(found(get(&format!("/images/{image}/json")).await, &image, say))
        }
    }
}

fn found(answer: io::Result<u16>, image: &str, say: Say) -> Executor {
    match answer {
        Ok(200) => return Executor::Docker,
        Ok(404) => say.warn(format_args!(
            "Docker is here, but not the image {image}: `deploy/worker/build-image.sh` builds it. Jobs run as plain processes."
        )),
        Ok(status) => say.warn(format_args!("Docker answers with {status}. Jobs run as plain processes.")),
        Err(error) => {
            tracing::debug!("no engine at {}: {error}", host());
            say.warn(
                "No Docker engine answers. Jobs run as plain processes; with an engine, `deploy/worker/build-image.sh` \
                 builds the image that they run in.",
            );
        }
    }
    Executor::Process
}

fn host() -> String {
    variable("DOCKER_HOST").unwrap_or_else(|| "unix:///var/run/docker.sock".into())
}

/// The status that the engine answers with.
async fn get(path: &str) -> io::Result<u16> {
    let host = host();
    let asking = async {
        if let Some(socket) = host.strip_prefix("unix://") {
            status(UnixStream::connect(PathBuf::from(socket)).await?, path).await
        } else if let Some(address) = host.strip_prefix("tcp://") {
            status(TcpStream::connect(address.trim_end_matches('/')).await?, path).await
        } else {
            Err(io::Error::other("DOCKER_HOST is neither unix:// nor tcp://"))
        }
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// One HTTP request is less than a client of it.
async fn status(mut engine: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> io::Result<u16> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n");
    engine.write_all(request.as_bytes()).await?;
    let mut answer = [0; 12];
    engine.read_exact(&mut answer).await?;
    let status = std::str::from_utf8(&answer).ok().and_then(|it| it.strip_prefix("HTTP/1.1 "));
    status.and_then(|it| it.parse().ok()).ok_or_else(|| io::Error::other("it does not speak HTTP"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::say::Program;

    async fn answered(text: &'static str) -> io::Result<u16> {
        let (ours, mut engine) = tokio::io::duplex(1024);
        let answering = async {
            let mut request = vec![0; 20];
            engine.read_exact(&mut request).await.unwrap();
            assert!(request.starts_with(b"GET /images/a/json"));
            engine.write_all(text.as_bytes()).await.unwrap();
            drop(engine);
        };
        tokio::join!(status(ours, "/images/a/json"), answering).0
    }

    #[tokio::test]
    async fn an_engine_says_whether_it_has_an_image() {
        assert_eq!(answered("HTTP/1.1 200 OK\r\n\r\n").await.unwrap(), 200);
        assert_eq!(answered("HTTP/1.1 404 Not Found\r\n\r\n").await.unwrap(), 404);
        assert!(answered("SSH-2.0-OpenSSH_9.2p1\r\n").await.is_err());
        assert!(answered("HT").await.is_err());
    }

    #[test]
    fn without_the_image_jobs_run_as_processes() {
        let say = Say::new(Program::Atlas);
        assert_eq!(found(Ok(200), IMAGE, say), Executor::Docker);
        for other in [Ok(404), Ok(500), Err(io::Error::other("none"))] {
            assert_eq!(found(other, IMAGE, say), Executor::Process);
        }
    }
}
