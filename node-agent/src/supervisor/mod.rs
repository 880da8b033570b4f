//! The supervisor of a worker slot: what holds one job's process and outlives the agent.
//!
//! `atlas-supervisor slot --socket PATH` serves one worker slot of the process executor, job after job.
//! `atlas-supervisor job --control DIR` is the entrypoint of a container and runs the one job described there.
//! Both keep everything about a job in one **control directory**, made by the agent and closed to the job:
//!
//! | file | written by | holds |
//! | --- | --- | --- |
//! | `run.json` | agent | what to run ([`RunFile`]) |
//! | `deadline` | agent | the lease's end in CLOCK_BOOTTIME milliseconds; absent = no lease ([`write_deadline`]) |
//! | `log` | agent, then supervisor | what the agent says while it prepares, then stdout and stderr as bytes, as they arrive |
//! | `log.idx` | as `log` | which byte of the log came when (`atlas_core::log_index`) |
//! | `started` | supervisor | the first instruction of the job's own command ([`StartedFile`]) |
//! | `exit` | supervisor, last | how it ended ([`ExitFile`]) |
//! | `sock` | supervisor | the socket (`job` mode; `slot` mode listens at PATH) |
//! | `spool/events` | job | the tracker's spool; only its size is read here |
//!
//! One thread, one `poll`, no timer while there is nothing to wait for. [`protocol`] is what is spoken on the socket. A job's
//! requests to the master (`ATLAS_URL`) have a thread of their own (`relay`).
//!
//! **Invariant:** whatever a peer, the job or the disk does, the loop never waits for it: every descriptor is non-blocking
//! and every buffer has a bound.
//! **Invariant:** when `exit` exists, no process of the job is left (but what the kernel cannot kill: `left_behind`).

mod clock;
mod control;
mod exit;
mod files;
mod job;
mod launch;
mod lease;
mod log;
mod output;
mod peers;
pub mod protocol;
mod reap;
mod relay;
mod renewals;
mod serve;
mod signals;
pub mod socket;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

pub use clock::{boottime_now, wall_now};
pub use control::{Control, write_deadline};
pub use files::{
    Cause, Command, End, ExitFile, Limits, RunFile, StartedFile, Step, UNLIMITED, User,
};

/// Why the supervisor could not serve, or refused a job.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Usage(String),
    #[error("cannot {what} {}", path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is not a file this program can read: {why}", path.display())]
    Unreadable { path: PathBuf, why: String },
    #[error("{} was used by a job before; every attempt needs a control directory of its own", .0.display())]
    Used(PathBuf),
    #[error("another supervisor serves {}", .0.display())]
    Taken(PathBuf),
    #[error("cannot {what}")]
    System { what: &'static str, source: io::Error },
}

impl Error {
    /// This error and all its sources on one line, for peers that only read text.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&error.to_string());
            source = error.source();
        }
        text
    }
}

const USAGE: &str = "usage: atlas-supervisor slot --socket PATH   (one worker slot, job after job)
       atlas-supervisor job --control DIR    (one job, as a container's entrypoint)
       atlas-supervisor --version";

/// The whole program: what `main` of the binary calls.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(|it| it.to_str().unwrap_or_default()).collect();
    let served = match words.as_slice() {
        ["slot", "--socket", _] => serve::slot(&PathBuf::from(&arguments[2])),
        ["job", "--control", _] => serve::job(&PathBuf::from(&arguments[2])),
        [launch::BECOME, ..] => Ok(launch::become_user(&arguments[1..])),
        ["--version"] => {
            println!("atlas-supervisor {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
        ["--help" | "-h"] => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(Error::Usage(USAGE.to_owned())),
    };
    served.unwrap_or_else(|error| {
        eprintln!("atlas-supervisor: {}", error.chain());
        ExitCode::from(if matches!(error, Error::Usage(_)) { 2 } else { 125 })
    })
}
