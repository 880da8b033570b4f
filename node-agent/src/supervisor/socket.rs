//! Unix sockets at paths of any length: a socket address holds 108 bytes, a job's directory may be deeper than that.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

const LONGEST: usize = 100;

/// A name for a path that fits a socket address as long as this value lives.
pub struct Address {
    name: PathBuf,
    /// The descriptor that the name goes through.
    _dir: Option<File>,
}

impl Address {
    pub fn of(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= LONGEST {
            return Ok(Self { name: path.to_owned(), _dir: None });
        }
        let (Some(parent), Some(file)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let dir = File::open(parent)?;
        let name = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(file);
        Ok(Self { name, _dir: Some(dir) })
    }

    #[must_use]
    pub fn name(&self) -> &Path {
        &self.name
    }
}

/// Listens at `path`, for this user only. The path appears when connections are accepted, not before, and takes the place of
/// whatever a supervisor that is gone left there.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = PathBuf::from(unfinished);
    if let Err(error) = std::fs::remove_file(&unfinished)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let address = Address::of(&unfinished)?;
    let listener = UnixListener::bind(address.name())?;
    listener.set_nonblocking(true)?;
    // Not by umask, which belongs to the whole process and is inherited by the jobs.
    std::fs::set_permissions(&unfinished, Permissions::from_mode(0o600))?;
    std::fs::rename(&unfinished, path)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_socket_at_a_path_of_two_hundred_bytes_can_be_reached_by_its_user_only() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(100)).join("e".repeat(100));
        std::fs::create_dir_all(&deep).unwrap();
        let path = deep.join("sock");
        std::fs::write(&path, "stale").unwrap();
        let listener = listen(&path).unwrap();
        UnixStream::connect(Address::of(&path).unwrap().name()).unwrap();
        listener.accept().unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&deep).unwrap().count(), 1);
    }
}
