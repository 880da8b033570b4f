//! Runs, found: the language that they are asked for with, and the index in memory that answers.

mod filling;
pub mod index;
mod keeper;
mod number;
pub mod params;
pub mod query;
#[cfg(test)]
mod tests;

pub use keeper::{Error, Runs};
