//! Segments on the shared storage: `series/<attempt>-<epoch>.seg` of a job. Only the leader of that epoch writes to one, at the
//! committed length, so that what was never committed is written over; and whoever reads goes no further than that.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use atlas_runtime::storage::log::open_to_write;
use atlas_runtime::storage::sync_below;

use super::block::{self, Column, Damaged, HEAD};

/// Writes a block behind the committed bytes. It survives the death of the storage's machine when this returns. Blocks.
pub fn append(top: &Path, path: &Path, committed: u64, block: &[u8]) -> io::Result<()> {
    let file = open_to_write(path)?;
    file.write_all_at(block, committed)?;
    if committed > 0 {
        return file.sync_data();
    }
    sync_below(top, &[path.to_owned()])
}

/// Calls `visit` with every column of the committed bytes. Blocks.
pub fn columns(
    path: &Path,
    committed: u64,
    visit: &mut dyn FnMut(Column<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut from = io::BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut left = committed;
    let mut body = Vec::new();
    while left > 0 {
        let mut head = [0; HEAD];
        from.read_exact(&mut head)?;
        let length = block::body_length(head)?;
        let rest = left.checked_sub(HEAD as u64 + length as u64);
        left = rest.ok_or(Damaged)?;
        body.resize(length, 0);
        from.read_exact(&mut body)?;
        block::columns(&body, &mut *visit)?;
    }
    Ok(())
}

impl From<Damaged> for io::Error {
    fn from(damaged: Damaged) -> Self {
        Self::new(io::ErrorKind::InvalidData, damaged)
    }
}
