//! Making an environment the agent's when its build is over: jobs read it and no more. Whoever built it may still be there, so
//! that every folder is reached through its descriptor, and through no link.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use atlas_runtime::process::{change_mode, open_folder};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, RawMode, Uid};

use crate::options::JobUser;

/// Folders within folders; each is held open.
const MAX_DEPTH: usize = 128;
/// Who else may write.
const OTHERS_WRITE: RawMode = 0o022;

/// Takes the folder and all that is in it from whomever it belongs to.
pub(super) fn take_over(folder: &Path) -> io::Result<()> {
    let JobUser { uid, gid, .. } = JobUser::this_process();
    let owner = Owner { uid: Uid::from_raw(uid), gid: Gid::from_raw(gid) };
    owner.take(open_folder(CWD, folder)?, 0)
}

struct Owner {
    uid: Uid,
    gid: Gid,
}

impl Owner {
    /// The folder first: then nobody else can change what is in it.
    fn take(&self, folder: OwnedFd, depth: usize) -> io::Result<()> {
        if depth == MAX_DEPTH {
            return Err(io::Error::other(format!("it has more than {MAX_DEPTH} folders in a row")));
        }
        rustix::fs::fchown(&folder, Some(self.uid), Some(self.gid))?;
        let mode = rustix::fs::fstat(&folder)?.st_mode;
        if mode & OTHERS_WRITE != 0 {
            let closed = Mode::from_raw_mode(mode & 0o7777 & !OTHERS_WRITE);
            rustix::fs::fchmod(&folder, closed)?;
        }
        let mut items = Dir::new(folder)?;
        while let Some(item) = items.read() {
            let item = item?;
            let (name, here) = (item.file_name(), items.fd()?);
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let found = rustix::fs::statat(here, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
                self.take(open_folder(here, name)?, depth + 1)?;
                continue;
            }
            let (uid, gid) = (Some(self.uid), Some(self.gid));
            rustix::fs::chownat(here, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
            let link = FileType::from_raw_mode(found.st_mode) == FileType::Symlink;
            if found.st_mode & OTHERS_WRITE != 0 && !link {
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = rustix::fs::openat(here, name, flags, Mode::empty())?;
                change_mode(file.as_fd(), found.st_mode & 0o777 & !OTHERS_WRITE)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::fs::RenameFlags;

    use super::*;

    const USER: u32 = 65534;

    /// A folder with a file, somebody else's and open to all: only root may make such a one.
    fn theirs(parent: &Path, name: &str) -> PathBuf {
        let folder = parent.join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("file"), "x").unwrap();
        for path in [&folder, &folder.join("file")] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
            lchown(path, Some(USER), Some(USER)).unwrap();
        }
        folder
    }

    fn owner(path: &Path) -> u32 {
        path.symlink_metadata().unwrap().uid()
    }

    #[test]
    fn all_of_it_is_ours_and_nobody_else_may_write() {
        let folder = tempfile::tempdir().unwrap();
        let venv = theirs(folder.path(), "venv");
        let (inner, other) = (theirs(&venv, "inner"), theirs(folder.path(), "other"));
        symlink(&other, inner.join("link")).unwrap();
        lchown(inner.join("link"), Some(USER), Some(USER)).unwrap();
        take_over(&venv).unwrap();
        for path in [&venv, &inner, &venv.join("file"), &inner.join("file")] {
            assert_eq!(owner(path), 0, "{}", path.display());
            assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o755, "{}", path.display());
        }
        assert_eq!(owner(&inner.join("link")), 0);
        assert_eq!([owner(&other), owner(&other.join("file"))], [USER; 2]);
        assert!(take_over(&inner.join("link")).is_err());
    }

    #[test]
    fn a_link_that_comes_in_the_place_of_a_folder_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let venv = theirs(folder.path(), "venv");
        let (pkg, other) = (venv.join("pkg"), theirs(folder.path(), "other"));
        fs::create_dir(&pkg).unwrap();
        let link = folder.path().join("link");
        symlink(&other, &link).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    rustix::fs::renameat_with(CWD, &link, CWD, &pkg, RenameFlags::EXCHANGE)
                        .unwrap();
                }
            });
            for _ in 0..2_000 {
                let _ = take_over(&venv); // what is in the place of the folder may be a link by now
            }
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(owner(&other.join("file")), USER);
    }

    #[test]
    fn a_row_of_folders_without_an_end_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("d/".repeat(MAX_DEPTH))).unwrap();
        assert!(take_over(folder.path()).unwrap_err().to_string().contains("in a row"));
    }
}
