//! The real `atlas` binary, against a master that lives in the test: real gRPC on a port of its own, with the faults a test wants.

#![expect(clippy::unwrap_used, reason = "what fails in a test is the test")]

mod fetching;
mod help;
mod jobs;
mod labels;
mod logging;
mod logs;
mod master;
mod of_2020;
mod offline;
mod project;
mod run;
mod submitting;
mod up;
mod usage;
