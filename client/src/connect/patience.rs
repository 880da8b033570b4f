//! A master that is away for a moment: restarts are everyday, and neither a job nor its log minds them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use atlas_runtime::backoff::{Backoff, Policy};

use super::Error;
use crate::say::Say;

const WAITS: Policy =
    Policy { first: Duration::from_millis(200), max: Duration::from_secs(5), attempts: None };
/// How long someone who follows a job waits for its master.
const LONG: Duration = Duration::from_secs(15 * 60);
/// How long someone waits for the answer to a request.
const BRIEF: Duration = Duration::from_secs(30);

/// Whether the master is away, as the user was told; shared by all streams of a command, so that it is told once.
#[derive(Clone, Debug)]
pub(super) struct Link {
    say: Say,
    lost: Arc<AtomicBool>,
}

/// Decides after each failure whether to try again, and waits before it.
#[derive(Debug)]
pub struct Patience {
    link: Link,
    bound: Duration,
    backoff: Backoff,
    since: Option<Instant>,
}

impl Link {
    pub(super) fn new(say: Say) -> Self {
        Self { say, lost: Arc::default() }
    }
}

impl Patience {
    pub(super) fn brief(link: &Link) -> Self {
        Self::of(link, BRIEF)
    }

    pub(super) fn long(link: &Link) -> Self {
        Self::of(link, LONG)
    }

    fn of(link: &Link, bound: Duration) -> Self {
        Self { link: link.clone(), bound, backoff: Backoff::new(WAITS), since: None }
    }

    /// Returns when it is time to try again; gives the error back when it will not pass, or has not passed for too long.
    pub async fn wait(&mut self, error: Error) -> Result<(), Error> {
        let since = *self.since.get_or_insert_with(Instant::now);
        if !error.passes() || since.elapsed() > self.bound {
            return Err(error);
        }
        if !self.link.lost.swap(true, Ordering::Relaxed) {
            self.link.say.warn("The master does not answer; trying again. Jobs go on meanwhile.");
        }
        tracing::debug!("trying again after: {}", atlas_runtime::Chain(&error));
        let wait = self.backoff.next().expect("never gives up by itself");
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// The master says why nothing comes.
    pub fn tell(&self, notice: &str) {
        self.link.say.warn(notice);
    }

    /// There was an answer.
    pub fn recovered(&mut self) {
        if self.since.take().is_some() {
            self.backoff.reset();
        }
        if self.link.lost.swap(false, Ordering::Relaxed) {
            self.link.say.info("The master answers again.");
        }
    }
}
