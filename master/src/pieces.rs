//! Bytes from a channel, read as a file would be: the bridge from async streams to code that blocks.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

/// Reads what arrives; the end of the channel is the end of the file. Only for threads that may block.
pub struct Reader {
    from: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Reader {
    pub fn new(from: mpsc::Receiver<Bytes>) -> Self {
        Self { from, current: Bytes::new() }
    }
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.from.blocking_recv() {
                Some(piece) => self.current = piece,
                None => return Ok(0),
            }
        }
        let taken = into.len().min(self.current.len());
        self.current.copy_to_slice(&mut into[..taken]);
        Ok(taken)
    }
}
