//! Reading what some metrics have of a table.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

use atlas_core::run::{Scalar, limits};
use atlas_core::{Attempt, Timestamp};
use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{FileReader, RowGroupReader};
use parquet::file::serialized_reader::SerializedFileReader;

use super::{
    ATTEMPT, BOOL, FLOAT, INT, KEY, KIND, LAYOUT, RANK, ROWS, SEGMENTS, STEP, STRING, Segments,
    TEXT, TIME, VALUE, io_error, schema,
};
use crate::tracker::block::Sample;
use crate::tracker::points::{Units, Visit, named};

/// Bytes of a text, or digits of an integer and its sign.
const LONGEST: usize = limits::DIGITS + 1;
const _: () = assert!(LONGEST >= limits::METRIC_TEXT);

/// Calls `visit` with all points of these units that an attempt logged: those of one unit in the order in which they came. Blocks.
pub fn read(path: &Path, attempt: Attempt, units: &Units, visit: &mut Visit<'_>) -> io::Result<()> {
    let file = open(path).map_err(|error| named(path, &error))?;
    for number in 0..file.num_row_groups() {
        if !may_have(&file, number, units) {
            continue;
        }
        let group = file.get_row_group(number).and_then(|it| Group::read(&*it, units));
        let group = group.map_err(|error| named(path, &io_error(error)))?;
        let Some(group) = group else { continue };
        group.visit(attempt, units, visit)?;
    }
    Ok(())
}

/// Of these points is this table.
pub fn points(path: &Path) -> io::Result<u64> {
    let file = open(path).map_err(|error| named(path, &error))?;
    let rows = file.metadata().file_metadata().num_rows();
    Ok(u64::try_from(rows).unwrap_or_default())
}

/// The segments that it has all points of.
pub fn segments(path: &Path) -> io::Result<Segments> {
    let file = open(path).map_err(|error| named(path, &error))?;
    let about = file.metadata().file_metadata().key_value_metadata();
    let text = about.and_then(|it| it.iter().find(|it| it.key == SEGMENTS)?.value.as_deref());
    let read = text.and_then(|it| serde_json::from_str(it).ok());
    read.ok_or_else(|| named(path, &invalid("it does not say which segments it has")))
}

fn open(path: &Path) -> io::Result<SerializedFileReader<File>> {
    let file = SerializedFileReader::new(File::open(path)?).map_err(io_error)?;
    let about = file.metadata().file_metadata();
    let (name, version) = LAYOUT;
    let is_ours = |it: &parquet::file::metadata::KeyValue| {
        it.key == name && it.value.as_deref() == Some(version)
    };
    let layout = about.key_value_metadata().is_some_and(|it| it.iter().any(is_ours));
    if !layout || about.schema() != &*schema().map_err(io_error)? {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no table of series"));
    }
    Ok(file)
}

fn may_have(file: &SerializedFileReader<File>, group: usize, units: &Units) -> bool {
    let keys = file.metadata().row_group(group).column(KEY);
    match keys.statistics().map(|it| (it.min_bytes_opt(), it.max_bytes_opt())) {
        Some((Some(least), Some(greatest))) => units.may_be_within(least, greatest),
        _ => true,
    }
}

/// The rows of a row group from the first to the last of some units, by columns.
struct Group {
    keys: Vec<ByteArray>,
    ranks: Vec<i64>,
    attempts: Vec<i64>,
    samples: Vec<Sample>,
}

impl Group {
    /// `None` = it has nothing of them.
    fn read(group: &dyn RowGroupReader, units: &Units) -> Result<Option<Self>> {
        let all = usize::try_from(group.metadata().num_rows()).unwrap_or(usize::MAX);
        if all > ROWS {
            return Err(damaged("a row group has too many rows"));
        }
        let keys = required::<ByteArrayType>(group, KEY, 0..all)?;
        let ranks = required::<Int64Type>(group, RANK, 0..all)?;
        let wanted = |row: &usize| {
            u32::try_from(ranks[*row]).is_ok_and(|rank| units.has(keys[*row].data(), rank))
        };
        let (Some(first), Some(last)) = ((0..all).find(wanted), (0..all).rfind(wanted)) else {
            return Ok(None);
        };
        let rows = first..last + 1;
        Ok(Some(Self {
            attempts: required::<Int64Type>(group, ATTEMPT, rows.clone())?,
            samples: samples(group, rows.clone())?,
            keys: keys[rows.clone()].to_vec(),
            ranks: ranks[rows].to_vec(),
        }))
    }

