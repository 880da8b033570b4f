//! Folders that somebody else may write to, reached through their descriptors: whatever is put in the place of one of them
//! meanwhile, no link is followed.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::path::Arg;

const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens a folder, to be read and to reach what is in it. Something else under that name is an error.
pub fn open_folder(at: impl AsFd, name: impl Arg) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(at, name, FOLDER, Mode::empty())?)
}

/// Opens a folder that its owner has closed to himself as well.
pub(super) fn reopen_folder(at: impl AsFd, name: impl Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = rustix::fs::openat(at, name, flags, Mode::empty())?;
    change_mode(&found, 0o700)?;
    open_folder(&found, c".")
}

/// Sets the mode of what was opened, if only as a place (`O_PATH`).
pub fn change_mode(file: impl AsFd, mode: u32) -> io::Result<()> {
    // This link of the kernel's leads to the file itself, whatever has its name by now.
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}
