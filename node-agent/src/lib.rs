//! The node agent of an Atlas cluster, and the supervisor of its worker slots. Start at [`run`].

mod archive;
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
mod run;
mod session;
pub mod slot;
mod start;
pub mod supervisor;
#[cfg(test)]
mod tests;
mod trash;
pub mod unpack;
mod venv;

pub use options::{Options, Settings};
pub use run::{Error, run};
