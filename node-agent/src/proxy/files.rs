//! The files of a job's directory, listed or as a tar, while the job may be changing them. No link is followed.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use atlas_proto::CHUNK;
use atlas_proto::wire::{FileEntry, FileKind, FilesChunk};
use atlas_runtime::names::Names;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use tokio::sync::mpsc::Sender;
use tonic::Status;

/// Folders within folders; each is held open.
const MAX_DEPTH: usize = 128;

/// A file, folder or link that was come across.
struct Found {
    path: PathBuf,
    meta: Stat,
    what: What,
}

enum What {
    File(File),
    Folder,
    Link(PathBuf),
}

/// Why a walk ended early.
enum Stop {
    /// Nobody takes what is found.
    Unwanted,
    Failed(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Errno> for Stop {
    fn from(error: Errno) -> Self {
        Self::Failed(error.into())
    }
}

/// Lists what is below `path` in `root`. Blocks as long as the reader does.
pub(super) fn list(root: &Path, path: &Path, entries: &Sender<Result<FileEntry, Status>>) {
    let send = |found: Found| entries.blocking_send(Ok(entry(&found))).map_err(|_| Stop::Unwanted);
    if let Err(Stop::Failed(error)) = walk(root, path, send) {
        let _ = entries.blocking_send(Err(status(path, &error))); // who is gone needs no reason
    }
}

/// A tar of what is below `path` in `root`. Blocks as long as the reader does.
pub(super) fn read(root: &Path, path: &Path, chunks: &Sender<Result<FilesChunk, Status>>) {
    let mut tar = tar::Builder::new(Chunks { chunks, buffer: Vec::with_capacity(CHUNK) });
    tar.follow_symlinks(false);
    let walked = walk(root, path, |found| Ok(append(&mut tar, found)?));
    let finished = walked.and_then(|()| Ok(tar.into_inner()?.flush()?));
    if let Err(Stop::Failed(error)) = finished
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        let _ = chunks.blocking_send(Err(status(path, &error)));
    }
}

fn status(path: &Path, error: &io::Error) -> Status {
    let text = format!("could not read {:?} in the job's directory: {error}", path.display());
    match error.kind() {
        io::ErrorKind::NotFound => Status::not_found(text),
        _ => Status::internal(text),
    }
}

fn walk(
    root: &Path,
    path: &Path,
    mut each: impl FnMut(Found) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut here = open_folder(rustix::fs::CWD, root.as_os_str().as_encoded_bytes())?;
    let mut prefix = Vec::new();
    let mut parts = path.iter().peekable();
    while let Some(part) = parts.next() {
        let name = part.as_encoded_bytes();
        let meta = rustix::fs::statat(&here, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if parts.peek().is_none() {
            return visit(&here, name, &mut prefix, meta, 0, &mut each);
        }
        here = open_folder(&here, name)?;
        prefix.extend_from_slice(name);
        prefix.push(b'/');
    }
    folder(&here, &mut prefix, 0, &mut each)
}

/// `prefix` is empty or ends with a slash. A huge folder comes a batch at a time, so not all of it in order.
fn folder(
    folder: &OwnedFd,
    prefix: &mut Vec<u8>,
    depth: usize,
    each: &mut impl FnMut(Found) -> Result<(), Stop>,
) -> Result<(), Stop> {
    for names in Names::of(folder)? {
        for name in names? {
            let meta = match rustix::fs::statat(folder, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW)
            {
                Ok(meta) => meta,
                Err(Errno::NOENT) => continue, // gone since
                Err(error) => return Err(error.into()),
            };
            match visit(folder, &name, prefix, meta, depth, each) {
                Err(Stop::Failed(error)) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
    }
    Ok(())
}

fn visit(
    parent: &OwnedFd,
    name: &[u8],
    prefix: &mut Vec<u8>,
    meta: Stat,
    depth: usize,
    each: &mut impl FnMut(Found) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let path = || PathBuf::from(OsString::from_vec([prefix.as_slice(), name].concat()));
    match FileType::from_raw_mode(meta.st_mode) {
        FileType::Directory => {
            each(Found { path: path(), meta, what: What::Folder })?;
            if depth == MAX_DEPTH {
                return Ok(());
            }
            let opened = open_folder(parent, name)?;
            let length = prefix.len();
            prefix.extend_from_slice(name);
            prefix.push(b'/');
            let walked = folder(&opened, prefix, depth + 1, each);
            prefix.truncate(length);
            walked
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(parent, name, Vec::new())?;
            let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
            each(Found { path: path(), meta, what: What::Link(target) })
        }
        FileType::RegularFile => {
            // What was a file a moment ago may be a pipe now: never wait for one.
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = rustix::fs::openat(parent, name, flags, Mode::empty())?;
            let meta = rustix::fs::fstat(&file)?;
            if FileType::from_raw_mode(meta.st_mode) != FileType::RegularFile {
                return Ok(());
            }
            each(Found { path: path(), meta, what: What::File(file.into()) })
        }
        _ => Ok(()), // sockets, pipes and devices are nothing to keep
    }
}

fn open_folder(parent: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

fn entry(found: &Found) -> FileEntry {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let (kind, target) = match &found.what {
        What::File(_) => (FileKind::File, String::new()),
        What::Folder => (FileKind::Folder, String::new()),
        What::Link(target) => (FileKind::Link, text(target)),
    };
    let bytes = if let What::File(_) = found.what { size(&found.meta) } else { 0 };
    let seconds = u64::try_from(found.meta.st_mtime).unwrap_or(0);
    let modified_ms = seconds * 1000 + found.meta.st_mtime_nsec / 1_000_000;
    FileEntry { path: text(&found.path), bytes, modified_ms, kind: kind.into(), target }
}

fn size(meta: &Stat) -> u64 {
    u64::try_from(meta.st_size).unwrap_or(0)
}

fn append(tar: &mut tar::Builder<impl Write>, found: Found) -> io::Result<()> {
    let Found { path, meta, what } = found;
    let mut header = tar::Header::new_gnu();
    header.set_mtime(u64::try_from(meta.st_mtime).unwrap_or(0));
    header.set_mode(if meta.st_mode & 0o100 == 0 { 0o644 } else { 0o755 });
    header.set_size(0);
    match what {
        What::Folder => {
            header.set_entry_type(tar::EntryType::Directory);
            tar.append_data(&mut header, path, io::empty())
        }
        What::Link(target) => {
            header.set_entry_type(tar::EntryType::Symlink);
            tar.append_link(&mut header, path, target)
        }
        What::File(file) => {
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(size(&meta));
            // Exactly as long as announced, whatever the job does to it meanwhile.
            let padded = file.chain(io::repeat(0)).take(size(&meta));
            tar.append_data(&mut header, path, padded)
        }
    }
}

/// Sends what is written, a chunk at a time.
struct Chunks<'a> {
    chunks: &'a Sender<Result<FilesChunk, Status>>,
    buffer: Vec<u8>,
}

impl Write for Chunks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == CHUNK {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let data = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        let sent = self.chunks.blocking_send(Ok(FilesChunk { data: data.into() }));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn world() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("a/b/file"), "content").unwrap();
        fs::write(folder.path().join("top"), vec![b'x'; 2 * CHUNK]).unwrap();
        symlink("/etc", folder.path().join("link")).unwrap();
        folder
    }

    fn listed(root: &Path, path: &str) -> Vec<String> {
        let (sender, mut entries) = tokio::sync::mpsc::channel(100);
        list(root, Path::new(path), &sender);
        drop(sender);
        let mut lines = Vec::new();
        while let Some(entry) = entries.blocking_recv() {
            lines.push(match entry {
                Ok(it) => {
                    format!("{} {} {}{}", it.kind().as_str_name(), it.path, it.bytes, it.target)
                }
                Err(status) => status.to_string(),
            });
        }
        lines
    }

    #[test]
    fn everything_below_is_listed_and_links_are_not_followed() {
        let world = world();
        let expected = [
            "FILE_KIND_FOLDER a 0",
            "FILE_KIND_FOLDER a/b 0",
            "FILE_KIND_FILE a/b/file 7",
            "FILE_KIND_LINK link 0/etc",
            "FILE_KIND_FILE top 524288",
        ];
        assert_eq!(listed(world.path(), ""), expected);
        assert_eq!(listed(world.path(), "a/b"), expected[1..3]);
        assert_eq!(listed(world.path(), "link"), expected[3..4]);
        assert!(listed(world.path(), "link/passwd")[0].contains("could not read"));
        assert!(listed(world.path(), "none")[0].contains("could not read"));
    }

    #[test]
    fn a_tar_has_the_files_as_they_are_in_bounded_chunks() {
        let world = world();
        let (sender, mut chunks) = tokio::sync::mpsc::channel(1);
        let root = world.path().to_owned();
        let reader = std::thread::spawn(move || read(&root, Path::new(""), &sender));
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.blocking_recv() {
            let data = chunk.unwrap().data;
            assert!(data.len() <= CHUNK);
            bytes.extend(data);
        }
        reader.join().unwrap();
        let to = tempfile::tempdir().unwrap();
        tar::Archive::new(&bytes[..]).unpack(to.path()).unwrap();
        assert_eq!(fs::read_to_string(to.path().join("a/b/file")).unwrap(), "content");
        assert_eq!(fs::read_link(to.path().join("link")).unwrap(), Path::new("/etc"));
        assert_eq!(fs::metadata(to.path().join("top")).unwrap().len(), 2 * CHUNK as u64);
    }

    #[test]
    fn a_reader_that_leaves_ends_the_reading() {
        let world = world();
        let (sender, chunks) = tokio::sync::mpsc::channel(1);
        drop(chunks);
        read(world.path(), Path::new(""), &sender);
        let (sender, entries) = tokio::sync::mpsc::channel(1);
        drop(entries);
        list(world.path(), Path::new(""), &sender);
    }
}
