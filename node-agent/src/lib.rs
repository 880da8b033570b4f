//! The node agent of an Atlas cluster. Start at [`run`].

mod api;
mod archive;
mod cache;
mod check;
pub mod cli;
mod conditions;
mod driver;
mod executor;
mod identity;
mod insist;
pub mod inventory;
mod keyed;
mod leases;
mod logs;
mod master;
mod node;
pub mod options;
mod paths;
mod proxy;
mod reach;
mod run;
mod sdk;
mod session;
pub mod slot;
#[cfg(test)]
mod small_disk;
mod spare;
mod spool;
mod start;
mod storage;
#[cfg(test)]
mod tests;
mod trash;
pub mod unpack;
mod venv;

pub use atlas_supervisor as supervisor;
pub use options::{Options, Settings};
pub use run::{Error, run};
