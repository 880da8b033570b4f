//! Conversions. Messages are taken apart by name, without `..`: a new field must be decided here.

mod cause;
mod job;
mod node;
pub mod ship;
mod spec;

pub use job::job_view;
pub use node::{Assigned, Entrusted, MasterFacts, gpu_view, master};

use std::fmt::Display;
use std::str::FromStr;

/// A message that is not what it should be: which field, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Invalid {
    pub field: &'static str,
    pub why: String,
}

impl Invalid {
    pub fn new(field: &'static str, why: impl Display) -> Self {
        Self { field, why: why.to_string() }
    }
}

/// A text field that must parse.
pub fn parse<T: FromStr<Err: Display>>(field: &'static str, text: &str) -> Result<T, Invalid> {
    text.parse().map_err(|why: T::Err| Invalid::new(field, why))
}

/// A message field that must be there.
pub fn required<T>(field: &'static str, value: Option<T>) -> Result<T, Invalid> {
    value.ok_or_else(|| Invalid::new(field, "is missing"))
}
