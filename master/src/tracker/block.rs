//! Points as they lie in a segment. A segment is a row of blocks, each what one commit brought; a block is a row of columns, each
//! the points of one metric and rank in the order in which they came. Numbers are little-endian:
//!
//! ```text
//! block    "ATS1" · u32 bytes that follow · columns
//! column   u16 bytes of the key · the key · u32 rank · u32 points · u32 bytes that follow · u8 kind · steps · times · values
//! steps    varints (LEB128) of zigzag differences, the first one from 0
//! times    the same, in milliseconds since 1970
//! values   kind 0: f64 each · kind 1: integers as steps · kind 2: each a u8 and what it says:
//!          0 false · 1 true · 2 varint of a zigzag integer · 3 f64 · 4 text · 5 the digits of an integer beyond 64 bits;
//!          both of the last: varint of their bytes, the bytes
//! ```
//!
//! Whoever looks for one metric skips the other columns by their lengths. Version 1 is read for ever; another kind of block has
//! other letters.

use std::collections::BTreeMap;

use atlas_core::Timestamp;
use atlas_core::run::{Point, Scalar};

use super::varint::{Cursor, put_signed, put_unsigned};

const MAGIC: &[u8; 4] = b"ATS1";
/// Bytes of a block before its columns.
pub const HEAD: usize = 8;

/// One point of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    pub step: u64,
    pub at: Timestamp,
    pub value: Scalar,
}

/// What is no block, or not of this length.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is damaged")]
pub struct Damaged;

/// The points of one commit.
#[derive(Debug, Default)]
pub struct Block(BTreeMap<String, BTreeMap<u32, Vec<Sample>>>);

impl Block {
    pub fn add(&mut self, point: Point<'_>) {
        let Point { key, rank, step, at, value } = point;
        let sample = Sample { step, at, value };
        match self.0.get_mut(&*key) {
            Some(ranks) => ranks.entry(rank).or_default().push(sample),
            None => drop(self.0.insert(key.into_owned(), [(rank, vec![sample])].into())),
        }
    }

    /// `None` = there are no points.
    pub fn encode(&self) -> Option<Vec<u8>> {
        if self.0.is_empty() {
            return None;
        }
        let mut to = MAGIC.to_vec();
        to.extend([0; 4]);
        for (key, ranks) in &self.0 {
            for (rank, samples) in ranks {
                to.extend(u16::try_from(key.len()).expect("keys are short").to_le_bytes());
                to.extend(key.as_bytes());
                to.extend(rank.to_le_bytes());
                to.extend(length(samples.len()));
                let begins = to.len();
                to.extend([0; 4]);
                column(&mut to, samples);
                fill(&mut to, begins);
            }
        }
        fill(&mut to, MAGIC.len());
        Some(to)
    }
}

/// Writes how many bytes came behind this place into it.
fn fill(to: &mut [u8], at: usize) {
    let behind = length(to.len() - at - 4);
    to[at..at + 4].copy_from_slice(&behind);
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).expect("a commit is small").to_le_bytes()
}

fn column(to: &mut Vec<u8>, samples: &[Sample]) {
    let is_all = |kind: fn(&Scalar) -> bool| samples.iter().all(|it| kind(&it.value));
    let kind = if is_all(|it| matches!(it, Scalar::Float(_))) {
        0
    } else if is_all(|it| matches!(it, Scalar::Int(_))) {
        1
    } else {
        2
    };
    to.push(kind);
    differences(to, samples.iter().map(|it| it.step.cast_signed()));
    differences(to, samples.iter().map(|it| it.at.0.cast_signed()));
    if kind == 1 {
        let int = |it: &Sample| if let Scalar::Int(int) = it.value { int } else { 0 };
        differences(to, samples.iter().map(int));
        return;
    }
    for Sample { value, .. } in samples {
        match value {
            Scalar::Float(float) if kind == 0 => to.extend(float.to_le_bytes()),
            value => tagged(to, value),
        }
    }
}

fn differences(to: &mut Vec<u8>, numbers: impl Iterator<Item = i64>) {
    let mut before = 0_i64;
    for number in numbers {
        put_signed(to, number.wrapping_sub(before));
        before = number;
    }
}

