//! Makes one table of what a run has in segments, and in a table of before. Nothing of it counts until the run says so.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use atlas_core::run::{Scalar, Segment, Table};
use atlas_core::{Attempt, Epoch, JobId, Run};
use tokio_util::sync::CancellationToken;

use super::block::Sample;
use super::points::{self, Unit, Units};
use super::table::{self, Writer};
use crate::archive::Archive;

/// Bytes of points that are in memory at a time; a run of more is read once for each part of it.
const ROOM: usize = 32 << 20;

/// What is done, and for whom.
pub struct Compaction<'a> {
    pub archive: &'a Archive,
    pub job: JobId,
    pub run: &'a Run,
    /// Of the leader.
    pub epoch: Epoch,
    /// The master stops: it is done again by the next one.
    pub stop: &'a CancellationToken,
}

/// Points by metric and rank, of each in the order of attempts.
type Gathered = BTreeMap<Vec<u8>, BTreeMap<u32, Vec<(Attempt, Vec<Sample>)>>>;

/// Takes some points of an attempt, of one metric and rank.
type VisitOf<'a> = dyn FnMut(Attempt, &[u8], u32, Vec<Sample>) -> io::Result<()> + 'a;

impl Compaction<'_> {
    /// Writes the table, which survives any death when this returns. Blocks.
    pub fn write(&self) -> io::Result<Table> {
        self.write_in(ROOM)
    }

    fn write_in(&self, room: usize) -> io::Result<Table> {
        let number = self.run.table.map_or(1, |it| it.number.saturating_add(1));
        let mut table = Table { epoch: self.epoch, number, bytes: 0, points: 0 };
        let path = self.archive.table(self.job, &table);
        let part = path.with_extension("part");
        let written = self.write_part(&part, room).and_then(|(file, points)| {
            file.sync_all()?;
            fs::rename(&part, &path)?;
            File::open(self.archive.series(self.job))?.sync_all()?;
            table.bytes = file.metadata()?.len();
            table.points = points;
            self.check(&path, points)
        });
        if written.is_err() {
            // Best effort: what failed is the news.
            let _ = fs::remove_file(&part);
        }
        written.map(|()| table)
    }

    /// Segments are removed for this file's sake: it has to have what the run counted.
    fn check(&self, path: &Path, written: u64) -> io::Result<()> {
        let (told, found) = (self.run.points(), table::points(path)?);
        if told == written && written == found {
            return Ok(());
        }
        let why = format!("{found} of {written} points were written, and {told} were told");
        Err(io::Error::new(io::ErrorKind::InvalidData, why))
    }

    fn write_part(&self, part: &Path, room: usize) -> io::Result<(File, u64)> {
        // Of a try that broke off.
        match fs::remove_file(part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).open(part)?;
        let mut writer = Writer::new(file, &self.segments()?)?;
        for units in self.portions(room)? {
            if units.first == units.last {
                // However many points one metric has, they lie in their order already.
                self.each(&units, &mut |attempt, key, rank, samples| {
                    writer.push(key, rank, attempt, samples)
                })?;
                continue;
            }
            for (key, ranks) in self.gather(&units)? {
                for (rank, pieces) in ranks {
                    for (attempt, samples) in pieces {
                        writer.push(&key, rank, attempt, samples)?;
                    }
                }
            }
        }
        writer.finish()
    }

    /// All that lie in the table then.
    fn segments(&self) -> io::Result<table::Segments> {
        let before = self.run.table.map(|it| table::segments(&self.archive.table(self.job, &it)));
        let mut segments = before.transpose()?.unwrap_or_default();
        for (attempt, spool) in &self.run.attempts {
            segments.extend(spool.segments.iter().map(|it| (*attempt, *it)));
        }
        Ok(segments)
    }

    /// What is gathered at a time: in the order of the table, all of it together.
    fn portions(&self, room: usize) -> io::Result<Vec<Units>> {
        let spools = self.run.attempts.values();
        let named = spools.flat_map(|it| &it.points);
        let mut sizes: BTreeMap<Unit, usize> = BTreeMap::new();
        for (key, ranks) in named {
            for rank in ranks.keys() {
                sizes.insert(Unit { key: key.clone(), rank: *rank }, 0);
            }
        }
        let Some(all) = sizes.keys().next().zip(sizes.keys().next_back()) else {
            return Ok(Vec::new());
        };
        let all = Units { first: all.0.clone(), last: all.1.clone() };
        let segments = self.run.attempts.values().flat_map(|it| &it.segments);
        let bytes: u64 = segments.map(|it| it.bytes).sum();
        let points = self.run.points().saturating_mul(size_of::<Sample>() as u64);
        if self.run.table.is_none() && points.saturating_add(bytes) <= room as u64 {
            return Ok(vec![all]);
        }
        self.each(&all, &mut |_, key, rank, samples| {
            let key = String::from_utf8_lossy(key).into_owned();
            *sizes.entry(Unit { key, rank }).or_default() +=
                samples.iter().map(size).sum::<usize>();
            Ok(())
        })?;
        Ok(portions(sizes, room))
    }

    fn gather(&self, units: &Units) -> io::Result<Gathered> {
        let mut gathered = Gathered::new();
        self.each(units, &mut |attempt, key, rank, samples| {
            let ranks = match gathered.get_mut(key) {
                Some(ranks) => ranks,
                None => gathered.entry(key.to_vec()).or_default(),
            };
            ranks.entry(rank).or_default().push((attempt, samples));
            Ok(())
        })?;
        Ok(gathered)
    }

    /// All points of these units, those of each in the order of attempts and then as they came.
    fn each(&self, units: &Units, visit: &mut VisitOf<'_>) -> io::Result<()> {
        for attempt in self.run.attempts.keys() {
            let of = (self.job, self.run);
            points::of_attempt(self.archive, of, *attempt, units, &mut |key, rank, samples| {
                if self.stop.is_cancelled() {
                    return Err(io::Error::new(
                        io::ErrorKind::Interrupted,
                        "the master is stopping",
                    ));
                }
                visit(*attempt, key, rank, samples)
            })?;
        }
        Ok(())
    }
}

