//! Runs, found: the language that they are asked for with, and the index in memory that answers.

mod number;
pub mod query;