fn tagged(to: &mut Vec<u8>, value: &Scalar) {
    match value {
        Scalar::Bool(it) => to.push(u8::from(*it)),
        Scalar::Int(int) => {
            to.push(2);
            put_signed(to, *int);
        }
        Scalar::Float(float) => {
            to.push(3);
            to.extend(float.to_le_bytes());
        }
        Scalar::Text(text) | Scalar::BigInt(text) => {
            to.push(if matches!(value, Scalar::Text(_)) { 4 } else { 5 });
            put_unsigned(to, text.len() as u64);
            to.extend(text.as_bytes());
        }
    }
}

/// The bytes that follow the head of a block.
pub fn body_length(head: [u8; HEAD]) -> Result<usize, Damaged> {
    let (magic, length) = head.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(Damaged);
    }
    let length = u32::from_le_bytes(length.try_into().map_err(|_| Damaged)?);
    usize::try_from(length).map_err(|_| Damaged)
}

/// The points of one metric and rank in a block, as they lie there.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    pub key: &'a [u8],
    pub rank: u32,
    points: u32,
    data: &'a [u8],
}

impl Column<'_> {
    /// Adds its points to those that are there.
    pub fn read(&self, to: &mut Vec<Sample>) -> Result<(), Damaged> {
        decode(Cursor::new(self.data), self.points, to).ok_or(Damaged)
    }
}

/// Calls `visit` with every column in the body of a block.
pub fn columns<E: From<Damaged>>(
    body: &[u8],
    mut visit: impl FnMut(Column<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut from = Cursor::new(body);
    while !from.is_empty() {
        visit(column_at(&mut from).ok_or(Damaged)?)?;
    }
    Ok(())
}

fn column_at<'a>(from: &mut Cursor<'a>) -> Option<Column<'a>> {
    let bytes = from.u16()?;
    let key = from.take(usize::from(bytes))?;
    let (rank, points) = (from.u32()?, from.u32()?);
    let bytes = usize::try_from(from.u32()?).ok()?;
    Some(Column { key, rank, points, data: from.take(bytes)? })
}

fn decode(mut from: Cursor<'_>, points: u32, to: &mut Vec<Sample>) -> Option<()> {
    let kind = from.u8()?;
    let steps = sums(&mut from, points)?;
    let times = sums(&mut from, points)?;
    let mut values = match kind {
        1 => sums(&mut from, points)?.into_iter(),
        _ => Vec::new().into_iter(),
    };
    for (step, at) in steps.into_iter().zip(times) {
        let value = match kind {
            0 => Scalar::Float(from.f64()?),
            1 => Scalar::Int(values.next()?),
            2 => read_tagged(&mut from)?,
            _ => return None,
        };
        let (step, at) = (step.cast_unsigned(), Timestamp(at.cast_unsigned()));
        to.push(Sample { step, at, value });
    }
    from.is_empty().then_some(())
}

fn sums(from: &mut Cursor<'_>, points: u32) -> Option<Vec<i64>> {
    let mut last = 0_i64;
    let next = || {
        last = last.wrapping_add(from.signed()?);
        Some(last)
    };
    std::iter::repeat_with(next).take(usize::try_from(points).ok()?).collect()
}

