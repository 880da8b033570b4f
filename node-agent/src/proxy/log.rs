//! A log as a stream: from where, in chunks, and on with it as it grows.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use atlas_proto::CHUNK;
use atlas_proto::wire::{LogChunk, ReadLogRequest};
use tokio::sync::mpsc::Sender;
use tonic::Status;

use crate::driver::View;
use crate::logs::LogState;
use crate::paths::{LOG, LOG_INDEX};
use atlas_core::log_index::{Entry, RECORD};

/// Where a reader wants to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    Offset(u64),
    Time(u64),
    Lines(u64),
}

/// Sends what is asked for until it is all sent or nobody wants it any more.
pub(super) async fn read(
    view: View,
    request: ReadLogRequest,
    chunks: Sender<Result<LogChunk, Status>>,
) {
    if let Err(status) = try_read(view, request, &chunks).await {
        // A reader that is gone needs no reason.
        let _ = chunks.send(Err(status)).await;
    }
}

async fn try_read(
    mut view: View,
    request: ReadLogRequest,
    chunks: &Sender<Result<LogChunk, Status>>,
) -> Result<(), Status> {
    let since = since(&request)?;
    let Some(log) = open(&mut view, request.follow, chunks).await? else { return Ok(()) };
    let log = Arc::new(log);
    let mut state = *view.log.borrow_and_update();
    let mut offset = {
        let log = log.clone();
        blocking(move || log.begin(since, state.length)).await?
    };
    loop {
        while offset < state.length {
            let log = log.clone();
            let chunk =
                blocking(move || log.chunk(offset, state.length, request.timestamps)).await?;
            offset += chunk.data.len() as u64;
            if chunks.send(Ok(chunk)).await.is_err() {
                return Ok(());
            }
        }
        if state.ended || !request.follow || !grown(&mut view, chunks).await {
            return Ok(());
        }
        state = *view.log.borrow_and_update();
    }
}

/// Waits for more; false when there will be none, or nobody to read it.
async fn grown(view: &mut View, chunks: &Sender<Result<LogChunk, Status>>) -> bool {
    tokio::select! {
        changed = view.log.changed() => changed.is_ok(),
        () = chunks.closed() => false,
    }
}

/// The log, as soon as there is one. `None` = there never will be, or nobody waits any longer.
async fn open(
    view: &mut View,
    follow: bool,
    chunks: &Sender<Result<LogChunk, Status>>,
) -> Result<Option<Log>, Status> {
    loop {
        let LogState { length, ended } = *view.log.borrow_and_update();
        if length > 0 {
            let dir = view.dir.clone();
            let opened = blocking(move || {
                let log = dir.open(Path::new(LOG))?;
                Ok(Log { log, index: dir.open(Path::new(LOG_INDEX)).ok() })
            });
            return opened.await.map(Some);
        }
        if ended || !follow || !grown(view, chunks).await {
            return Ok(None);
        }
    }
}

fn since(request: &ReadLogRequest) -> Result<Since, Status> {
    match (request.since_offset, request.since_ms, request.tail_lines) {
        (None, None, None) => Ok(Since::Offset(0)),
        (Some(offset), None, None) => Ok(Since::Offset(offset)),
        (None, Some(at_ms), None) => Ok(Since::Time(at_ms)),
        (None, None, Some(lines)) => Ok(Since::Lines(lines)),
        _ => Err(Status::invalid_argument("at most one of since_offset, since_ms and tail_lines")),
    }
}

struct Log {
    log: File,
    index: Option<File>,
}

impl Log {
    fn begin(&self, since: Since, length: u64) -> io::Result<u64> {
        match since {
            Since::Offset(offset) => Ok(offset),
            Since::Lines(lines) => self.last_lines(lines, length),
            Since::Time(at_ms) => {
                let Some(index) = &self.index else { return Ok(0) };
                let before = partition_point(index, |entry| entry.at_ms < at_ms)?;
                // Nothing came since: only what comes from now on is wanted.
                Ok(entry(index, before)?.map_or(length, |it| it.offset))
            }
        }
    }

