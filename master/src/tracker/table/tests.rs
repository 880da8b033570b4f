//! What tables say of themselves, and what is none.

use std::fs::{self, File};

use atlas_core::run::Scalar;
use atlas_core::{Epoch, Timestamp};

use super::*;
use crate::tracker::block::Sample;
use crate::tracker::points::Units;

/// Written by the first version; bytes like these are read for ever.
const FIRST: &[u8] = include_bytes!("layout-1.parquet");

fn sample(step: u64, value: Scalar) -> Sample {
    Sample { step, at: Timestamp(1_790_000_000_000 + step), value }
}

fn loss() -> Vec<Sample> {
    let values = [
        Scalar::Float(0.25),
        Scalar::Float(f64::NAN),
        Scalar::Float(f64::NEG_INFINITY),
        Scalar::Int(-3),
        Scalar::Int(i64::MAX),
        Scalar::BigInt("-99999999999999999999".into()),
        Scalar::Bool(true),
        Scalar::Text("é".into()),
    ];
    (0..).zip(values).map(|(step, value)| sample(step, value)).collect()
}

fn of() -> Segments {
    vec![(Attempt(1), Segment { epoch: Epoch(2), bytes: 300 })]
}

fn write(path: &std::path::Path, rows: &[(&str, u32, u64, Vec<Sample>)]) -> u64 {
    let mut writer = Writer::new(File::create(path).unwrap(), &of()).unwrap();
    for (key, rank, attempt, samples) in rows {
        writer.push(key.as_bytes(), *rank, Attempt(*attempt), samples.clone()).unwrap();
    }
    writer.finish().unwrap().1
}

fn found(path: &std::path::Path, key: &str, rank: u32, attempt: u64) -> io::Result<Vec<Sample>> {
    let mut found = Vec::new();
    read(path, Attempt(attempt), &Units::one(key, rank), &mut |_, _, mut more| {
        found.append(&mut more);
        Ok(())
    })?;
    Ok(found)
}

#[test]
fn a_file_of_the_first_version_is_read_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("1-1.parquet");
    fs::write(&path, FIRST).unwrap();
    assert_eq!((points(&path).unwrap(), segments(&path).unwrap()), (10, of()));
    assert_eq!(found(&path, "loss", 0, 1).unwrap(), loss());
    assert_eq!(found(&path, "loss", 0, 2).unwrap(), [sample(0, Scalar::Float(0.5))]);
    assert_eq!(found(&path, "z", 3, 1).unwrap(), [sample(7, Scalar::Int(1))]);
    assert_eq!(found(&path, "z", 0, 1).unwrap(), []);
}

#[test]
fn a_metric_is_found_across_row_groups_wherever_it_begins() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("1-1.parquet");
    let many = |count| (0..count).map(|it| sample(it, Scalar::Int(it.cast_signed()))).collect();
    let long = "k".repeat(250);
    let third = ROWS as u64 / 3;
    let rows: [(&str, u32, u64, Vec<Sample>); 4] = [
        ("a", 0, 1, many(2 * third)),
        (&long, 0, 1, many(third)),
        (&long, 1, 1, many(2 * third)),
        ("z", 0, 1, many(1)),
    ];
    assert_eq!(write(&path, &rows), 5 * third + 1);
    for (key, rank, attempt, samples) in &rows {
        assert!(found(&path, key, *rank, *attempt).unwrap() == *samples, "{key} {rank}");
    }
    assert_eq!(found(&path, "b", 0, 1).unwrap(), []);
    assert_eq!(found(&path, "a", 1, 1).unwrap(), []);
}

#[test]
fn what_is_no_table_or_only_a_part_of_one_is_refused_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("1-1.parquet");
    write(&path, &[("loss", 0, 1, loss())]);
    let whole = fs::read(&path).unwrap();
    for end in (0..whole.len()).step_by(37) {
        fs::write(&path, &whole[..end]).unwrap();
        let refused = found(&path, "loss", 0, 1).unwrap_err().to_string();
        assert!(refused.starts_with(path.to_str().unwrap()), "{refused}");
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(points(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
}
