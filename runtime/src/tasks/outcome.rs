//! How a task ended.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use crate::Chain;

/// What a task may return: nothing, or a `Result` whose error is logged.
pub trait Outcome: Send {
    /// The error, if it is one.
    fn failure(self) -> Option<Box<dyn Error + Send + Sync>>;
}

impl Outcome for () {
    fn failure(self) -> Option<Box<dyn Error + Send + Sync>> {
        None
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>> + Send> Outcome for Result<(), E> {
    fn failure(self) -> Option<Box<dyn Error + Send + Sync>> {
        self.err().map(Into::into)
    }
}

/// The end of a task, in words that follow its name.
#[derive(Debug)]
pub(super) enum Ended {
    Normally,
    Failed(Box<dyn Error + Send + Sync>),
    Panicked(String),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normally => f.write_str("ended"),
            Self::Failed(error) => write!(f, "failed: {}", Chain(error.as_ref())),
            Self::Panicked(message) => write!(f, "panicked: {message}"),
        }
    }
}

/// Runs a task to its end, a panic included.
pub(super) async fn of<F: Future<Output: Outcome>>(task: F) -> Ended {
    let mut task = pin!(task);
    // A task that panicked is never polled again, so nothing sees what it left half done.
    let ended = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(message(panic.as_ref()))),
    });
    match ended.await.map(Outcome::failure) {
        Ok(None) => Ended::Normally,
        Ok(Some(error)) => Ended::Failed(error),
        Err(message) => Ended::Panicked(message),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a message").to_owned()
}
