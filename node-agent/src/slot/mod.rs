//! A worker slot as the agent sees it: the connection to the supervisor that holds its job.
//!
//! One owner per slot, no task and no channel behind it: what is not read waits in the socket, where the supervisor merges
//! it. [`Slot::next`] may be dropped at any moment (`select!`) without losing anything.
//!
//! ```no_run
//! # async fn drive(mut stop: tokio::sync::oneshot::Receiver<()>) -> Result<(), atlas_node::slot::Error> {
//! # use std::{path::Path, time::Duration};
//! # use atlas_node::slot::{Event, Slot};
//! let mut slot = Slot::start(Path::new("/data/slots/0"), Path::new("atlas-supervisor")).await?;
//! slot.run(Path::new("/data/jobs/1/control")).await?;
//! loop {
//!     tokio::select! {
//!         event = slot.next() => match event {
//!             Event::Started(_) | Event::LogGrew { .. } => {}
//!             Event::Exited(_) | Event::Refused { .. } | Event::Lost => break,
//!         },
//!         Ok(()) = &mut stop => slot.stop(Duration::from_secs(10)).await?,
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod orphan;
mod start;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::supervisor::protocol::{self, Lines, Request};
use crate::supervisor::socket::Address;
use crate::supervisor::{ExitFile, StartedFile};

pub(crate) use orphan::end_orphans;

/// A supervisor answers within microseconds; after this long it is not one.
const ANSWER: Duration = Duration::from_secs(5);

/// A connection to a supervisor.
pub struct Slot {
    stream: UnixStream,
    lines: Lines,
    /// The job it holds, as a directory of this machine.
    job: Option<PathBuf>,
    /// The job it was given and has not taken yet.
    offered: Option<PathBuf>,
    /// For the supervisor of a container, which names its control directory as the container does.
    fixed: bool,
    ready: VecDeque<protocol::Event>,
    closed: bool,
}

/// What happens to the job of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its own command has begun.
    Started(StartedFile),
    /// Its log has grown to this many bytes.
    LogGrew { length: u64 },
    /// It has ended.
    Exited(ExitFile),
    /// The supervisor did not take the job; nothing of it was started.
    Refused { message: String },
    /// The supervisor is gone, and if it held a job, it left no exit file. This slot is of no more use.
    Lost,
}

/// Why a supervisor could not be reached or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot start the supervisor {}", path.display())]
    Start { path: PathBuf, source: io::Error },
    #[error("the supervisor {} did not come up{hint}: {said}", path.display())]
    NotReady { path: PathBuf, hint: &'static str, said: String },
    #[error("no supervisor answers at {}", path.display())]
    Connect { path: PathBuf, source: io::Error },
    #[error("the supervisor at {} does not speak as expected", path.display())]
    Protocol { path: PathBuf },
    #[error("the connection to the supervisor broke")]
    Broken(#[source] io::Error),
    #[error("the path {} is no text", .0.display())]
    NotText(PathBuf),
}

impl Error {
    /// Whether nobody listens there: the supervisor's process is gone, or never was. Silence is something else.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        use io::ErrorKind::{ConnectionRefused, NotFound};
        matches!(self, Self::Connect { source, .. } if matches!(source.kind(), ConnectionRefused | NotFound))
    }
}

impl Slot {
    /// The supervisor of this slot: the one that is there, with the job it holds, else a new one. `dir` is the slot's own
    /// (`sock`, `sock.lock`, `supervisor.log`), made here, closed to other users.
    pub async fn start(dir: &Path, supervisor: &Path) -> Result<Self, Error> {
        let socket = dir.join("sock");
        match Self::connect(&socket).await {
            Err(Error::Connect { .. }) => {}
            other => return other,
        }
        start::start(dir, &socket, supervisor).await?;
        Self::connect(&socket).await
    }

    /// A supervisor that is there already.
    pub async fn connect(socket: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Connect { path: socket.to_owned(), source };
        let address = Address::of(socket).map_err(failed)?;
        let stream = UnixStream::connect(address.name()).await.map_err(failed)?;
        let mut slot = Self {
            stream,
            lines: Lines::default(),
            job: None,
            offered: None,
            fixed: false,
            ready: VecDeque::new(),
            closed: false,
        };
        // The first line says whether there is a job. A supervisor that is just ending says nothing.
        match timeout(ANSWER, slot.receive()).await {
            Ok(Some(protocol::Event::Idle {})) => Ok(slot),
            Ok(Some(protocol::Event::Accepted { control })) => {
                slot.job = Some(control);
                Ok(slot)
            }
            Ok(Some(_)) => Err(Error::Protocol { path: socket.to_owned() }),
            Ok(None) => Err(failed(io::ErrorKind::ConnectionReset.into())),
            Err(_) => Err(failed(io::ErrorKind::TimedOut.into())),
        }
    }

