//! Segments on the shared storage: `series/<attempt>-<epoch>.seg` of a job. Only the leader of that epoch writes to one, at the
//! committed length, so that what was never committed is written over; and whoever reads goes no further than that.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use atlas_runtime::storage::log::open_to_write;
use atlas_runtime::storage::sync_below;

use super::block::{self, HEAD, Sample};

/// Writes a block behind the committed bytes. It survives the death of the storage's machine when this returns. Blocks.
pub fn append(top: &Path, path: &Path, committed: u64, block: &[u8]) -> io::Result<()> {
    let file = open_to_write(path)?;
    file.write_all_at(block, committed)?;
    if committed > 0 {
        return file.sync_data();
    }
    sync_below(top, &[path.to_owned()])
}

/// Adds the points of one metric and rank to those that are there. Blocks.
pub fn read(
    path: &Path,
    committed: u64,
    key: &str,
    rank: u32,
    to: &mut Vec<Sample>,
) -> io::Result<()> {
    let damaged =
        |_| io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged", path.display()));
    let mut from = io::BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut left = committed;
    let mut body = Vec::new();
    while left > 0 {
        let mut head = [0; HEAD];
        from.read_exact(&mut head)?;
        let length = block::body_length(head).map_err(damaged)?;
        let rest = left.checked_sub(HEAD as u64 + length as u64);
        left = rest.ok_or(block::Damaged).map_err(damaged)?;
        body.resize(length, 0);
        from.read_exact(&mut body)?;
        block::find(&body, key, rank, to).map_err(damaged)?;
    }
    Ok(())
}
