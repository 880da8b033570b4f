//! What every Atlas process does once: configuration in layers, logs and traces, tasks and their end, waits between
//! retries, and the questions a process asks of its machine.

pub mod backoff;
mod chain;
pub mod clock;
pub mod config;
pub mod connection;
pub mod ignore_line;
pub mod names;
pub mod process;
pub mod service;
pub mod storage;
pub mod tasks;
pub mod telemetry;
pub mod tls;

pub use chain::Chain;