    /// Calls it once for all that is of one unit and attempt.
    fn visit(self, attempt: Attempt, units: &Units, visit: &mut Visit<'_>) -> io::Result<()> {
        let mut samples = self.samples.into_iter();
        let mut row = 0;
        while row < self.keys.len() {
            let (key, rank) = (&self.keys[row], self.ranks[row]);
            let same = |it: &usize| {
                &self.keys[*it] == key
                    && self.ranks[*it] == rank
                    && self.attempts[*it] == self.attempts[row]
            };
            let end = (row..self.keys.len()).find(|it| !same(it)).unwrap_or(self.keys.len());
            let these: Vec<_> = samples.by_ref().take(end - row).collect();
            let rank = u32::try_from(rank).map_err(|_| invalid("a rank is none"))?;
            if self.attempts[row] == attempt.0.cast_signed() && units.has(key.data(), rank) {
                visit(key.data(), rank, these)?;
            }
            row = end;
        }
        Ok(())
    }
}

fn samples(group: &dyn RowGroupReader, rows: Range<usize>) -> Result<Vec<Sample>> {
    let steps = required::<Int64Type>(group, STEP, rows.clone())?;
    let times = required::<Int64Type>(group, TIME, rows.clone())?;
    let values = optional::<DoubleType>(group, VALUE, rows.clone())?;
    let texts = optional::<ByteArrayType>(group, TEXT, rows.clone())?;
    let kinds = required::<ByteArrayType>(group, KIND, rows)?;
    let all = steps.into_iter().zip(times).zip(values).zip(texts).zip(kinds);
    let sample = |((((step, at), value), text), kind): ((((i64, i64), _), Option<_>), _)| {
        let value =
            scalar(value, text.as_ref(), &kind).ok_or_else(|| damaged("a value is none"))?;
        Ok(Sample { step: step.cast_unsigned(), at: Timestamp(at.cast_unsigned()), value })
    };
    all.map(sample).collect()
}

fn scalar(value: Option<f64>, text: Option<&ByteArray>, kind: &ByteArray) -> Option<Scalar> {
    let text = match text {
        // A file that somebody made up may have the same long one in every row.
        Some(it) if it.len() > LONGEST => return None,
        Some(it) => Some(it.as_utf8().ok()?.to_owned()),
        None => None,
    };
    Some(match kind.as_utf8().ok()? {
        FLOAT => Scalar::Float(value?),
        BOOL => Scalar::Bool(value? != 0.0),
        STRING => Scalar::Text(text?),
        INT => match text {
            Some(digits) => digits.parse().map_or(Scalar::BigInt(digits), Scalar::Int),
            #[expect(clippy::cast_possible_truncation, reason = "such a double is an integer")]
            None => Scalar::Int(value? as i64),
        },
        _ => return None,
    })
}

fn required<T: DataType>(
    group: &dyn RowGroupReader,
    column: usize,
    rows: Range<usize>,
) -> Result<Vec<T::T>> {
    let (wanted, mut values) = (rows.len(), Vec::new());
    let mut reader = get_typed_column_reader::<T>(group.get_column_reader(column)?);
    reader.skip_records(rows.start)?;
    reader.read_records(wanted, None, None, &mut values)?;
    if values.len() != wanted {
        return Err(damaged("a column is too short"));
    }
    Ok(values)
}

fn optional<T: DataType>(
    group: &dyn RowGroupReader,
    column: usize,
    rows: Range<usize>,
) -> Result<Vec<Option<T::T>>> {
    let (wanted, mut values, mut levels) = (rows.len(), Vec::new(), Vec::new());
    let mut reader = get_typed_column_reader::<T>(group.get_column_reader(column)?);
    reader.skip_records(rows.start)?;
    reader.read_records(wanted, Some(&mut levels), None, &mut values)?;
    let mut values = values.into_iter();
    let found: Vec<_> =
        levels.iter().map(|it| if *it > 0 { values.next() } else { None }).collect();
    if found.len() != wanted {
        return Err(damaged("a column is too short"));
    }
    Ok(found)
}

fn damaged(why: &str) -> ParquetError {
    ParquetError::General(why.to_owned())
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
