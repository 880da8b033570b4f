//! A folder of an archive as a listing or as a tar. Jobs may write into what is read here, so every step is taken from an open
//! folder by name and no link is ever followed.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

#[cfg(doc)]
use atlas_runtime::names::BATCH;
use atlas_runtime::names::Names;
use atlas_runtime::storage::is_part;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};

/// Folders deeper than this are refused: each level holds file descriptors, and a batch of names.
pub(super) const DEEPEST: usize = 128;
pub(super) const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const FILE: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// One thing in a tree.
pub enum Entry {
    Folder { modified_ms: u64 },
    File { file: File, bytes: u64, modified_ms: u64, executable: bool },
    Link { target: PathBuf, modified_ms: u64 },
}

/// Calls `visit` with the path below `root` of everything at or below `root/below`: in the order of names, but for folders of more
/// than [`BATCH`] names, of which no more are held at a time.
pub fn walk(
    root: &Path,
    below: &Path,
    visit: &mut dyn FnMut(&Path, Entry) -> io::Result<()>,
) -> io::Result<()> {
    match parent(root, below)? {
        (dir, None) => folder(&dir, Path::new(""), DEEPEST, visit),
        (dir, Some((name, path))) => one(&dir, name, &path, DEEPEST, visit),
    }
}

/// What stands at `root/path` alone; `None` = nothing that is kept, behind a link neither.
pub fn look(root: &Path, path: &Path) -> io::Result<Option<Entry>> {
    let found = match parent(root, path) {
        Ok((dir, Some((name, _)))) => entry(&dir, name),
        Ok((_, None)) => Ok(Some(Entry::Folder { modified_ms: 0 })),
        Err(error) => Err(error),
    };
    match found {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(None)
        }
        found => found,
    }
}

/// The open folder that the last part of a path is in, with that part and the path in its plain form.
fn parent<'a>(root: &Path, below: &'a Path) -> io::Result<(OwnedFd, Option<(&'a OsStr, PathBuf)>)> {
    let mut dir = rustix::fs::openat(CWD, root, FOLDER, Mode::empty())?;
    let mut names = Vec::new();
    for part in below.components() {
        match part {
            Component::Normal(name) => names.push(name),
            Component::CurDir => {}
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "the path leaves the archive",
                ));
            }
        }
    }
    let Some(last) = names.pop() else { return Ok((dir, None)) };
    let mut path = PathBuf::new();
    for name in names {
        dir = rustix::fs::openat(&dir, name, FOLDER, Mode::empty())?;
        path.push(name);
    }
    Ok((dir, Some((last, path.join(last)))))
}

fn folder(
    dir: &OwnedFd,
    path: &Path,
    depth: usize,
    visit: &mut dyn FnMut(&Path, Entry) -> io::Result<()>,
) -> io::Result<()> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(io::Error::other(format!("{} is nested too deeply", path.display())));
    };
    for names in Names::of(dir)? {
        // What is on its way has its name when it is whole.
        for name in names?.iter().filter(|it| !is_part(it)) {
            let name = OsStr::from_bytes(name);
            match one(dir, name, &path.join(name), depth, visit) {
                // A job that runs may have removed or renamed it since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
    }
    Ok(())
}

fn one(
    dir: &OwnedFd,
    name: &OsStr,
    path: &Path,
    depth: usize,
    visit: &mut dyn FnMut(&Path, Entry) -> io::Result<()>,
) -> io::Result<()> {
    let Some(entry) = entry(dir, name)? else { return Ok(()) };
    let is_folder = matches!(entry, Entry::Folder { .. });
    visit(path, entry)?;
    if is_folder {
        folder(&rustix::fs::openat(dir, name, FOLDER, Mode::empty())?, path, depth, visit)?;
    }
    Ok(())
}

fn entry(dir: &OwnedFd, name: &OsStr) -> io::Result<Option<Entry>> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Some(Entry::Folder { modified_ms: modified_ms(&stat) }),
        FileType::RegularFile => {
            let file = rustix::fs::openat(dir, name, FILE, Mode::empty())?;
            let stat = rustix::fs::fstat(&file)?;
            Some(Entry::File {
                file: file.into(),
                bytes: u64::try_from(stat.st_size).unwrap_or_default(),
                modified_ms: modified_ms(&stat),
                executable: stat.st_mode & 0o100 != 0,
            })
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(dir, name, Vec::new())?;
            let target = PathBuf::from(OsStr::from_bytes(target.to_bytes()));
            Some(Entry::Link { target, modified_ms: modified_ms(&stat) })
        }
        // A socket, pipe or device is nothing to keep.
        _ => None,
    })
}

