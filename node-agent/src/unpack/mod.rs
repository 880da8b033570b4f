//! A bundle into a work directory, and later what the job made of it.
//!
//! Nothing in a bundle is believed (`docs/using/bundle-format.md` is what it should be): names are taken apart before anything
//! is made, every folder is held open and its entries are made relative to it without following a link, links come last, and
//! the whole has to have the hash that it is called by. After an error the directory is gone.

mod entries;
mod error;
mod folders;
mod outputs;
mod snapshot;

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use atlas_core::BundleId;
use atlas_core::spec::Bundle;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use sha2::{Digest, Sha256};

use entries::{Entries, Entry, Kind, path};
use folders::Folders;

pub use error::{Error, Refusal};
pub use outputs::{Exclude, LeftBehind, Limits, Output, OutputKind, Outputs, Reason, changed};
pub use snapshot::Snapshot;

/// The largest window, as a power of two: 8 MiB. What a bundle may cost its reader.
const WINDOW_LOG: u32 = 23;
const BUFFER: usize = 128 << 10;
/// Links wait in memory until everything else is there.
const MAX_LINK_BYTES: usize = 64 << 20;

/// Whom the files shall belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// Makes `dest`, which must not be there yet, with the files of a zstd-compressed bundle. Returns what is needed to tell later
/// which files a job changed.
pub fn unpack(
    bundle: impl Read,
    expected: &Bundle,
    dest: &Path,
    owner: Option<Owner>,
) -> Result<Snapshot, Error> {
    fs::create_dir(dest).map_err(|source| Error::Write { path: dest.to_owned(), source })?;
    fill(bundle, expected, dest, owner).inspect_err(|_| crate::trash::discard(dest))
}

fn fill(
    bundle: impl Read,
    expected: &Bundle,
    dest: &Path,
    owner: Option<Owner>,
) -> Result<Snapshot, Error> {
    let write = |source| Error::Write { path: dest.to_owned(), source };
    let root = open_root(dest).map_err(write)?;
    let snapshot = Snapshot::begin(&root).map_err(write)?;
    let mut writer = Writer { dest, folders: Folders::new(root), owner, snapshot };
    writer.own(writer.folders.root(), 0o755).map_err(write)?;

    let mut decoder = zstd::Decoder::new(bundle).map_err(Error::Read)?;
    decoder.window_log_max(WINDOW_LOG).map_err(Error::Read)?;
    let checked = Checked { inner: decoder, digest: Sha256::new(), left: Some(expected.tar_size) };
    let mut entries = Entries::new(BufReader::with_capacity(BUFFER, checked), expected.files);
    let read = writer.write_all(&mut entries).and_then(|links| entries.end().map(|()| links));
    // Whatever is wrong in a file that is not the bundle says nothing about the bundle.
    let found = match read {
        Ok(_) | Err(Error::Refused { .. }) => {
            entries.into_rest().ok().map(|it| it.into_inner().id())
        }
        Err(_) => None,
    };
    if let Some(found) = found.filter(|it| *it != expected.id) {
        return Err(Error::Damaged { expected: expected.id, found });
    }
    for link in read? {
        writer.link(&link)?;
    }
    writer.snapshot.end(writer.folders.root()).map_err(write)
}

fn open_root(dest: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(dest, flags, Mode::empty())?)
}

/// Makes files, folders and links below a directory.
struct Writer<'a> {
    dest: &'a Path,
    folders: Folders,
    owner: Option<Owner>,
    snapshot: Snapshot,
}

