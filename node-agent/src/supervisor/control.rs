//! A job's control directory, always reached through its descriptor: no link in it is ever followed, no file that is not a
//! plain one is ever read.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use super::{Error, lease};

/// The end of the lease.
pub const DEADLINE: &str = "deadline";
/// Anyone may read what the directory lets them reach; its mode is what closes it.
const FILE_MODE: u32 = 0o644;

/// An open control directory.
pub struct Control {
    dir: OwnedFd,
    path: PathBuf,
}

impl Control {
    pub fn open(path: &Path) -> Result<Self, Error> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(dir) => Ok(Self { dir, path: path.to_owned() }),
            Err(error) => Err(Error::File {
                what: "open the control directory",
                path: path.to_owned(),
                source: error.into(),
            }),
        }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A new, empty file; one that is there already is an error.
    pub fn create(&self, name: &str) -> Result<OwnedFd, Error> {
        self.create_as(name, FILE_MODE)
    }

    /// A plain file to go on with at its end, made if there is none, and its length.
    pub fn open_or_create(&self, name: &str) -> Result<(OwnedFd, u64), Error> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.dir, name, flags, Mode::from_raw_mode(FILE_MODE))
            .map_err(|error| self.failed("open", name, error))?;
        let length = self.plain_size(name, &file)?;
        if length > 0 {
            let end = rustix::fs::seek(&file, SeekFrom::Start(length));
            end.map_err(|error| self.failed("go to the end of", name, error))?;
        }
        Ok((file, length))
    }

    /// Whether there is anything of this name.
    pub fn has(&self, name: &str) -> bool {
        rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// A new file with this content.
    pub fn create_with(&self, name: &str, mode: u32, content: &[u8]) -> Result<(), Error> {
        let file = self.create_as(name, mode)?;
        self.write_all(name, &file, content)
    }

    /// Puts a file with this content in the place of `name` at once, so that no reader sees half of it.
    pub fn replace(&self, name: &str, content: &[u8]) -> Result<(), Error> {
        let temporary = temporary(name);
        let created = match self.create(&temporary) {
            Err(Error::Used(_)) => {
                // Left by a writer that died in between; whatever it is, it goes.
                let _ = rustix::fs::unlinkat(&self.dir, temporary.as_str(), AtFlags::empty());
                self.create(&temporary)
            }
            other => other,
        };
        self.write_all(&temporary, &created?, content)?;
        self.rename(&temporary, name)
    }

    /// Writes over a plain file of just this length, in one go and where it lies, which takes no room on the disk. False = there
    /// is none.
    pub fn overwrite(&self, name: &str, content: &[u8]) -> Result<bool, Error> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.dir, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(self.failed("open", name, error)),
        };
        if self.plain_size(name, &file)? != content.len() as u64 {
            return Ok(false);
        }
        match rustix::io::retry_on_intr(|| rustix::io::pwrite(&file, content, 0)) {
            Ok(written) if written == content.len() => Ok(true),
            Ok(_) => Err(self.failed("write all of", name, Errno::NOSPC)),
            Err(error) => Err(self.failed("write", name, error)),
        }
    }

    /// Takes away what is in a plain file, if there is one.
    pub fn empty(&self, name: &str) -> Result<(), Error> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.dir, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(self.failed("open", name, error)),
        };
        self.plain_size(name, &file)?;
        rustix::fs::ftruncate(&file, 0).map_err(|error| self.failed("empty", name, error))
    }

    /// The whole of a plain file, `None` when there is none; longer than `limit` is an error.
    pub fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        // NONBLOCK: opening a pipe that somebody put here must not wait for its writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.dir, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(self.failed("open", name, error)),
        };
        let size = self.plain_size(name, &file)?;
        if size > limit {
            return Err(self.unreadable(name, "it is too long"));
        }
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        let mut file = std::fs::File::from(file).take(limit);
        let read = file.read_to_end(&mut content);
        read.map_err(|source| Error::File { what: "read", path: self.path.join(name), source })?;
        Ok(Some(content))
    }

    /// The size of `spool/events`, 0 when it is anything but a plain file in a plain directory.
    #[must_use]
    pub fn spool_length(&self) -> u64 {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(spool) = rustix::fs::openat(&self.dir, "spool", flags, Mode::empty()) else {
            return 0;
        };
        let Ok(stat) = rustix::fs::statat(&spool, "events", AtFlags::SYMLINK_NOFOLLOW) else {
            return 0;
        };
        let plain = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if plain { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 }
    }

    pub fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        rustix::fs::renameat(&self.dir, from, &self.dir, to)
            .map_err(|error| self.failed("rename a new file to", to, error))
    }

    pub fn write_all(&self, name: &str, file: impl AsFd, content: &[u8]) -> Result<(), Error> {
        let mut rest = content;
        while !rest.is_empty() {
            match rustix::io::write(&file, rest) {
                Ok(written) => rest = &rest[written..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(self.failed("write", name, error)),
            }
        }
        Ok(())
    }

    fn create_as(&self, name: &str, mode: u32) -> Result<OwnedFd, Error> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.dir, name, flags, Mode::from_raw_mode(mode)) {
            Ok(file) => Ok(file),
            Err(Errno::EXIST) => Err(Error::Used(self.path.join(name))),
            Err(error) => Err(self.failed("create", name, error)),
        }
    }

    fn plain_size(&self, name: &str, file: &OwnedFd) -> Result<u64, Error> {
        let stat = rustix::fs::fstat(file).map_err(|error| self.failed("examine", name, error))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(self.unreadable(name, "it is not a plain file"));
        }
        Ok(u64::try_from(stat.st_size).unwrap_or(0))
    }

    fn unreadable(&self, name: &str, why: &str) -> Error {
        Error::Unreadable { path: self.path.join(name), why: why.to_owned() }
    }

    fn failed(&self, what: &'static str, name: &str, error: Errno) -> Error {
        Error::File { what, path: self.path.join(OsStr::new(name)), source: error.into() }
    }
}

