//! What lies in a folder, as it travels.

use atlas_proto::convert::ship::{FileMeta, Item, Kind};
use atlas_runtime::storage::{Found, Meta, What};

/// For the wire.
pub(super) fn of(Found { path, what }: &Found) -> Item {
    let kind = match what {
        What::File(Meta { bytes, modified, mode }) => {
            Kind::File(FileMeta { bytes: *bytes, modified: *modified, mode: *mode })
        }
        What::Link(target) => Kind::Link(target.clone()),
        What::Folder { mode } => Kind::Folder { mode: *mode },
    };
    Item { path: path.clone(), kind }
}

/// From the wire.
pub(super) fn found(Item { path, kind }: Item) -> Found {
    let what = match kind {
        Kind::File(FileMeta { bytes, modified, mode }) => {
            What::File(Meta { bytes, modified, mode })
        }
        Kind::Link(target) => What::Link(target),
        Kind::Folder { mode } => What::Folder { mode },
    };
    Found { path, what }
}
