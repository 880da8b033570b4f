//! Writing a table: rows are gathered until they are a row group.

use std::fs::File;
use std::io;
use std::sync::Arc;

use atlas_core::Attempt;
use atlas_core::run::Scalar;
use parquet::basic::{Compression, Encoding};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::Result;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::ColumnPath;

use super::{
    ATTEMPT, BOOL, FLOAT, INT, KEY, LAYOUT, RANK, ROWS, SEGMENTS, STRING, Segments, io_error,
    schema,
};
use crate::tracker::block::Sample;

/// Integers up to here are doubles, too.
const EXACT: u64 = 1 << f64::MANTISSA_DIGITS;

/// Takes points in the order in which they are to lie.
pub struct Writer {
    to: SerializedFileWriter<File>,
    rows: Rows,
    kinds: Kinds,
    written: u64,
}

/// Rows that are no row group yet, by columns.
#[derive(Default)]
struct Rows {
    keys: Vec<ByteArray>,
    ranks: Vec<i64>,
    attempts: Vec<i64>,
    steps: Vec<i64>,
    times: Vec<i64>,
    values: Optional<f64>,
    texts: Optional<ByteArray>,
    kinds: Vec<ByteArray>,
}

/// A column that not every row has a value in.
struct Optional<T> {
    values: Vec<T>,
    /// Of each row: 1 = there is one.
    levels: Vec<i16>,
}

struct Kinds {
    float: ByteArray,
    int: ByteArray,
    bool: ByteArray,
    text: ByteArray,
}

impl Writer {
    /// These segments are what it is going to have.
    pub fn new(to: File, segments: &Segments) -> io::Result<Self> {
        let schema = schema().map_err(io_error)?;
        let properties = Arc::new(properties(serde_json::to_string(segments)?));
        let to = SerializedFileWriter::new(to, schema, properties).map_err(io_error)?;
        let text = |it: &'static str| ByteArray::from(it);
        let kinds =
            Kinds { float: text(FLOAT), int: text(INT), bool: text(BOOL), text: text(STRING) };
        Ok(Self { to, rows: Rows::default(), kinds, written: 0 })
    }

    /// Points of a metric and rank that an attempt logged.
    pub fn push(
        &mut self,
        key: &[u8],
        rank: u32,
        attempt: Attempt,
        samples: impl IntoIterator<Item = Sample>,
    ) -> io::Result<()> {
        let key = ByteArray::from(key.to_vec());
        for Sample { step, at, value } in samples {
            let rows = &mut self.rows;
            rows.keys.push(key.clone());
            rows.ranks.push(rank.into());
            rows.attempts.push(attempt.0.cast_signed());
            rows.steps.push(step.cast_signed());
            rows.times.push(at.0.cast_signed());
            rows.put(value, &self.kinds);
            if self.rows.keys.len() == ROWS {
                self.flush().map_err(io_error)?;
            }
        }
        Ok(())
    }

    /// The file, which is whole then but not synced, and how many points it has.
    pub fn finish(mut self) -> io::Result<(File, u64)> {
        if !self.rows.keys.is_empty() {
            self.flush().map_err(io_error)?;
        }
        Ok((self.to.into_inner().map_err(io_error)?, self.written))
    }

    fn flush(&mut self) -> Result<()> {
        let Rows { keys, ranks, attempts, steps, times, values, texts, kinds } =
            std::mem::take(&mut self.rows);
        self.written += keys.len() as u64;
        let mut group = self.to.next_row_group()?;
        column::<ByteArrayType>(&mut group, &keys, None)?;
        for numbers in [ranks, attempts, steps, times] {
            column::<Int64Type>(&mut group, &numbers, None)?;
        }
        column::<DoubleType>(&mut group, &values.values, Some(&values.levels))?;
        column::<ByteArrayType>(&mut group, &texts.values, Some(&texts.levels))?;
        column::<ByteArrayType>(&mut group, &kinds, None)?;
        group.close().map(drop)
    }
}

impl Rows {
    fn put(&mut self, value: Scalar, kinds: &Kinds) {
        let number = match &value {
            Scalar::Bool(it) => Some(f64::from(u8::from(*it))),
            other => other.number(),
        };
        let (text, kind) = match value {
            Scalar::Float(_) => (None, &kinds.float),
            Scalar::Bool(_) => (None, &kinds.bool),
            Scalar::Int(int) if int.unsigned_abs() <= EXACT => (None, &kinds.int),
            Scalar::Int(int) => (Some(int.to_string()), &kinds.int),
            Scalar::BigInt(digits) => (Some(digits), &kinds.int),
            Scalar::Text(text) => (Some(text), &kinds.text),
        };
        self.values.push(number);
        self.texts.push(text.map(|it| ByteArray::from(it.into_bytes())));
        self.kinds.push(kind.clone());
    }
}

impl<T> Optional<T> {
    fn push(&mut self, value: Option<T>) {
        self.levels.push(i16::from(value.is_some()));
        self.values.extend(value);
    }
}

impl<T> Default for Optional<T> {
    fn default() -> Self {
        Self { values: Vec::new(), levels: Vec::new() }
    }
}

fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<()> {
    let mut column = group.next_column()?.expect("the schema has this column");
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}

fn properties(segments: String) -> WriterProperties {
    let sorted = [KEY, RANK, ATTEMPT].map(|column| SortingColumn {
        column_idx: i32::try_from(column).expect("there are few"),
        descending: false,
        nulls_first: false,
    });
    let (name, version) = LAYOUT;
    let about = [(name, version.to_owned()), (SEGMENTS, segments)];
    let about = about.map(|(name, value)| KeyValue::new(name.to_owned(), value));
    let mut properties = WriterProperties::builder()
        .set_created_by(format!("atlas {}", crate::VERSION))
        .set_key_value_metadata(Some(about.into()))
        .set_sorting_columns(Some(sorted.into()))
        .set_compression(Compression::SNAPPY)
        // Row groups are what is looked up by: the whole key, so that a long one is found, too.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_statistics_truncate_length(None)
        .set_offset_index_disabled(true)
        .set_max_row_group_row_count(Some(ROWS));
    for name in ["step", "time"] {
        let path = ColumnPath::from(name);
        properties = properties
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
    }
    properties.set_column_dictionary_enabled(ColumnPath::from("value"), false).build()
}
