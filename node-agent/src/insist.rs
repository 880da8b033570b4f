//! Asking again until there is an answer: for what decides about jobs, and must not be guessed.

use std::fmt::Display;
use std::time::{Duration, Instant};

use atlas_runtime::backoff::{Backoff, Policy};

const POLICY: Policy =
    Policy { first: Duration::from_millis(200), max: Duration::from_secs(5), attempts: None };
/// How often it is said that there is no answer yet.
const REMIND: Duration = Duration::from_secs(60);

/// One question that is asked for as long as it takes.
#[derive(Debug)]
pub struct Insist {
    backoff: Backoff,
    said: Option<Instant>,
}

impl Insist {
    pub fn new() -> Self {
        Self { backoff: Backoff::new(POLICY), said: None }
    }

    /// The wait before the question is put again. Why is said at first, and every minute.
    #[must_use = "it waits when it is awaited"]
    pub fn wait(
        &mut self,
        what: impl Display,
        error: &(impl std::error::Error + 'static),
    ) -> tokio::time::Sleep {
        if self.said.is_none_or(|at| at.elapsed() >= REMIND) {
            self.said = Some(Instant::now());
            tracing::warn!("{what}: {}; asking again", atlas_runtime::Chain(error));
        }
        tokio::time::sleep(self.backoff.next().expect("it never gives up"))
    }
}
