//! One folder that is written into, and nothing outside of it: every step is taken from an open folder by name, and no link on
//! the way is followed.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use super::Error;

const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const NEW: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Whether a file has a name as those that have not come whole. A job may have such files, too.
pub fn may_be_part(name: &OsStr) -> bool {
    let digits = name.as_bytes().strip_prefix(b".").and_then(|it| it.strip_suffix(b".part"));
    digits.is_some_and(|it| it.len() == 32 && it.iter().all(u8::is_ascii_hexdigit))
}

/// An open folder.
#[derive(Debug)]
pub struct Beneath {
    root: OwnedFd,
    path: PathBuf,
}

impl Beneath {
    /// Opens `path`, made if it is not there. The user chose it, so links on the way to it are followed.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Write { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(failed)?;
        let root = File::open(path).map_err(failed)?;
        if !root.metadata().map_err(failed)?.is_dir() {
            return Err(failed(io::ErrorKind::NotADirectory.into()));
        }
        Ok(Self { root: root.into(), path: path.to_owned() })
    }

    /// Whether this very file is there: its size, and its time where one is known.
    pub fn has_file(&self, path: &Path, bytes: u64, modified_s: Option<i64>) -> bool {
        self.stat(path).is_some_and(|it| {
            FileType::from_raw_mode(it.st_mode) == FileType::RegularFile
                && u64::try_from(it.st_size) == Ok(bytes)
                && modified_s.is_none_or(|time| it.st_mtime == time)
        })
    }

    /// Whether this very link is there.
    pub fn has_link(&self, path: &Path, target: &Path) -> bool {
        let Ok((parent, name)) = self.parent(path, false) else { return false };
        let found = rustix::fs::readlinkat(&parent, name, Vec::new());
        found.is_ok_and(|it| Path::new(OsStr::from_bytes(it.as_bytes())) == target)
    }

    pub fn has_folder(&self, path: &Path) -> bool {
        self.stat(path).is_some_and(|it| FileType::from_raw_mode(it.st_mode) == FileType::Directory)
    }

    pub fn folder(&self, path: &Path) -> Result<(), Error> {
        let (parent, name) = self.parent(path, true)?;
        enter(&parent, name, true).map(|_| ()).map_err(|it| self.failed(path, it))
    }

    /// Writes beside the file and renames, so that a file that is there is whole.
    pub fn file(
        &self,
        path: &Path,
        bytes: &mut dyn Read,
        executable: bool,
        modified_s: Option<i64>,
    ) -> Result<(), Error> {
        let (parent, name) = self.parent(path, true)?;
        let write = |it: Errno| self.failed(path, it);
        let mode = if executable { 0o777 } else { 0o666 };
        let beside = OsString::from(format!(".{}.part", uuid::Uuid::new_v4().simple()));
        let file =
            rustix::fs::openat(&parent, &*beside, NEW, Mode::from_raw_mode(mode)).map_err(write)?;
        let written = self
            .fill(path, file.into(), bytes, modified_s)
            .and_then(|()| rustix::fs::renameat(&parent, &*beside, &parent, name).map_err(write));
        if written.is_err() {
            // Best effort: what failed is the news.
            let _ = rustix::fs::unlinkat(&parent, &*beside, AtFlags::empty());
        }
        written
    }

    /// Makes a link, in place of a file or link that is there.
    pub fn link(&self, path: &Path, target: &Path) -> Result<(), Error> {
        let (parent, name) = self.parent(path, true)?;
        match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(self.failed(path, errno)),
        }
        rustix::fs::symlinkat(target, &parent, name).map_err(|it| self.failed(path, it))
    }

    fn fill(
        &self,
        path: &Path,
        mut file: File,
        bytes: &mut dyn Read,
        modified_s: Option<i64>,
    ) -> Result<(), Error> {
        let failed = |source| Error::Write { path: self.path.join(path), source };
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = match bytes.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::Read(error)),
            };
            file.write_all(&buffer[..length]).map_err(failed)?;
        }
        if let Some(seconds) = modified_s {
            let unchanged = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
            let modified = Timespec { tv_sec: seconds, tv_nsec: 0 };
            let times = Timestamps { last_access: unchanged, last_modification: modified };
            rustix::fs::futimens(file.as_fd(), &times).map_err(|it| failed(it.into()))?;
        }
        Ok(())
    }

    fn stat(&self, path: &Path) -> Option<rustix::fs::Stat> {
        let (parent, name) = self.parent(path, false).ok()?;
        rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).ok()
    }

    /// The open folder that `path` lies in, made on the way if `make`, and its last name.
    fn parent<'a>(&self, path: &'a Path, make: bool) -> Result<(OwnedFd, &'a OsStr), Error> {
        let hostile = |why| Error::Hostile { path: path.to_owned(), why };
        let mut names = Vec::new();
        for component in path.components() {
            match component {
                Component::Normal(name) => names.push(name),
                Component::CurDir => {}
                Component::ParentDir => return Err(hostile("leads out of the folder")),
                Component::RootDir | Component::Prefix(_) => return Err(hostile("is absolute")),
            }
        }
        let Some(last) = names.pop() else { return Err(hostile("is no name")) };
        let mut folder = self
            .root
            .try_clone()
            .map_err(|it| Error::Write { path: self.path.clone(), source: it })?;
        for name in names {
            folder = enter(&folder, name, make).map_err(|errno| match errno {
                Errno::LOOP | Errno::NOTDIR => hostile("lies behind something that is no folder"),
                other => self.failed(path, other),
            })?;
        }
        Ok((folder, last))
    }

    fn failed(&self, path: &Path, errno: Errno) -> Error {
        Error::Write { path: self.path.join(path), source: errno.into() }
    }
}

