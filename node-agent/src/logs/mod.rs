//! A job's log on its way from the node's own disk to the shared storage.

mod copy;
mod prelude;

pub use copy::copy;
pub use prelude::{Error as PreludeError, Prelude};

/// How far a log has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// Bytes that can be read.
    pub length: u64,
    /// There will be no more.
    pub ended: bool,
}
