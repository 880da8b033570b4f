//! The one conversation with the master: a stream that is opened again for ever, with a pause that grows.
//!
//! **Invariant:** the first thing said is everything that is held here, the first thing heard is everything that should be. A
//! master of another cluster is not obeyed, and nothing is touched on its account.

mod greet;
mod stream;

use std::time::{Duration, Instant};

use atlas_core::agent::LeaseClock;
use atlas_core::node::NodeSpec;
use atlas_core::time::Millis;
use atlas_core::{ClusterId, Mono};
use atlas_runtime::Chain;
use atlas_runtime::backoff::{Backoff, Policy};
use atlas_runtime::clock::Boottime;
use tonic::Code;
use tonic::transport::Uri;

use crate::conditions::Conditions;
use crate::conditions::share::Share;
use crate::driver;
use crate::leases::{Deadline, Leases};
use crate::master::Token;
use crate::paths::Data;

pub use greet::{Greeted, Known, greet};

/// Waits between attempts to reach the master.
const RETRY: Policy =
    Policy { first: Duration::from_millis(100), max: Duration::from_secs(5), attempts: None };
/// How often it is said that the master is still away.
const REMIND: Duration = Duration::from_secs(60);

/// What a session needs to know.
pub struct Session {
    pub master: Uri,
    pub token: Token,
    pub node: NodeSpec,
    pub data: Data,
    /// The cluster that this node belongs to, once it is known.
    pub cluster: Option<ClusterId>,
    pub driver: driver::Handle,
    pub leases: Leases,
    pub conditions: Conditions,
    /// `None` = there is no `--shared`.
    pub share: Option<Share>,
    /// This agent found attempts on its disk when it started: it must not end.
    pub holds: bool,
}

/// Why a session ended. The next one is tried in any case.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "could not reach the master at {master}; it has to be up, with a --grpc address that this machine reaches"
    )]
    Connect { master: Uri, source: tonic::transport::Error },
    #[error("the master at {master} refused this node: {}", status.message())]
    Refused { master: Uri, status: tonic::Status },
    #[error("the master at {master} is of another version than this agent, {}: install the same on both", env!("CARGO_PKG_VERSION"))]
    OtherMaster { master: Uri },
    #[error("the connection to the master broke: {}", .0.message())]
    Broken(tonic::Status),
    #[error("the master closed the connection")]
    Closed,
    #[error("the master has not answered for {0:?}")]
    Silent(Duration),
    #[error("the master sent {what} where {instead} was due")]
    OutOfOrder { what: &'static str, instead: &'static str },
    #[error("the master sent something this node does not understand")]
    Invalid(#[source] atlas_proto::Invalid),
    #[error(
        "this node belongs to cluster {ours}, and the master at {master} leads cluster {theirs}: nothing here was touched. Start the agent with its own master's --master, or give it a --data folder of its own for this one"
    )]
    OtherCluster { ours: ClusterId, theirs: ClusterId, master: Uri },
    #[error("could not remember the cluster this node joins")]
    Remember(#[source] crate::identity::Error),
    #[error(transparent)]
    Stale(#[from] atlas_core::agent::Stale),
    #[error("this node cannot keep up with its master")]
    Overrun,
    #[error("the node shuts down")]
    Shutdown,
}

impl Error {
    /// Waiting does not help: somebody has to change how this agent is started.
    fn is_final(&self) -> bool {
        match self {
            Self::Refused { status, .. } => {
                matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied)
            }
            Self::OtherCluster { .. } => true,
            _ => false,
        }
    }
}

impl Session {
    /// Holds the conversation until the agent shuts down. An agent that was never let in and holds nothing ends where waiting does
    /// not help; every other one goes on, for the sake of its jobs, and says every minute what is wrong.
    pub async fn run(mut self) -> Result<(), Error> {
        let mut known = self.holds;
        let mut clock = LeaseClock::default();
        let mut backoff = Backoff::new(RETRY);
        let mut said = Said::default();
        loop {
            let error = match self.talk(&mut clock).await {
                Ended { error: Error::Shutdown, .. } => return Ok(()),
                Ended { welcomed: true, error } => {
                    backoff.reset();
                    said = Said::default();
                    known = true;
                    error
                }
                Ended { error, .. } if !known && error.is_final() => return Err(error),
                Ended { error, .. } => error,
            };
            said.say(&error);
            let wait = backoff.next().expect("it never gives up");
            tokio::time::sleep(wait).await;
        }
    }

    async fn talk(&mut self, clock: &mut LeaseClock) -> Ended {
        let mut welcomed = false;
        let error = match stream::Stream::open(self, clock).await {
            Ok(stream) => stream.run(self, clock, &mut welcomed).await,
            Err(error) => error,
        };
        Ended { welcomed, error }
    }

    /// Writes down for every job how long it may go on. Not to be called before the first welcome.
    async fn publish(&self, clock: &LeaseClock) {
        let (deadline, leases) = (deadline(clock), self.leases.clone());
        // It fails only while the agent shuts down, and then the old deadline, which is earlier, counts.
        let _ = tokio::task::spawn_blocking(move || leases.set(deadline)).await;
    }
}

/// The supervisors take their grace off themselves.
fn deadline(clock: &LeaseClock) -> Deadline {
    clock.deadline(Millis(0)).map_or(Deadline::Never, Deadline::At)
}

struct Ended {
    welcomed: bool,
    error: Error,
}

/// A trouble is said when it comes and every minute while it lasts, not with each attempt.
#[derive(Default)]
struct Said {
    last: Option<(String, Instant)>,
}

impl Said {
    fn say(&mut self, error: &Error) {
        let text = Chain(error).to_string();
        match &self.last {
            Some((last, at)) if *last == text && at.elapsed() < REMIND => {}
            _ => {
                tracing::warn!("{text}; trying again until it answers");
                self.last = Some((text, Instant::now()));
            }
        }
    }
}

fn now() -> Mono {
    Mono(Boottime::now())
}
