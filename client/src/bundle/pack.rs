//! A tree as one compressed file. Everything streams: memory does not grow with the files.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;

use atlas_core::BundleId;
use atlas_core::spec::Bundle;
use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};

use super::{Error, Kind, Tree, tar};

/// More costs time and saves next to nothing. Its window is 2 MiB; readers refuse more than 8.
const LEVEL: i32 = 3;
const BUFFER: usize = 256 << 10;

/// A bundle that has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    pub bundle: Bundle,
    /// Bytes of the compressed file.
    pub size: u64,
}

/// Writes a tree as a zstd-compressed archive. `progress` is told the bytes of the archive done so far, of
/// [`Tree::tar_size`].
pub fn pack(tree: &Tree, out: impl Write, progress: impl FnMut(u64)) -> Result<Packed, Error> {
    let mut encoder =
        zstd::Encoder::new(Counting { inner: out, written: 0 }, LEVEL).map_err(Error::Write)?;
    encoder.include_checksum(true).map_err(Error::Write)?;
    encoder.set_pledged_src_size(Some(tree.tar_size())).map_err(Error::Write)?;
    let bundle = archive(tree, &mut encoder, progress)?;
    let mut out = encoder.finish().map_err(Error::Write)?;
    out.flush().map_err(Error::Write)?;
    Ok(Packed { bundle, size: out.written })
}

/// Packs into a file without a name, which is gone when it is closed. The file stands at its beginning.
pub fn pack_to_temp(tree: &Tree, progress: impl FnMut(u64)) -> Result<(File, Packed), Error> {
    let temp = |source| Error::Temp { dir: std::env::temp_dir(), source };
    let mut file = tempfile::tempfile().map_err(temp)?;
    let packed = pack(tree, &mut file, progress).map_err(|error| match error {
        Error::Write(source) => temp(source),
        other => other,
    })?;
    io::Seek::rewind(&mut file).map_err(temp)?;
    Ok((file, packed))
}

/// The name of a tree without packing it: reads every file, compresses nothing. For a tree that the master most likely knows.
pub fn identify(tree: &Tree, progress: impl FnMut(u64)) -> Result<Bundle, Error> {
    archive(tree, io::sink(), progress)
}

/// Writes the archive and names it.
fn archive(tree: &Tree, out: impl Write, mut progress: impl FnMut(u64)) -> Result<Bundle, Error> {
    let hashing = Hashing { inner: out, digest: Sha256::new(), written: 0 };
    let mut out = BufWriter::with_capacity(BUFFER, hashing);
    let mut header = Vec::with_capacity(3 * tar::BLOCK);
    let mut done = 0;
    for entry in tree.entries() {
        header.clear();
        tar::write_header(entry, &mut header);
        out.write_all(&header).map_err(Error::Write)?;
        if let Kind::File { size, .. } = entry.kind {
            copy(tree.root().join(entry.path()), size, &mut out, |bytes| progress(done + bytes))?;
        }
        done += tar::size_of(entry);
        progress(done);
    }
    out.write_all(&vec![0; tar::end(done)]).map_err(Error::Write)?;
    let Hashing { digest, written, .. } =
        out.into_inner().map_err(|error| Error::Write(error.into_error()))?;
    let id = BundleId::from_sha256(digest.finalize().into());
    Ok(Bundle { id, tar_size: written, files: tree.entries().len() as u64 })
}

/// Copies a file that has to be exactly as long as it was when the tree was collected, since its header says so.
fn copy(
    path: PathBuf,
    size: u64,
    out: &mut impl Write,
    mut progress: impl FnMut(u64),
) -> Result<(), Error> {
    // Not a link that took the file's place, nor a pipe that nobody writes to.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = match rustix::fs::open(&path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::NOENT) => {
            return Err(Error::Changed { path });
        }
        Err(errno) => return Err(Error::Read { path, source: errno.into() }),
    };
    let mut buffer = [0; 32 << 10];
    let mut copied = 0;
    loop {
        let length = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(Error::Read { path, source }),
        };
        copied += length as u64;
        if copied > size {
            break;
        }
        out.write_all(&buffer[..length]).map_err(Error::Write)?;
        progress(copied);
    }
    if copied != size {
        return Err(Error::Changed { path });
    }
    out.write_all(&[0; tar::BLOCK][..tar::padding(size)]).map_err(Error::Write)
}

/// Hashes what passes through.
struct Hashing<W> {
    inner: W,
    digest: Sha256,
    written: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write_all(bytes)?;
        self.digest.update(bytes);
        self.written += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

struct Counting<W> {
    inner: W,
    written: u64,
}

impl<W: Write> Write for Counting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.inner.write(bytes)?;
        self.written += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
