//! The job's log and its index.
//!
//! A disk that takes no more does not stop the job: what cannot be written is dropped and counted, and the log says so where
//! the hole is as soon as it can be written again.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;

use super::{Control, Error, index, wall_now};

pub struct Log {
    file: OwnedFd,
    /// Made with the first byte: many jobs print nothing.
    index: Option<OwnedFd>,
    writer: index::Writer,
    records: u64,
    length: u64,
    lost: u64,
    /// Lost since the last byte that was written.
    hole: u64,
    at_line_start: bool,
}

impl Log {
    /// Goes on behind what the agent wrote while it prepared the job.
    pub fn new(control: &Control) -> Result<Self, Error> {
        let (file, length) = control.open_or_create("log")?;
        Ok(Self {
            file,
            index: None,
            writer: index::Writer::default(),
            records: 0,
            length,
            lost: 0,
            hole: 0,
            at_line_start: true,
        })
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
            if let Some(entry) = self.writer.batch(wall_now(), self.length) {
                self.record(control, entry);
            }
            self.length += written as u64;
            self.at_line_start = bytes[written - 1] == b'\n';
        }
        written
    }

    /// A record that cannot be written is left out: times get coarser, nothing else.
    fn record(&mut self, control: &Control, entry: index::Entry) {
        if self.index.is_none() {
            let Ok((file, length)) = control.open_or_create("log.idx") else { return };
            self.records = length / index::RECORD as u64;
            self.index = Some(file);
        }
        let Some(file) = &self.index else { return };
        let at = self.records * index::RECORD as u64;
        if rustix::io::pwrite(file.as_fd(), &entry.encode(), at) == Ok(index::RECORD) {
            self.records += 1;
        }
    }
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
}
