//! Every point of a run, wherever it lies: in its table or in a segment.

use std::io;

use atlas_core::{Attempt, JobId, Run};

use super::block::Sample;
use super::segment;
use super::table;
use crate::archive::Archive;

/// A metric as one rank logged it; what points are sorted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit {
    pub key: String,
    pub rank: u32,
}

/// Both ends included.
#[derive(Clone, Debug)]
pub struct Units {
    pub first: Unit,
    pub last: Unit,
}

impl Units {
    pub fn one(key: &str, rank: u32) -> Self {
        let unit = Unit { key: key.to_owned(), rank };
        Self { first: unit.clone(), last: unit }
    }

    pub fn has(&self, key: &[u8], rank: u32) -> bool {
        let of = |it: &'_ Unit| (it.key.as_bytes().cmp(key)).then(it.rank.cmp(&rank));
        of(&self.first).is_le() && of(&self.last).is_ge()
    }

    /// Whether any of its metrics may be among those from `least` to `greatest`.
    pub fn may_be_within(&self, least: &[u8], greatest: &[u8]) -> bool {
        self.first.key.as_bytes() <= greatest && least <= self.last.key.as_bytes()
    }
}

/// Takes some points of one metric and rank, in the order in which they came.
pub type Visit<'a> = dyn FnMut(&[u8], u32, Vec<Sample>) -> io::Result<()> + 'a;

/// Calls `visit` with all points of these units that an attempt logged: those of one unit in the order in which they came. Blocks.
pub fn of_attempt(
    archive: &Archive,
    (job, run): (JobId, &Run),
    attempt: Attempt,
    units: &Units,
    visit: &mut Visit<'_>,
) -> io::Result<()> {
    if let Some(table) = &run.table {
        table::read(&archive.table(job, table), attempt, units, visit)?;
    }
    let Some(spool) = run.attempts.get(&attempt) else { return Ok(()) };
    for it in &spool.segments {
        let path = archive.segment(job, attempt, it.epoch);
        let read = segment::columns(&path, it.bytes, &mut |column| {
            if !units.has(column.key, column.rank) {
                return Ok(());
            }
            let mut samples = Vec::new();
            column.read(&mut samples)?;
            visit(column.key, column.rank, samples)
        });
        read.map_err(|error| named(&path, &error))?;
    }
    Ok(())
}

/// The error, with the file that it is about.
pub fn named(path: &std::path::Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
