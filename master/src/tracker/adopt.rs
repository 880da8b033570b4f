//! The points of a run of another cluster: a file that came, which nobody vouches for.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

use atlas_core::run::{Table, limits};
use atlas_core::{JobId, Run};

use super::block::Sample;
use super::points::{Unit, Units, named};
use super::{Error, Tracker, table};
use crate::archive::Archive;

/// As it comes.
pub const NAME: &str = "points.parquet";

impl Tracker {
    /// Makes the file that came the table of this run, if it has the points that the run counts and no others. Nothing of it counts
    /// until the run is kept.
    pub async fn adopt(&self, job: JobId, mut run: Run) -> Result<Run, Error> {
        if run.points() == 0 {
            return Ok(run);
        }
        let parts = &self.0.parts;
        let (archive, epoch) = (parts.archive.clone(), parts.epoch);
        let adopt = move || {
            let came = archive.series(job).join(NAME);
            check(&came, &run)?;
            let bytes = fs::metadata(&came)?.len();
            let table = Table { epoch, number: 1, bytes, points: run.points() };
            put(&archive, job, &came, &table)?;
            run.table = Some(table);
            Ok(run)
        };
        let adopted = parts.tables.run(adopt).await.map_err(|_| Error::Stopping)?;
        adopted.map_err(|source| Error::Compact { job, source })
    }
}

fn put(archive: &Archive, job: JobId, came: &Path, table: &Table) -> io::Result<()> {
    fs::rename(came, archive.table(job, table))?;
    File::open(archive.series(job))?.sync_all()
}

/// Reads all of it.
fn check(path: &Path, run: &Run) -> io::Result<()> {
    let invalid = |why: String| named(path, &io::Error::new(ErrorKind::InvalidData, why));
    let (told, found) = (run.points(), table::points(path)?);
    if told != found {
        return Err(invalid(format!("it has {found} points where job.json counts {told}")));
    }
    let keys = || run.attempts.values().flat_map(|it| it.points.keys());
    let (Some(first), Some(last)) = (keys().min(), keys().max()) else { return Ok(()) };
    let all = Units {
        first: Unit { key: first.clone(), rank: 0 },
        last: Unit { key: last.clone(), rank: u32::MAX },
    };
    for (attempt, spool) in &run.attempts {
        let mut counted: BTreeMap<String, BTreeMap<u32, u64>> = BTreeMap::new();
        table::read(path, *attempt, &all, &mut |key, rank, samples| {
            if key.len() > limits::KEY || !samples.iter().all(is_a_point) {
                return Err(invalid(format!("a point of attempt {attempt} could not be logged")));
            }
            let key = String::from_utf8_lossy(key).into_owned();
            *counted.entry(key).or_default().entry(rank).or_default() += samples.len() as u64;
            Ok(())
        })?;
        if counted != spool.points {
            let why = format!("attempt {attempt} has other points than job.json counts");
            return Err(invalid(why));
        }
    }
    Ok(())
}

fn is_a_point(sample: &Sample) -> bool {
    let is_signed = |it: u64| i64::try_from(it).is_ok();
    is_signed(sample.step) && is_signed(sample.at.0) && sample.value.check().is_ok()
}