fn enter(parent: &OwnedFd, name: &OsStr, make: bool) -> Result<OwnedFd, Errno> {
    match rustix::fs::openat(parent, name, FOLDER, Mode::empty()) {
        Err(Errno::NOENT) if make => {}
        other => return other,
    }
    match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o777)) {
        Ok(()) | Err(Errno::EXIST) => rustix::fs::openat(parent, name, FOLDER, Mode::empty()),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder() -> (tempfile::TempDir, Beneath) {
        let dir = tempfile::tempdir().unwrap();
        let beneath = Beneath::open(&dir.path().join("job")).unwrap();
        (dir, beneath)
    }

    fn write(beneath: &Beneath, path: &str, text: &str) -> Result<(), Error> {
        beneath.file(Path::new(path), &mut text.as_bytes(), false, Some(1000))
    }

    #[test]
    fn a_file_is_written_with_its_folders_and_its_time() {
        let (dir, beneath) = folder();
        write(&beneath, "a/b/c.txt", "text").unwrap();
        let path = dir.path().join("job/a/b/c.txt");
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
        assert!(beneath.has_file(Path::new("a/b/c.txt"), 4, Some(1000)));
        assert!(!beneath.has_file(Path::new("a/b/c.txt"), 4, Some(1001)));
        assert!(!beneath.has_file(Path::new("a/b/c.txt"), 5, None));
        assert!(!beneath.has_file(Path::new("a/none"), 0, None));
        assert!(beneath.has_folder(Path::new("a/b")));
        write(&beneath, "a/b/c.txt", "again").unwrap();
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
    }

    #[test]
    fn nothing_is_written_outside_of_the_folder() {
        let (dir, beneath) = folder();
        for path in ["../out", "a/../../out", "/tmp/out-of-atlas", "..", "", "."] {
            let error = write(&beneath, path, "x").unwrap_err();
            assert!(matches!(error, Error::Hostile { .. }), "{path}: {error}");
        }
        assert!(!dir.path().join("out").exists());
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let (dir, beneath) = folder();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "mine").unwrap();
        symlink(&outside, dir.path().join("job/folder")).unwrap();
        symlink(outside.join("file"), dir.path().join("job/file")).unwrap();
        let error = write(&beneath, "folder/new", "x").unwrap_err();
        assert!(matches!(error, Error::Hostile { .. }), "{error}");
        assert!(beneath.folder(Path::new("folder")).is_err());
        // The link itself gives way to the file; what it points at stays.
        write(&beneath, "file", "theirs").unwrap();
        assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "mine");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    }

    #[test]
    fn a_link_replaces_a_link_and_no_folder() {
        let (_dir, beneath) = folder();
        let (path, target) = (Path::new("link"), Path::new("/mnt/data"));
        beneath.link(path, Path::new("old")).unwrap();
        beneath.link(path, target).unwrap();
        assert!(beneath.has_link(path, target) && !beneath.has_link(path, Path::new("old")));
        beneath.folder(Path::new("folder")).unwrap();
        assert!(beneath.link(Path::new("folder"), target).is_err());
    }

    #[test]
    fn a_file_whose_bytes_end_early_is_not_there() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("gone"))
            }
        }
        let (dir, beneath) = folder();
        let error = beneath.file(Path::new("a"), &mut Broken, false, None).unwrap_err();
        assert!(matches!(error, Error::Read(_)), "{error}");
        assert_eq!(fs::read_dir(dir.path().join("job")).unwrap().count(), 0);
    }
}
