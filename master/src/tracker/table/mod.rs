//! The points of a run whose job has ended, in a file that others read, too (`docs/using/series.md`): Parquet, sorted by metric, rank
//! and attempt, and in the order in which they came. Whoever looks for one metric reads the row groups that may have it, and no others.
//!
//! A value is a number as near as a double comes, or text. `kind` says what it was, and `text` has the digits of an integer that no
//! double is: so every value comes back as it was logged. Such files are read for ever; another layout gets another version in their
//! metadata.

mod read;
mod write;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use atlas_core::Attempt;
use atlas_core::run::Segment;
use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::errors::{ParquetError, Result};
use parquet::schema::types::{Type, TypePtr};

pub use read::{points, read, segments};
pub use write::Writer;

/// Rows of a row group.
const ROWS: usize = 1 << 16;
/// The layout's name and version, in the file's own metadata.
const LAYOUT: (&str, &str) = ("atlas.series", "1");
/// In the metadata: the segments whose points these are, as JSON.
const SEGMENTS: &str = "atlas.segments";

/// The columns, in their order.
const KEY: usize = 0;
const RANK: usize = 1;
const ATTEMPT: usize = 2;
const STEP: usize = 3;
const TIME: usize = 4;
const VALUE: usize = 5;
const TEXT: usize = 6;
const KIND: usize = 7;

/// What a value was.
const FLOAT: &str = "float";
const INT: &str = "int";
const BOOL: &str = "bool";
const STRING: &str = "text";

/// The segments that a table has all points of, also through the tables before it.
pub type Segments = Vec<(Attempt, Segment)>;

fn schema() -> Result<TypePtr> {
    let text = || Some(LogicalType::String);
    let time = LogicalType::timestamp(true, TimeUnit::MILLIS);
    let columns = [
        ("key", Physical::BYTE_ARRAY, text(), Repetition::REQUIRED),
        ("rank", Physical::INT64, None, Repetition::REQUIRED),
        ("attempt", Physical::INT64, None, Repetition::REQUIRED),
        ("step", Physical::INT64, None, Repetition::REQUIRED),
        ("time", Physical::INT64, Some(time), Repetition::REQUIRED),
        ("value", Physical::DOUBLE, None, Repetition::OPTIONAL),
        ("text", Physical::BYTE_ARRAY, text(), Repetition::OPTIONAL),
        ("kind", Physical::BYTE_ARRAY, text(), Repetition::REQUIRED),
    ];
    let fields = columns.into_iter().map(|(name, physical, logical, repetition)| {
        let column = Type::primitive_type_builder(name, physical).with_repetition(repetition);
        Ok(Arc::new(column.with_logical_type(logical).build()?))
    });
    let fields = fields.collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Type::group_type_builder("series").with_fields(fields).build()?))
}

fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}
