//! A value that knows where it was said.

use std::fmt::Display;

/// What is wrong, and where: a line of job.config.yaml, or a field of the request, which each client calls as its users know it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Invalid {
    /// `ram_gb`, `job.config.yaml:4: ram`.
    pub field: String,
    pub why: String,
}

impl Invalid {
    pub fn new(field: impl Into<String>, why: impl Display) -> Self {
        Self { field: field.into(), why: why.to_string() }
    }
}

#[derive(Clone, Debug)]
pub struct Given<T> {
    /// As in [`Invalid`].
    pub field: String,
    pub value: T,
}

impl<T> Given<T> {
    pub fn new(field: impl Into<String>, value: T) -> Self {
        Self { field: field.into(), value }
    }

    pub fn refuse(&self, why: impl Display) -> Invalid {
        Invalid::new(&self.field, why)
    }

    /// Another value at the same place.
    pub fn with<U>(&self, value: U) -> Given<U> {
        Given::new(&self.field, value)
    }
}

/// What was given, fit to be shown: hostile text neither floods nor steers a terminal.
pub fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
