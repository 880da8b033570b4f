//! Why Atlas is not up.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;

use atlas_runtime::process::LockError;

use crate::connect;
use crate::exit::Exit;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} is missing: it belongs beside the atlas command, as `make build` puts it", path.display())]
    Program { path: PathBuf },
    #[error("could not find the folder of the atlas command")]
    Itself(#[source] io::Error),
    #[error("could not listen for signals")]
    Signals(#[source] io::Error),
    #[error("could not use the folder {}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error(
        "--data {} is on {kind}, a network file system, where state is not safe: name a folder on a local disk",
        path.display()
    )]
    Network { path: PathBuf, kind: &'static str },
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("{flag} {address} is taken{holder}: choose another with {flag} (0 picks one)")]
    Taken { flag: &'static str, address: SocketAddr, holder: String },
    #[error("could not listen on {flag} {address}")]
    Listen { flag: &'static str, address: SocketAddr, source: io::Error },
    #[error("--executor docker: {why}")]
    Engine { why: String },
    #[error("could not start {}", program.display())]
    Start { program: PathBuf, source: io::Error },
    #[error("{name} ended unexpectedly ({status}); running jobs go on. The end of {}:\n{tail}", log.display())]
    Ended { name: String, status: ExitStatus, log: PathBuf, tail: String },
    #[error("could not watch over {name}")]
    Watch { name: String, source: io::Error },
    #[error("the master wrote no usable {}", path.display())]
    Endpoints { path: PathBuf, source: io::Error },
    #[error("could not connect to the master that was just started")]
    Connect(#[source] connect::Error),
    #[error(
        "the node did not join within {seconds} s: its log is in logs/atlas-node.log of the data folder"
    )]
    NotJoined { seconds: u64 },
    #[error("no Atlas runs with the data in {}", path.display())]
    NotRunning { path: PathBuf },
    #[error("the Atlas of {} (pid {pid}) did not stop within {seconds} s", path.display())]
    NotStopped { path: PathBuf, pid: i32, seconds: u64 },
}

impl Error {
    pub const fn exit(&self) -> Exit {
        match self {
            Self::NotRunning { .. } => Exit::NO_SUCH,
            _ => Exit::UNABLE,
        }
    }
}
