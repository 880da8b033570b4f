//! The log's index, `log.idx`: which byte of the log came when. Pure, so that copies are read with the same code.
//!
//! The file is a row of records of 16 bytes, both numbers little-endian, both never decreasing:
//!
//! ```text
//! 0..8   at_ms    milliseconds since 1970 (wall clock)
//! 8..16  offset   the first byte of the log that came at that time
//! ```
//!
//! A record covers the bytes up to the next record's offset, or to the end of the log. Records are at least
//! [`SPACING_MS`] apart: what arrives sooner belongs to the record before it. An incomplete record at the end is one that is
//! just being written, and is ignored.

/// Bytes of one record.
pub const RECORD: usize = 16;
/// No two records are closer than this.
pub const SPACING_MS: u64 = 10;

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub at_ms: u64,
    pub offset: u64,
}

impl Entry {
    #[must_use]
    pub fn encode(self) -> [u8; RECORD] {
        let mut record = [0; RECORD];
        record[..8].copy_from_slice(&self.at_ms.to_le_bytes());
        record[8..].copy_from_slice(&self.offset.to_le_bytes());
        record
    }

    #[must_use]
    pub fn decode(record: &[u8; RECORD]) -> Self {
        let (at, offset) = record.split_at(8);
        let number = |bytes: &[u8]| {
            u64::from_le_bytes(bytes.try_into().expect("half of a record is 8 bytes"))
        };
        Self { at_ms: number(at), offset: number(offset) }
    }
}

/// A whole index in memory.
#[derive(Clone, Copy)]
pub struct Index<'a>(&'a [[u8; RECORD]]);

impl<'a> Index<'a> {
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.as_chunks().0)
    }

    pub fn entries(&self) -> impl Iterator<Item = Entry> + 'a {
        self.0.iter().map(Entry::decode)
    }

    /// Where later batches begin than the one of this byte.
    pub fn offsets_after(&self, offset: u64) -> impl Iterator<Item = u64> + 'a {
        let before = self.0.partition_point(|record| Entry::decode(record).offset <= offset);
        self.0[before..].iter().map(|record| Entry::decode(record).offset)
    }

    /// The first byte that came at `at_ms` or later; `None` when all came before.
    #[must_use]
    pub fn offset_at(&self, at_ms: u64) -> Option<u64> {
        let before = self.0.partition_point(|record| Entry::decode(record).at_ms < at_ms);
        self.0.get(before).map(|record| Entry::decode(record).offset)
    }

    /// When the byte at `offset` came; `None` when the index begins after it.
    #[must_use]
    pub fn time_of(&self, offset: u64) -> Option<u64> {
        let after = self.0.partition_point(|record| Entry::decode(record).offset <= offset);
        after.checked_sub(1).map(|last| Entry::decode(&self.0[last]).at_ms)
    }
}

/// Decides which batches of bytes get a record of their own.
#[derive(Default)]
pub struct Writer {
    last: Option<u64>,
}

impl Writer {
    /// Goes on behind this record.
    #[must_use]
    pub fn after(last: Entry) -> Self {
        Self { last: Some(last.at_ms) }
    }

    /// To be called for each batch with its first byte's offset. A wall clock that was set back stands still here.
    pub fn batch(&mut self, at_ms: u64, offset: u64) -> Option<Entry> {
        match self.last {
            Some(last) if at_ms < last.saturating_add(SPACING_MS) => None,
            _ => {
                self.last = Some(at_ms);
                Some(Entry { at_ms, offset })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Vec<u8> {
        let entries = [(100, 0), (110, 7), (500, 7000)];
        entries.iter().flat_map(|&(at_ms, offset)| Entry { at_ms, offset }.encode()).collect()
    }

    #[test]
    fn a_record_is_sixteen_bytes_in_little_endian() {
        let record = Entry { at_ms: 0x0102, offset: 0x0304 }.encode();
        assert_eq!(record, [2, 1, 0, 0, 0, 0, 0, 0, 4, 3, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Entry::decode(&record), Entry { at_ms: 0x0102, offset: 0x0304 });
    }

    #[test]
    fn times_lead_to_offsets_and_back() {
        let bytes = index();
        let index = Index::new(&bytes);
        let offsets: Vec<_> = [0, 100, 101, 500, 501].map(|at| index.offset_at(at)).into();
        assert_eq!(offsets, [Some(0), Some(0), Some(7), Some(7000), None]);
        let times: Vec<_> = [0, 6, 7, 6999, 7000, 9999].map(|it| index.time_of(it)).into();
        assert_eq!(times, [Some(100), Some(100), Some(110), Some(110), Some(500), Some(500)]);
    }

    #[test]
    fn an_incomplete_record_at_the_end_is_ignored() {
        let mut bytes = index();
        bytes.extend([1, 2, 3]);
        assert_eq!(Index::new(&bytes).entries().count(), 3);
        assert_eq!(Index::new(&[]).offset_at(0), None);
        assert_eq!(Index::new(&[]).time_of(0), None);
    }

    #[test]
    fn batches_close_together_share_a_record_and_time_never_goes_back() {
        let mut writer = Writer::default();
        let batches = [(1000, 0), (1009, 10), (1010, 20), (900, 30), (1019, 40), (1020, 50)];
        let kept: Vec<_> =
            batches.iter().filter_map(|&(at, offset)| writer.batch(at, offset)).collect();
        let offsets: Vec<_> = kept.iter().map(|it| it.offset).collect();
        assert_eq!(offsets, [0, 20, 50]);
        assert!(kept.is_sorted_by_key(|it| it.at_ms));
        let mut writer = Writer::after(kept[2]);
        assert_eq!(writer.batch(1025, 60), None);
        assert_eq!(writer.batch(1030, 70), Some(Entry { at_ms: 1030, offset: 70 }));
    }
}
