//! Reading a finished log from the shared storage, piece by piece.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

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

/// Hands the bytes from `from` up to `end` to `sink` in order, with the offset of each piece; ends early when `sink` says so.
/// No piece goes beyond one of `cuts`, which are in order.
pub fn read(
    file: &mut File,
    from: u64,
    end: u64,
    cuts: &mut dyn Iterator<Item = u64>,
    sink: &mut dyn FnMut(u64, Bytes) -> bool,
) -> io::Result<()> {
    let mut cut = cuts.next();
    file.seek(SeekFrom::Start(from))?;
    let mut offset = from;
    let mut buffer = vec![0; CHUNK];
    while offset < end {
        while cut.is_some_and(|it| it <= offset) {
            cut = cuts.next();
        }
        let stop = cut.unwrap_or(end).min(end);
        let most = usize::try_from(stop - offset).unwrap_or(CHUNK).min(CHUNK);
        let read = file.read(&mut buffer[..most])?;
        if read == 0 || !sink(offset, Bytes::copy_from_slice(&buffer[..read])) {
            return Ok(());
        }
        offset += read as u64;
    }
    Ok(())
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
    fn a_log_is_read_in_pieces_up_to_its_end() {
        let mut file = tempfile::tempfile().unwrap();
        let text = vec![b'z'; CHUNK + 10];
        file.write_all(&text).unwrap();
        let mut pieces = Vec::new();
        read(&mut file, 5, CHUNK as u64 + 8, &mut [3, 9].into_iter(), &mut |offset, piece| {
            pieces.push((offset, piece.len()));
            true
        })
        .unwrap();
        assert_eq!(pieces, [(5, 4), (9, CHUNK - 1)]);
    }
}