fn modified_ms(stat: &Stat) -> u64 {
    u64::try_from(stat.st_mtime)
        .unwrap_or_default()
        .saturating_mul(1000)
        .saturating_add(stat.st_mtime_nsec / 1_000_000)
}

/// Appends everything at or below `root/below` to a tar, under `prefix`.
pub fn append<W: Write>(
    tar: &mut tar::Builder<W>,
    root: &Path,
    below: &Path,
    prefix: &Path,
) -> io::Result<()> {
    walk(root, below, &mut |path, entry| {
        let path = prefix.join(path);
        match entry {
            Entry::Folder { modified_ms } => {
                let mut header = header(tar::EntryType::Directory, 0, 0o755, modified_ms);
                tar.append_data(&mut header, path, io::empty())
            }
            Entry::File { file, bytes, modified_ms, executable } => {
                let mode = if executable { 0o755 } else { 0o644 };
                let mut header = header(tar::EntryType::Regular, bytes, mode, modified_ms);
                // A file that shrinks while it is read is filled up: the tar says how long it is before its bytes.
                tar.append_data(&mut header, path, file.chain(io::repeat(0)).take(bytes))
            }
            Entry::Link { target, modified_ms } => {
                let mut header = header(tar::EntryType::Symlink, 0, 0o777, modified_ms);
                tar.append_link(&mut header, path, target)
            }
        }
    })
}

fn header(kind: tar::EntryType, bytes: u64, mode: u32, modified_ms: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(bytes);
    header.set_mode(mode);
    header.set_mtime(modified_ms / 1000);
    header
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(root: &Path, below: &str) -> io::Result<Vec<String>> {
        let mut all = Vec::new();
        walk(root, Path::new(below), &mut |path, _| {
            all.push(path.display().to_string());
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn a_tree_is_walked_in_order_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("b/c")).unwrap();
        fs::write(dir.path().join("b/c/file"), "x").unwrap();
        fs::write(dir.path().join("a"), "x").unwrap();
        symlink("/etc", dir.path().join("link")).unwrap();
        assert_eq!(names(dir.path(), "").unwrap(), ["a", "b", "b/c", "b/c/file", "link"]);
        assert_eq!(names(dir.path(), "b/c").unwrap(), ["b/c", "b/c/file"]);
        assert!(names(dir.path(), "link/passwd").is_err(), "a link was followed");
        assert!(names(dir.path(), "../").is_err(), "the archive was left");
        let look = |path| look(dir.path(), Path::new(path)).unwrap();
        assert!(matches!(look("b/c/file"), Some(Entry::File { bytes: 1, .. })));
        assert!(matches!(look("link"), Some(Entry::Link { .. })));
        assert!(matches!(look("b"), Some(Entry::Folder { .. })));
        for nothing in ["c", "a/b", "link/passwd"] {
            assert!(look(nothing).is_none(), "{nothing}");
        }
    }

    #[test]
    fn what_has_not_come_whole_is_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        for name in [".atlas-0123456789abcdef.part", ".atlas-mine.part"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(names(dir.path(), "").unwrap(), [".atlas-mine.part"]);
    }

    #[test]
    fn of_a_huge_folder_everything_is_found_once() {
        let dir = tempfile::tempdir().unwrap();
        let most = atlas_runtime::names::BATCH + 10;
        for number in 0..most {
            fs::write(dir.path().join(number.to_string()), "").unwrap();
        }
        let mut found = names(dir.path(), "").unwrap();
        found.sort();
        found.dedup();
        assert_eq!(found.len(), most);
    }

    #[test]
    fn a_tar_holds_files_and_links_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "content").unwrap();
        symlink("file", dir.path().join("link")).unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        append(&mut tar, dir.path(), Path::new(""), Path::new("outputs")).unwrap();
        let bytes = tar.into_inner().unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let paths: Vec<_> =
            archive.entries().unwrap().map(|it| it.unwrap().path().unwrap().into_owned()).collect();
        assert_eq!(paths, [PathBuf::from("outputs/file"), PathBuf::from("outputs/link")]);
    }
}
