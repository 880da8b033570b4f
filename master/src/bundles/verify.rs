//! Reading a compressed archive that nobody vouches for: small windows, a limit on what comes out, and the hash of it.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};

use atlas_core::BundleId;
use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::framing::Framing;
use super::{Error, Measure};

/// The largest window, as a power of two: 8 MiB.
const WINDOW_LOG: u32 = 23;
const LEVEL: i32 = 3;
const BUFFER: usize = 128 << 10;

/// How a bundle came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Zstd,
    Gzip,
}

impl Compression {
    pub(super) fn of(file: &mut File) -> Result<Self, Error> {
        let mut magic = [0; 4];
        let length = super::read_full(file, &mut magic)
            .and_then(|it| file.rewind().map(|()| it))
            .map_err(failed)?;
        match &magic[..length] {
            [0x28, 0xb5, 0x2f, 0xfd] => Ok(Self::Zstd),
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            _ => Err(Error::NotABundle("neither zstd nor gzip")),
        }
    }
}

/// Reads a zstd file to its end.
pub(super) fn check(file: &File, id: BundleId, most: u64) -> Result<Measure, Error> {
    read_all(zstd_of(file).map_err(failed)?, id, most, io::sink())
}

/// Reads a gzip file to its end and writes it again as zstd.
pub(super) fn convert(file: &File, id: BundleId, most: u64, to: &File) -> Result<Measure, Error> {
    let mut encoder = zstd::Encoder::new(to, LEVEL).map_err(failed)?;
    encoder.include_checksum(true).map_err(failed)?;
    let gzip = MultiGzDecoder::new(BufReader::with_capacity(BUFFER, file));
    let measure = read_all(gzip, id, most, &mut encoder)?;
    encoder.finish().map_err(failed)?;
    Ok(measure)
}

/// The archive of a stored bundle. What is no bundle is an error while it is read.
pub struct TarReader {
    inner: zstd::Decoder<'static, BufReader<File>>,
    framing: Framing,
}

impl TarReader {
    pub(super) fn new(file: File) -> io::Result<Self> {
        Ok(Self { inner: zstd_of(file)?, framing: Framing::new() })
    }
}

impl Read for TarReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.framing.feed(&buffer[..length]).map_err(io::Error::other)?;
        Ok(length)
    }
}

fn zstd_of<R: Read>(file: R) -> io::Result<zstd::Decoder<'static, BufReader<R>>> {
    let mut decoder = zstd::Decoder::new(file)?;
    decoder.window_log_max(WINDOW_LOG)?;
    Ok(decoder)
}

fn read_all(
    mut from: impl Read,
    id: BundleId,
    most: u64,
    mut to: impl Write,
) -> Result<Measure, Error> {
    let (mut digest, mut framing, mut total) = (Sha256::new(), Framing::new(), 0);
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = super::read_full(&mut from, &mut buffer).map_err(failed)?;
        total += length as u64;
        if total > most {
            return Err(Error::TooLargeUnpacked { limit: most });
        }
        digest.update(&buffer[..length]);
        framing.feed(&buffer[..length]).map_err(Error::NotABundle)?;
        to.write_all(&buffer[..length]).map_err(failed)?;
        if length < buffer.len() {
            break;
        }
    }
    let files = framing.end().map_err(Error::NotABundle)?;
    match BundleId::from_sha256(digest.finalize().into()) {
        found if found == id => Ok(Measure { tar_bytes: total, files }),
        found => Err(Error::Mismatch { expected: id, found }),
    }
}

/// What the system says is of the storage, everything else of what was sent.
fn failed(error: io::Error) -> Error {
    match error.raw_os_error() {
        Some(_) => Error::Check(error),
        None => Error::Decompress(error),
    }
}
