//! The agent with real supervisors and a real connection to a small master.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod docker;
mod engine;
mod harness;
mod identity;
mod master;
mod measure;
mod process;
mod proxy;
mod registry;
#[path = "../../src/small_disk.rs"]
mod small_disk;
mod volumes;
mod wheel;