    /// Where the last lines begin. A last line without an end is a line.
    fn last_lines(&self, lines: u64, length: u64) -> io::Result<u64> {
        if lines == 0 {
            return Ok(length);
        }
        let (mut end, mut left) = (length, lines);
        let mut buffer = vec![0; CHUNK];
        while end > 0 {
            let start = end.saturating_sub(CHUNK as u64);
            let piece = &mut buffer[..usize::try_from(end - start).expect("at most a chunk")];
            self.log.read_exact_at(piece, start)?;
            for (at, _) in piece.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
                let after = start + at as u64 + 1;
                if after == length {
                    continue; // the end of the last line begins none
                }
                left -= 1;
                if left == 0 {
                    return Ok(after);
                }
            }
            end = start;
        }
        Ok(0)
    }

    /// The next piece. With times, all of its bytes came at the same one.
    fn chunk(&self, offset: u64, length: u64, timestamps: bool) -> io::Result<LogChunk> {
        let mut end = length.min(offset + CHUNK as u64);
        let mut at_ms = 0;
        if let (true, Some(index)) = (timestamps, &self.index) {
            let after = partition_point(index, |entry| entry.offset <= offset)?;
            if let Some(before) = after.checked_sub(1) {
                at_ms = entry(index, before)?.map_or(0, |it| it.at_ms);
            }
            if let Some(next) = entry(index, after)? {
                end = end.min(next.offset);
            }
        }
        let size = usize::try_from(end - offset).expect("at most a chunk");
        let mut data = vec![0; size];
        self.log.read_exact_at(&mut data, offset)?;
        Ok(LogChunk { offset, data: data.into(), at_ms, notice: String::new() })
    }
}

/// The first record for which `is_before` does not hold. The file may be longer than what memory should hold.
fn partition_point(index: &File, is_before: impl Fn(Entry) -> bool) -> io::Result<u64> {
    let (mut low, mut high) = (0, index.metadata()?.len() / RECORD as u64);
    while low < high {
        let middle = low + (high - low) / 2;
        match entry(index, middle)? {
            Some(it) if is_before(it) => low = middle + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

fn entry(index: &File, number: u64) -> io::Result<Option<Entry>> {
    let mut record = [0; RECORD];
    match index.read_exact_at(&mut record, number * RECORD as u64) {
        Ok(()) => Ok(Some(Entry::decode(&record))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Status> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => {
            done.map_err(|error| Status::internal(format!("could not read the log: {error}")))
        }
        Err(_) => Err(Status::unavailable("the node shuts down")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(text: &[u8], entries: &[(u64, u64)]) -> Log {
        let file = |bytes: &[u8]| {
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(bytes, 0).unwrap();
            file
        };
        let records: Vec<u8> =
            entries.iter().flat_map(|&(at_ms, offset)| Entry { at_ms, offset }.encode()).collect();
        Log { log: file(text), index: Some(file(&records)) }
    }

    #[test]
    fn the_last_lines_are_found_from_the_end() {
        let text = b"one\ntwo\nthree";
        let begin = |lines| log(text, &[]).begin(Since::Lines(lines), 13).unwrap();
        assert_eq!([0, 1, 2, 3, 9].map(begin), [13, 8, 4, 0, 0]);
        let ended = log(b"one\ntwo\n", &[]);
        assert_eq!(ended.begin(Since::Lines(1), 8).unwrap(), 4);
        let long = vec![b'x'; 3 * CHUNK];
        let text = [&b"a\n"[..], &long, b"\nb\n"].concat();
        let length = text.len() as u64;
        assert_eq!(log(&text, &[]).begin(Since::Lines(2), length).unwrap(), 2);
    }

    #[test]
    fn times_lead_to_offsets() {
        let log = log(b"0123456789", &[(100, 0), (200, 4), (300, 8)]);
        let begin = |at| log.begin(Since::Time(at), 10).unwrap();
        assert_eq!([0, 100, 101, 300, 301].map(begin), [0, 0, 4, 8, 10]);
    }

    #[test]
    fn a_chunk_with_a_time_holds_only_what_came_then() {
        let log = log(b"0123456789", &[(100, 0), (200, 4), (300, 8)]);
        let chunk = log.chunk(2, 10, true).unwrap();
        assert_eq!((&chunk.data[..], chunk.at_ms), (&b"23"[..], 100));
        let chunk = log.chunk(8, 10, true).unwrap();
        assert_eq!((&chunk.data[..], chunk.at_ms), (&b"89"[..], 300));
        let chunk = log.chunk(2, 10, false).unwrap();
        assert_eq!((chunk.data.len(), chunk.at_ms), (8, 0));
    }

    #[test]
    fn no_chunk_is_larger_than_a_message_should_be() {
        let text = vec![b'x'; CHUNK + 5];
        let chunk = log(&text, &[]).chunk(0, text.len() as u64, false).unwrap();
        assert_eq!(chunk.data.len(), CHUNK);
    }
}