/// Neighbours that fit into the room together; what does not alone is alone.
fn portions(sizes: BTreeMap<Unit, usize>, room: usize) -> Vec<Units> {
    let mut portions: Vec<(Units, usize)> = Vec::new();
    for (unit, size) in sizes {
        match portions.last_mut() {
            Some((units, taken)) if *taken + size <= room => {
                units.last = unit;
                *taken += size;
            }
            _ => portions.push((Units { first: unit.clone(), last: unit }, size)),
        }
    }
    portions.into_iter().map(|(units, _)| units).collect()
}

fn size(sample: &Sample) -> usize {
    let text = match &sample.value {
        Scalar::Text(text) | Scalar::BigInt(text) => text.len(),
        Scalar::Bool(_) | Scalar::Int(_) | Scalar::Float(_) => 0,
    };
    size_of::<Sample>() + text
}

/// Removes what this leader and those before it left beside the table of a run that has nothing else. Blocks.
pub fn tidy(archive: &Archive, job: JobId, table: &Table) -> io::Result<()> {
    let kept = archive.table(job, table);
    for entry in fs::read_dir(archive.series(job))? {
        let path = entry?.path();
        // A later leader may write here already.
        if path != kept && epoch_of(&path).is_some_and(|it| it <= table.epoch) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// The run as the newest table has it, if that has all segments that are gone: a store that came back older names those still. Blocks.
pub fn found_again(archive: &Archive, job: JobId, run: &Run) -> io::Result<Option<Run>> {
    let mut newest: Option<Table> = None;
    for entry in fs::read_dir(archive.series(job))? {
        let path = entry?.path();
        let Some((epoch, number)) = table_of(&path) else { continue };
        let is_newer = |it: &Table| (it.number, it.epoch) < (number, epoch);
        if newest.as_ref().is_none_or(is_newer) && run.table.as_ref().is_none_or(is_newer) {
            // Not of somebody who died while they wrote it.
            let Ok(points) = table::points(&path) else { continue };
            let bytes = fs::metadata(&path)?.len();
            newest = Some(Table { epoch, number, bytes, points });
        }
    }
    let Some(table) = newest else { return Ok(None) };
    let has = table::segments(&archive.table(job, &table))?;
    let mut run = run.clone();
    run.table = Some(table);
    for (attempt, spool) in &mut run.attempts {
        let had = |it: &Segment| {
            let same = has.iter().filter(|has| has.0 == *attempt && has.1.epoch == it.epoch);
            same.map(|has| has.1.bytes).max()
        };
        // A part of a segment cannot be told from the rest of it.
        if spool.segments.iter().any(|it| had(it).is_some_and(|bytes| bytes < it.bytes)) {
            return Ok(None);
        }
        spool.segments.retain(|it| had(it).is_none());
    }
    Ok(Some(run))
}

/// Epoch and number of a table, by its name.
fn table_of(path: &Path) -> Option<(Epoch, u32)> {
    let (epoch, number) = path.file_stem()?.to_str()?.split_once('-')?;
    let is_table = path.extension()? == "parquet";
    is_table.then_some((Epoch(epoch.parse().ok()?), number.parse().ok()?))
}

/// Of the leader who wrote the file; `None` = it is none of ours.
fn epoch_of(path: &Path) -> Option<Epoch> {
    let (first, second) = path.file_stem()?.to_str()?.split_once('-')?;
    let (epoch, other) = match path.extension()?.to_str()? {
        "seg" => (second, first),
        "parquet" | "part" => (first, second),
        _ => return None,
    };
    let _: u64 = other.parse().ok()?;
    epoch.parse().ok().map(Epoch)
}

#[cfg(test)]
mod tests;
