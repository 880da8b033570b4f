//! Logs, and what else only ever grows: the length of the file says how far it has come.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::sync_below;

/// Puts bytes where they belong; those that are there already are not written again. Returns the bytes that are there now: fewer
/// than `offset` means that some before it are missing, and nothing was written.
pub fn append(path: &Path, offset: u64, data: &[u8]) -> io::Result<u64> {
    let file = open_to_write(path)?;
    let there = file.metadata()?.len();
    let known = there.saturating_sub(offset);
    let new = usize::try_from(known).ok().and_then(|it| data.get(it..)).unwrap_or_default();
    if there < offset || new.is_empty() {
        return Ok(there);
    }
    // At its place and not at the end: a second try of the same while the first one hangs writes the same.
    file.write_all_at(new, there)?;
    Ok(there + new.len() as u64)
}

/// What was appended survives the death of the storage's machine. There may be no index.
pub fn sync(top: &Path, log: PathBuf, index: PathBuf) -> io::Result<()> {
    let files = if index.exists() { vec![log, index] } else { vec![log] };
    sync_below(top, &files)
}

/// A file that grows, made with its folder. The job's own is not made: where that is gone, the job was deleted or the storage is away.
pub fn open_to_write(path: &Path) -> io::Result<File> {
    let nofollow = i32::try_from(OFlags::NOFOLLOW.bits()).expect("a flag of open(2)");
    let open = || {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(nofollow)
            .open(path)
    };
    match (open(), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
            match fs::create_dir(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                _ => open(),
            }
        }
        (opened, _) => opened,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_once_however_often_they_come_and_never_after_a_gap() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log/1.log");
        assert_eq!(append(&path, 0, b"one").unwrap(), 3);
        assert_eq!(append(&path, 0, b"one two").unwrap(), 7);
        assert_eq!(append(&path, 3, b" two").unwrap(), 7);
        assert_eq!(append(&path, 9, b"late").unwrap(), 7);
        assert_eq!(append(&path, 0, b"").unwrap(), 7);
        assert_eq!(append(&path, 0, b"new").unwrap(), 7);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one two");
    }

    #[test]
    fn no_folder_of_a_job_is_made_and_no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        assert!(append(&folder.path().join("gone/log/1.log"), 0, b"x").is_err());
        assert!(!folder.path().join("gone").exists());
        let secret = folder.path().join("secret");
        fs::write(&secret, "secret").unwrap();
        fs::create_dir(folder.path().join("log")).unwrap();
        let link = folder.path().join("log/1.log");
        std::os::unix::fs::symlink(&secret, &link).unwrap();
        assert!(append(&link, 6, b"!").is_err());
        assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
    }
}
