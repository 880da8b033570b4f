//! The master of an Atlas cluster: the global queue, placement, the job → host look-up, archives, and the API in front of them.
//!
//! Start at [`start::start`] for how the parts are put together, and at [`reactor::Reactor`] for the one task that owns the state.

pub mod age;
pub mod archive;
mod belongs;
pub mod bundles;
pub mod config;
pub mod edge;
pub mod grpc;
pub mod http;
pub mod metrics;
pub mod migrate;
pub mod pieces;
pub mod projects;
pub mod proxy;
pub mod reactor;
pub mod retention;
pub mod runs;
pub mod service;
mod share;
pub mod start;
mod state;
pub mod store;
pub mod submission;
pub mod tracker;
mod transfer;
pub mod trash;
pub mod turns;
pub mod usage;

/// Of this program; nodes must have the same major and minor number.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
