//! The job's log and its index.
//!
//! A disk that takes no more does not stop the job: what cannot be written is dropped and counted, and the log says so where
//! the hole is as soon as it can be written again.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;

use super::{Control, Error, wall_now};
use atlas_core::log_index::{self as index, Entry};

pub struct Log {
    file: OwnedFd,
    index: Index,
    length: u64,
    lost: u64,
    /// Lost since the last byte that was written.
    hole: u64,
    at_line_start: bool,
}

enum Index {
    /// Opened with the first byte: many jobs print nothing.
    Unopened,
    Open {
        file: OwnedFd,
        writer: index::Writer,
        records: u64,
    },
    /// It cannot be written: the log goes on without times.
    Absent,
}

impl Log {
    /// Goes on behind what the agent wrote while it prepared the job.
    pub fn new(control: &Control) -> Result<Self, Error> {
        let (file, length) = control.open_or_create("log")?;
        let at_line_start = length == 0 || last_bytes::<1>(&file, length) == Some(*b"\n");
        Ok(Self { file, index: Index::Unopened, length, lost: 0, hole: 0, at_line_start })
    }

    /// Bytes in the file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Bytes that did not fit on the disk.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The job's own bytes, as they came.
    pub fn append(&mut self, control: &Control, bytes: &[u8]) {
        if self.hole > 0 {
            let hole = self.hole;
            let text = format!("\natlas: {hole} bytes of the log are missing, the disk was full\n");
            if self.write(control, text.as_bytes()) < text.len() {
                self.lose(bytes.len());
                return;
            }
            self.hole = 0;
        }
        let written = self.write(control, bytes);
        self.lose(bytes.len() - written);
    }

    /// A line of the supervisor itself.
    pub fn note(&mut self, control: &Control, text: &str) {
        let line_end = if self.at_line_start { "" } else { "\n" };
        self.append(control, format!("{line_end}atlas: {text}\n").as_bytes());
    }

    fn lose(&mut self, bytes: usize) {
        self.hole += bytes as u64;
        self.lost += bytes as u64;
    }

    /// Writes what can be written and returns how much that was.
    fn write(&mut self, control: &Control, bytes: &[u8]) -> usize {
        let mut written = 0;
        while written < bytes.len() {
            match rustix::io::write(&self.file, &bytes[written..]) {
                Ok(count) => written += count,
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        if written > 0 {
            self.index.note(control, wall_now(), self.length);
            self.length += written as u64;
            self.at_line_start = bytes[written - 1] == b'\n';
        }
        written
    }
}

impl Index {
    /// A record that cannot be written is left out: times get coarser, nothing else.
    fn note(&mut self, control: &Control, at_ms: u64, offset: u64) {
        if let Self::Unopened = self {
            *self = Self::open(control);
        }
        let Self::Open { file, writer, records } = self else { return };
        let Some(entry) = writer.batch(at_ms, offset) else { return };
        let at = *records * index::RECORD as u64;
        if rustix::io::pwrite(file.as_fd(), &entry.encode(), at) == Ok(index::RECORD) {
            *records += 1;
        }
    }

    fn open(control: &Control) -> Self {
        let Ok((file, length)) = control.open_or_create("log.idx") else { return Self::Absent };
        let records = length / index::RECORD as u64;
        let last = last_bytes(&file, records * index::RECORD as u64);
        let writer =
            last.map_or_else(index::Writer::default, |it| index::Writer::after(Entry::decode(&it)));
        Self::Open { file, writer, records }
    }
}

/// The last bytes of a file of this length.
fn last_bytes<const COUNT: usize>(file: &OwnedFd, length: u64) -> Option<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    let read = rustix::io::pread(file, &mut bytes, length.checked_sub(COUNT as u64)?);
    (read == Ok(COUNT)).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_loses_bytes_but_counts_them_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let control = Control::open(dir.path()).unwrap();
        let mut log = Log::new(&control).unwrap();
        log.append(&control, b"before");
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let file = std::mem::replace(&mut log.file, full.into());
        log.append(&control, b"dropped");
        assert_eq!((log.length(), log.lost()), (6, 7));
        log.append(&control, b"and more");
        log.file = file;
        log.append(&control, b"after");
        let text = std::fs::read_to_string(dir.path().join("log")).unwrap();
        assert_eq!(
            text,
            "before\natlas: 15 bytes of the log are missing, the disk was full\nafter"
        );
        assert_eq!((log.length(), log.lost()), (text.len() as u64, 15));
    }

    #[test]
    fn a_note_begins_on_a_line_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let control = Control::open(dir.path()).unwrap();
        let mut log = Log::new(&control).unwrap();
        log.note(&control, "first");
        log.append(&control, b"no newline");
        log.note(&control, "second");
        let text = std::fs::read_to_string(dir.path().join("log")).unwrap();
        assert_eq!(text, "atlas: first\nno newline\natlas: second\n");
    }

    #[test]
    fn a_log_that_the_agent_began_is_continued_with_its_index() {
        let dir = tempfile::tempdir().unwrap();
        let control = Control::open(dir.path()).unwrap();
        std::fs::write(dir.path().join("log"), "pulled").unwrap();
        let begun = Entry { at_ms: 5, offset: 0 };
        std::fs::write(dir.path().join("log.idx"), begun.encode()).unwrap();
        let mut log = Log::new(&control).unwrap();
        log.note(&control, "a line");
        assert_eq!(std::fs::read(dir.path().join("log")).unwrap(), b"pulled\natlas: a line\n");
        assert_eq!(log.length(), 21);
        let bytes = std::fs::read(dir.path().join("log.idx")).unwrap();
        let entries: Vec<Entry> = index::Index::new(&bytes).entries().collect();
        assert_eq!((entries[0], entries[1].offset, entries.len()), (begun, 6, 2));
    }
}
