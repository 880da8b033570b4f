//! What a bundle measures when it is unpacked, as it was counted when the bundle was verified. Nodes stop at these numbers when
//! they unpack, so nobody may make them up.
//!
//! They stand at the end of the stored file, in a frame that every zstd reader skips (RFC 8878, 3.1.2): file and numbers get their
//! name in one rename, and go together.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// A skippable frame of 16 bytes.
const HEAD: [u8; 8] = [0x50, 0x2a, 0x4d, 0x18, 16, 0, 0, 0];
const LENGTH: usize = HEAD.len() + 16;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    /// Of the archive, uncompressed.
    pub tar_bytes: u64,
    /// Files, folders and links.
    pub files: u64,
}

impl Measure {
    /// Behind whatever the client sent.
    pub(super) fn append(self, file: &mut File) -> io::Result<()> {
        let mut frame = [0; LENGTH];
        frame[..8].copy_from_slice(&HEAD);
        frame[8..16].copy_from_slice(&self.tar_bytes.to_le_bytes());
        frame[16..].copy_from_slice(&self.files.to_le_bytes());
        file.write_all(&frame)
    }

    /// Bytes of the file that the client sent: those before the frame.
    pub(super) fn sent(file: &File) -> io::Result<u64> {
        let all = file.metadata()?.len();
        let frame = if Self::read(file)?.is_some() { LENGTH as u64 } else { 0 };
        Ok(all - frame)
    }

    /// `None` = the file was put there by somebody else.
    pub(super) fn read(file: &File) -> io::Result<Option<Self>> {
        let Some(start) = file.metadata()?.len().checked_sub(LENGTH as u64) else {
            return Ok(None);
        };
        let mut frame = [0; LENGTH];
        file.read_exact_at(&mut frame, start)?;
        let (head, numbers) = frame.split_at(HEAD.len());
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
        Ok((head == HEAD)
            .then(|| Self { tar_bytes: number(&numbers[..8]), files: number(&numbers[8..]) }))
    }
}
