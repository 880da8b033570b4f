//! What every Atlas process does once.
pub mod backoff;
pub mod clock;
pub mod config;
pub mod process;
