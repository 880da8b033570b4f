//! The job directory as one file: what goes along ([`collect`]), and how it is written so that everybody calls it by the same
//! name ([`pack`]). The format is described in `docs/using/bundle-format.md`.

mod collect;
mod error;
mod ignored;
mod pack;
mod secrets;
mod tar;
mod tree;

pub use collect::collect;
pub use error::Error;
pub use ignored::{Rule, Rules};
pub use pack::{Packed, identify, pack, pack_to_temp};
pub use tree::{Entry, Excluded, Kind, Notice, Tree};

#[cfg(test)]
mod tests;