    /// The supervisor of a container, at `control/sock`. Waits up to `patience` for it to come up. When none answers because
    /// the job is over, `control/exit` is there.
    pub async fn attach(control: &Path, patience: Duration) -> Result<Self, Error> {
        let socket = control.join("sock");
        let failed = |source| Error::Connect { path: socket.clone(), source };
        match timeout(patience, start::appears(control, "sock")).await {
            Ok(appeared) => appeared.map_err(failed)?,
            Err(_) => return Err(failed(io::ErrorKind::TimedOut.into())),
        }
        let slot = Self::connect(&socket).await?;
        Ok(Self { job: Some(control.to_owned()), fixed: true, ..slot })
    }

    /// The control directory of the job it holds, or was given last.
    #[must_use]
    pub fn job(&self) -> Option<&Path> {
        self.job.as_deref().or(self.offered.as_deref())
    }

    /// The supervisor's process, where it runs on this machine's own process numbers.
    #[must_use]
    pub fn supervisor(&self) -> Option<i32> {
        self.stream.peer_cred().ok()?.pid()
    }

    /// Has it run the job of this control directory, in which `run.json` is. What comes of it are events.
    pub async fn run(&mut self, control: &Path) -> Result<(), Error> {
        if control.to_str().is_none() {
            return Err(Error::NotText(control.to_owned()));
        }
        self.send(&Request::Run { control: control.to_owned() }).await?;
        self.offered = Some(control.to_owned());
        Ok(())
    }

    /// SIGTERM to the job now, SIGKILL after the grace.
    pub async fn stop(&mut self, grace: Duration) -> Result<(), Error> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.send(&Request::Stop { grace_ms }).await
    }

    /// SIGKILL to all of the job now.
    pub async fn kill(&mut self) -> Result<(), Error> {
        self.send(&Request::Kill {}).await
    }

    /// What happens next to its job. After [`Event::Lost`] nothing else comes.
    pub async fn next(&mut self) -> Event {
        loop {
            match self.receive().await {
                Some(protocol::Event::Started(started)) => return Event::Started(started),
                Some(protocol::Event::Log { length }) => return Event::LogGrew { length },
                Some(protocol::Event::Exited(exit)) => {
                    self.job = None;
                    return Event::Exited(exit);
                }
                Some(protocol::Event::Refused { message }) => {
                    self.offered = None;
                    return Event::Refused { message };
                }
                Some(protocol::Event::Accepted { control }) => {
                    self.offered = None;
                    if !self.fixed {
                        self.job = Some(control);
                    }
                }
                Some(protocol::Event::Idle {}) => {}
                None => return self.gone(),
            }
        }
    }

    /// The connection is over; the exit file knows more.
    fn gone(&mut self) -> Event {
        let job = self.job.take().or(self.offered.take());
        let exit = job.map(|control| ExitFile::read(&control));
        match exit {
            Some(Ok(Some(exit))) => Event::Exited(exit),
            Some(Err(error)) => {
                tracing::warn!("an exit file cannot be read: {}", error.chain());
                Event::Lost
            }
            Some(Ok(None)) | None => Event::Lost,
        }
    }

    /// The next message, `None` when no more will come.
    async fn receive(&mut self) -> Option<protocol::Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.closed {
                return None;
            }
            // Nothing is kept across the await but in `self`, so that this may be dropped there.
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes).await {
                Ok(0) | Err(_) => self.closed = true,
                Ok(count) => self.closed = self.lines.push(&bytes[..count]).is_err(),
            }
            while let Some(line) = self.lines.pop() {
                match serde_json::from_slice(&line) {
                    Ok(event) => self.ready.push_back(event),
                    // A newer supervisor may say more than we know.
                    Err(error) => tracing::debug!("a supervisor's message is unknown: {error}"),
                }
            }
        }
    }

    async fn send(&mut self, request: &Request) -> Result<(), Error> {
        let line = protocol::line(request);
        match timeout(ANSWER, self.stream.write_all(&line)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Error::Broken(error)),
            Err(_) => Err(Error::Broken(io::ErrorKind::TimedOut.into())),
        }
    }
}
