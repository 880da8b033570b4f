//! Writing what is kept of jobs: the same on a node that has the shared storage mounted and on the master, who does it for a node
//! that has not.
//!
//! Every step is taken from an open folder by name and through no link, no file has its name before it is whole, and what was
//! begun is gone on with. All of it blocks, as long as the storage does.

mod durable;
mod found;
mod give;
mod held;
pub mod incoming;
mod keeper;
pub mod log;
mod mirror;
pub mod shipment;
mod tree;
pub mod version;

use std::io;

use rustix::io::Errno;

pub use durable::sync_below;
pub use found::{Listed, list, open};
pub use give::Owner;
pub use held::Held;
pub use keeper::{Keeper, Others, Standing, is_part, part_name};
pub use shipment::Shipment;

/// Whether the storage never takes a file of this name, size or owner; any other error is the same for all files.
pub fn is_of_the_file(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NAMETOOLONG | Errno::ILSEQ | Errno::INVAL | Errno::FBIG)
    ) || is_denied(error)
}

/// Another owner's: it stays so, until a person does something about it.
fn is_denied(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::ACCESS | Errno::PERM))
}