fn read_tagged(from: &mut Cursor<'_>) -> Option<Scalar> {
    Some(match from.u8()? {
        tag @ (0 | 1) => Scalar::Bool(tag == 1),
        2 => Scalar::Int(from.signed()?),
        3 => Scalar::Float(from.f64()?),
        tag @ (4 | 5) => {
            let bytes = usize::try_from(from.unsigned()?).ok()?;
            let text = std::str::from_utf8(from.take(bytes)?).ok()?.to_owned();
            if tag == 4 { Scalar::Text(text) } else { Scalar::BigInt(text) }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(points: &[(&str, u32, u64, u64, Scalar)]) -> Vec<u8> {
        let mut block = Block::default();
        for (key, rank, step, at, value) in points.iter().cloned() {
            block.add(Point { key: key.into(), rank, step, at: Timestamp(at), value });
        }
        block.encode().unwrap()
    }

    fn found(block: &[u8], key: &str, rank: u32) -> Result<Vec<Sample>, Damaged> {
        let (head, body) = block.split_at(HEAD);
        assert_eq!(body_length(head.try_into().unwrap())?, body.len());
        find(body, key, rank)
    }

    fn find(body: &[u8], key: &str, rank: u32) -> Result<Vec<Sample>, Damaged> {
        let mut samples = Vec::new();
        columns(body, |it| match it.key == key.as_bytes() && it.rank == rank {
            true => it.read(&mut samples),
            false => Ok(()),
        })?;
        Ok(samples)
    }

    fn sample(step: u64, at: u64, value: Scalar) -> Sample {
        Sample { step, at: Timestamp(at), value }
    }

    #[test]
    fn every_column_comes_back_as_it_was_in_its_order() {
        let big = Scalar::BigInt("-99999999999999999999".into());
        let nan = Scalar::Float(f64::NAN);
        let block = block(&[
            ("loss", 0, 7, 1_790_000_000_123, Scalar::Float(0.25)),
            ("n", 0, 0, 5, Scalar::Int(i64::MIN)),
            ("loss", 0, 3, 1_790_000_000_100, nan.clone()),
            ("loss", 1, 3, 9, Scalar::Text("é".into())),
            ("n", 0, i64::MAX.cast_unsigned(), 0, Scalar::Int(i64::MAX)),
            ("loss", 1, 4, 9, big.clone()),
            ("loss", 1, 4, 9, Scalar::Bool(true)),
            ("loss", 1, 4, 9, Scalar::Float(-0.0)),
            ("loss", 1, 4, 9, Scalar::Int(-1)),
        ]);
        let loss =
            [sample(7, 1_790_000_000_123, Scalar::Float(0.25)), sample(3, 1_790_000_000_100, nan)];
        assert_eq!(found(&block, "loss", 0).unwrap(), loss);
        let mixed: Vec<_> =
            found(&block, "loss", 1).unwrap().into_iter().map(|it| it.value).collect();
        let expected = [
            Scalar::Text("é".into()),
            big,
            Scalar::Bool(true),
            Scalar::Float(-0.0),
            Scalar::Int(-1),
        ];
        assert_eq!(mixed, expected);
        let n = [
            sample(0, 5, Scalar::Int(i64::MIN)),
            sample(i64::MAX.cast_unsigned(), 0, Scalar::Int(i64::MAX)),
        ];
        assert_eq!(found(&block, "n", 0).unwrap(), n);
        assert_eq!(found(&block, "n", 1).unwrap(), []);
        assert!(Block::default().encode().is_none());
    }

    #[test]
    fn the_bytes_of_a_block_are_these_for_ever() {
        let block = block(&[
            ("a", 2, 1, 3, Scalar::Int(4)),
            ("a", 2, 2, 2, Scalar::Int(-300)),
            ("b", 0, 0, 0, Scalar::Float(1.0)),
        ]);
        let text: String = block.iter().map(|it| format!("{it:02x}")).collect();
        expect_test::expect!["4154533131000000010061020000000200000008000000010202060108df0401006200000000010000000b000000000000000000000000f03f"].assert_eq(&text);
    }

    #[test]
    fn what_is_damaged_is_an_error_wherever_it_is_cut_or_changed() {
        let block = block(&[
            ("loss", 0, 1, 3, Scalar::Text("x".into())),
            ("loss", 0, 1, 3, Scalar::Int(3)),
        ]);
        let body = &block[HEAD..];
        for end in 1..body.len() {
            assert_eq!(find(&body[..end], "loss", 0), Err(Damaged), "{end}");
        }
        for at in 0..body.len() {
            for change in [1, 0x80, 0xff] {
                let mut body = body.to_vec();
                body[at] ^= change;
                // Any answer will do but a panic or memory without end.
                let found = find(&body, "loss", 0).unwrap_or_default();
                assert!(found.len() <= 2);
            }
        }
        assert_eq!(body_length(*b"ATS2\0\0\0\0"), Err(Damaged));
    }
}