/// Sets or moves the end of a job's lease, in milliseconds of CLOCK_BOOTTIME. The first must be written before the job is
/// started; it takes the room on the disk that all later ones need.
pub fn write_deadline(control: &Path, boottime_ms: u64) -> Result<(), Error> {
    let (control, text) = (Control::open(control)?, lease::text(boottime_ms));
    if control.overwrite(DEADLINE, text.as_bytes())? {
        return Ok(());
    }
    control.replace(DEADLINE, text.as_bytes())
}

/// What `name` is called until it is complete.
#[must_use]
pub fn temporary(name: &str) -> String {
    format!(".{name}.new")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn control() -> (tempfile::TempDir, Control) {
        let dir = tempfile::tempdir().unwrap();
        let control = Control::open(dir.path()).unwrap();
        (dir, control)
    }

    #[test]
    fn no_link_is_followed() {
        let (dir, control) = control();
        std::fs::write(dir.path().join("target"), "secret").unwrap();
        symlink("target", dir.path().join("exit")).unwrap();
        symlink("target", dir.path().join("log")).unwrap();
        symlink("target", dir.path().join(".started.new")).unwrap();
        assert!(control.read("exit", 100).is_err());
        assert!(matches!(control.create("log"), Err(Error::Used(_))));
        control.replace("started", b"x").unwrap();
        assert_eq!(std::fs::read(dir.path().join("target")).unwrap(), b"secret");
        let link = dir.path().join("to");
        symlink(dir.path(), &link).unwrap();
        assert!(Control::open(&link).is_err());
    }

    #[test]
    fn a_deadline_is_moved_where_it_lies_and_needs_no_room_for_that() {
        use std::os::unix::fs::MetadataExt;
        let (dir, control) = control();
        let path = dir.path().join(DEADLINE);
        std::fs::write(&path, "5").unwrap(); // as an older agent wrote it
        let mut files = Vec::new();
        for deadline in [7, u64::MAX, 9] {
            write_deadline(dir.path(), deadline).unwrap();
            assert_eq!(lease::parse(&control.read(DEADLINE, 64).unwrap().unwrap()), Some(deadline));
            let file = path.metadata().unwrap();
            files.push((file.ino(), file.len(), file.blocks()));
        }
        assert!(files.windows(2).all(|it| it[0] == it[1]), "{files:?}");
    }

    #[test]
    fn a_pipe_or_a_giant_in_the_place_of_a_file_is_an_error_and_never_a_wait() {
        let (dir, control) = control();
        let fifo = dir.path().join("exit");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
            .unwrap();
        assert!(control.read("exit", 100).unwrap_err().to_string().contains("plain file"));
        std::fs::write(dir.path().join("started"), [b'x'; 101]).unwrap();
        assert!(control.read("started", 100).unwrap_err().to_string().contains("too long"));
        assert!(control.read("absent", 100).unwrap().is_none());
    }

    #[test]
    fn the_spool_counts_only_when_it_is_a_plain_file() {
        let (dir, control) = control();
        assert_eq!(control.spool_length(), 0);
        std::fs::create_dir(dir.path().join("spool")).unwrap();
        std::fs::write(dir.path().join("spool/events"), "12345").unwrap();
        assert_eq!(control.spool_length(), 5);
        std::fs::remove_file(dir.path().join("spool/events")).unwrap();
        symlink("/etc/passwd", dir.path().join("spool/events")).unwrap();
        assert_eq!(control.spool_length(), 0);
    }
}
