//! Reading a finished log from the shared storage, piece by piece.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use atlas_core::log_index::Index;
use atlas_proto::CHUNK;
use bytes::Bytes;

/// Bytes of an index that are looked at: two months of a line each second, or 17 hours of printing without pause.
const LARGEST_INDEX: u64 = 96 << 20;

/// A log file, opened without following a link.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW.bits();
    File::options()
        .read(true)
        .custom_flags(i32::try_from(flags).expect("flags are an int"))
        .open(path)
}

/// A log on its way to a reader: nothing is held between two pieces but the open file.
pub struct Pieces {
    file: File,
    offset: u64,
    end: u64,
    /// Empty where nobody asks for times.
    index: Vec<u8>,
}

/// Bytes that came at one time, if times are known.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    pub offset: u64,
    pub data: Bytes,
    pub at_ms: u64,
}

impl Pieces {
    /// The bytes from `offset` up to `end`; with an index, a piece has the time of its first byte.
    pub fn new(mut file: File, offset: u64, end: u64, index: Vec<u8>) -> io::Result<Self> {
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self { file, offset, end, index })
    }

    /// The next ones, together no more than a chunk; none at the end.
    pub fn read(&mut self) -> io::Result<Vec<Piece>> {
        let most = usize::try_from(self.end.saturating_sub(self.offset)).unwrap_or(CHUNK);
        let mut data = vec![0; most.min(CHUNK)];
        let read = self.file.read(&mut data)?;
        data.truncate(read);
        let (mut data, start) = (Bytes::from(data), self.offset);
        self.offset += read as u64;
        let index = Index::new(&self.index);
        let cuts = index.offsets_after(start).take_while(|it| *it < self.offset);
        let mut pieces = Vec::new();
        let mut offset = start;
        for end in cuts.chain([self.offset]) {
            let length = usize::try_from(end - offset).expect("no longer than what was read");
            if length > 0 {
                let at_ms = index.time_of(offset).unwrap_or_default();
                pieces.push(Piece { offset, data: data.split_to(length), at_ms });
            }
            offset = end;
        }
        Ok(pieces)
    }
}

/// When the bytes of a log came. An index that is not there or too large to hold says nothing.
pub fn index(log: &Path) -> Vec<u8> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        open(&log.with_extension("idx"))?.take(LARGEST_INDEX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().unwrap_or_default()
}

/// Where the last `lines` lines before `end` begin.
pub fn tail_start(file: &mut File, end: u64, lines: u64) -> io::Result<u64> {
    let mut buffer = vec![0; 64 * 1024];
    let mut wanted = lines;
    let mut at = end;
    if lines == 0 {
        return Ok(end);
    }
    while at > 0 {
        let step = at.min(buffer.len() as u64);
        let piece = &mut buffer[..usize::try_from(step).expect("no longer than the buffer")];
        file.seek(SeekFrom::Start(at - step))?;
        file.read_exact(piece)?;
        for (index, byte) in piece.iter().enumerate().rev() {
            let after = at - step + index as u64 + 1;
            // The newline that ends the last line does not begin another.
            if *byte == b'\n' && after != end {
                wanted -= 1;
                if wanted == 0 {
                    return Ok(after);
                }
            }
        }
        at -= step;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use atlas_core::log_index::Entry;

    use super::*;

    fn tail(text: &str, lines: u64) -> String {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let end = text.len() as u64;
        let start = tail_start(&mut file, end, lines).unwrap();
        text[usize::try_from(start).unwrap()..].to_owned()
    }

    #[test]
    fn the_tail_begins_at_a_line() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(tail("a\nb\nc", 1), "c");
        assert_eq!(tail("a\nb\nc\n", 9), "a\nb\nc\n");
        assert_eq!(tail("a\n", 0), "");
        assert_eq!(tail("", 3), "");
        let long = "x".repeat(100_000) + "\n" + &"y".repeat(70_000);
        assert_eq!(tail(&long, 1), "y".repeat(70_000));
    }

    #[test]
    fn a_log_is_read_in_pieces_of_one_time_up_to_its_end() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![b'z'; CHUNK + 10]).unwrap();
        let entries = [(100, 3), (200, 9), (300, CHUNK as u64 + 6)];
        let index = entries.map(|(at_ms, offset)| Entry { at_ms, offset }.encode()).concat();
        let mut pieces = Pieces::new(file, 5, CHUNK as u64 + 8, index).unwrap();
        let mut next = || {
            let pieces = pieces.read().unwrap().into_iter();
            pieces.map(|it| (it.offset, it.data.len(), it.at_ms)).collect::<Vec<_>>()
        };
        assert_eq!(next(), [(5, 4, 100), (9, CHUNK - 4, 200)]);
        let rest = CHUNK as u64 + 5;
        assert_eq!(next(), [(rest, 1, 200), (rest + 1, 2, 300)]);
        assert_eq!(next(), []);
    }
}
