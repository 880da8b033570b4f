//! What every Atlas process does once.
pub mod config;