impl Writer<'_> {
    /// Makes all files and folders; returns the links.
    fn write_all(&mut self, entries: &mut Entries<impl BufRead>) -> Result<Vec<Entry>, Error> {
        let mut links = Vec::new();
        let mut link_bytes = 0;
        while let Some(entry) = entries.next()? {
            match entry.kind {
                Kind::Folder => self.folder(&entry.name)?,
                Kind::File { size, executable } => {
                    let file = self.create(&entry.name)?;
                    entries.content(size, |bytes| {
                        (&file).write_all(bytes).map_err(|source| self.error(&entry.name, source))
                    })?;
                    self.finish_file(&entry.name, &file, executable)?;
                }
                Kind::Link { ref target } => {
                    self.folders
                        .parent_of(&entry.name)
                        .map_err(|why| Error::refused(&entry.name, why))?;
                    link_bytes += entry.name.len() + target.len();
                    if link_bytes > MAX_LINK_BYTES {
                        return Err(Error::refused(&entry.name, Refusal::TooManyLinks));
                    }
                    links.push(entry);
                }
            }
        }
        Ok(links)
    }

    fn folder(&mut self, name: &[u8]) -> Result<(), Error> {
        let (parent, last) =
            self.folders.parent_of(name).map_err(|why| Error::refused(name, why))?;
        let made = rustix::fs::mkdirat(parent, last, Mode::from(0o700)).and_then(|()| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(parent, last, flags, Mode::empty())
        });
        let folder = made.map_err(|errno| self.error(name, errno.into()))?;
        self.own(folder.as_fd(), 0o755).map_err(|source| self.error(name, source))?;
        self.folders.push(name, folder).map_err(|why| Error::refused(name, why))
    }

    fn create(&mut self, name: &[u8]) -> Result<File, Error> {
        let (parent, last) =
            self.folders.parent_of(name).map_err(|why| Error::refused(name, why))?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(parent, last, flags, Mode::from(0o600)) {
            Ok(file) => Ok(file.into()),
            Err(errno) => Err(self.error(name, errno.into())),
        }
    }

    fn finish_file(&self, name: &[u8], file: &File, executable: bool) -> Result<(), Error> {
        // Not the mode that the archive says: of it only whether the file is a program.
        let done = self
            .own(file.as_fd(), if executable { 0o755 } else { 0o644 })
            .and_then(|()| self.snapshot.stamp(file));
        done.map_err(|source| self.error(name, source))
    }

    /// Gives a file or folder its owner and its mode, whatever the umask is.
    fn own(&self, file: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
        if let Some(Owner { uid, gid }) = self.owner {
            rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        Ok(rustix::fs::fchmod(file, Mode::from(mode))?)
    }

    fn link(&mut self, link: &Entry) -> Result<(), Error> {
        let Entry { name, kind: Kind::Link { target } } = link else { return Ok(()) };
        let (owner, snapshot) = (self.owner, self.snapshot);
        let made = self.folders.reopen_parent_of(name).and_then(|(parent, last)| {
            rustix::fs::symlinkat(target.as_slice(), parent, last)?;
            if let Some(Owner { uid, gid }) = owner {
                let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
                rustix::fs::chownat(parent, last, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            snapshot.stamp_link(parent, last)
        });
        made.map_err(|source| self.error(name, source))
    }

    /// A name that is there already was made by an earlier entry, since the directory was empty.
    fn error(&self, name: &[u8], source: io::Error) -> Error {
        if source.kind() == io::ErrorKind::AlreadyExists {
            return Error::refused(name, Refusal::Twice);
        }
        Error::Write { path: self.dest.join(path(name)), source }
    }
}

/// Hashes what is read and lets no more through than was declared.
struct Checked<R> {
    inner: R,
    digest: Sha256,
    /// None once it was too much.
    left: Option<u64>,
}

impl<R> Checked<R> {
    fn id(self) -> BundleId {
        BundleId::from_sha256(self.digest.finalize().into())
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = match self.left {
            Some(_) => self.inner.read(buffer)?,
            None => 0,
        };
        self.left = self.left.and_then(|left| left.checked_sub(length as u64));
        if self.left.is_none() {
            return Err(io::Error::other(Refusal::TooManyBytes));
        }
        self.digest.update(&buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests;
