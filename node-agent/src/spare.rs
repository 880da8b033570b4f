//! The folders of a job that has ended, for the next one: those that it left as they were are not made and removed again.
//!
//! Where inodes come and go by the hundred per second a file system may have trouble to find the next one (ext4 without a
//! journal passes over all that were given back within the last minutes).

use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use atlas_runtime::process::{open_folder, remove_all_at};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, Stat, Uid};

use crate::node::Node;
use crate::options::JobUser;
use crate::paths::{Data, JobDir};
use crate::trash;

/// So many wait. Jobs that begin at the same moment are no more on most nodes.
const MOST: usize = 16;
/// Of the folders that are closed to the job, but for what lies in them.
const CLOSED: u32 = 0o711;

/// Folders that wait for a job.
#[derive(Debug, Default)]
pub struct Spares(Mutex<Vec<PathBuf>>);

impl Spares {
    /// Puts folders where those of a job belong. False = they have to be made.
    pub fn take(&self, to: &Path) -> bool {
        let spare = self.all().pop();
        spare.is_some_and(|it| fs::rename(it, to).is_ok())
    }

    fn all(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an agent before this one left goes to the trash.
pub fn clear(data: &Data) -> io::Result<()> {
    fs::create_dir_all(data.spare())?;
    for entry in fs::read_dir(data.spare())? {
        let entry = entry?;
        fs::rename(entry.path(), data.trash().join(entry.file_name()))?;
    }
    Ok(())
}

/// Makes the folders of an attempt. Control is closed to the job, but for its spool.
pub fn lay_out(dir: &Path, user: &JobUser) -> Result<(), (PathBuf, io::Error)> {
    let make = |name: &str, mode, owner| {
        let path = dir.join(name);
        make(CWD, path.as_os_str(), mode, owner).map_err(|error| (path.clone(), error))
    };
    make("", CLOSED, None)?;
    make("control", CLOSED, None)?;
    make("control/spool", 0o700, Some(user))?;
    make("home", 0o700, Some(user))?;
    make("tmp", 0o1777, Some(user))
}

fn make(at: BorrowedFd<'_>, name: &OsStr, mode: u32, owner: Option<&JobUser>) -> io::Result<()> {
    rustix::fs::mkdirat(at, name, Mode::from_raw_mode(0o700))?;
    if mode != 0o700 {
        rustix::fs::chmodat(at, name, Mode::from_raw_mode(mode), AtFlags::empty())?;
    }
    if let Some(user) = owner.filter(|it| !it.is_this_process()) {
        let (uid, gid) = (Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)));
        rustix::fs::chownat(at, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

/// Takes a job's folders away. Those whose end was seen, so that no process of the job is left, are kept for the next one.
pub async fn recycle(node: &Node, dir: &JobDir) {
    if node.spares.all().len() >= MOST || !dir.control().join("exit").exists() {
        return trash::throw(node, dir.path()).await;
    }
    let spare = node.data.spare().join(uuid::Uuid::new_v4().to_string());
    if fs::rename(dir.path(), &spare).is_err() {
        return trash::throw(node, dir.path()).await;
    }
    let Ok(_turn) = node.emptying.acquire().await else { return };
    let (path, user) = (spare.clone(), node.settings.job_user.clone());
    let stripped = tokio::task::spawn_blocking(move || {
        strip(&path, &user).inspect_err(|_| trash::discard(&path)).is_ok()
    });
    if stripped.await.is_ok_and(|it| it) {
        node.spares.all().push(spare);
    }
}

/// Removes everything but the folders that a job finds, and makes those anew that it changed. An error: it is of no use.
fn strip(dir: &Path, user: &JobUser) -> io::Result<()> {
    let top = open_folder(CWD, dir)?;
    let control = open_folder(&top, "control")?;
    if !is_closed(&top)? || !is_closed(&control)? {
        return Err(io::Error::other("it is not as it was made"));
    }
    // Written before the job was started: what it made, removed or changed in a folder gave that folder a later change time,
    // which nobody can set.
    let before = rustix::fs::statat(&top, "assignment.json", AtFlags::SYMLINK_NOFOLLOW)?;
    let before = (before.st_mtime, before.st_mtime_nsec);
    empty(&control, dir, &["spool"])?;
    empty(&top, dir, &["control", "home", "tmp"])?;
    for (folder, name, mode) in
        [(&control, "spool", 0o700), (&top, "home", 0o700), (&top, "tmp", 0o1777)]
    {
        let untouched = |it: Stat| {
            FileType::from_raw_mode(it.st_mode) == FileType::Directory
                && (it.st_ctime, it.st_ctime_nsec) < before
        };
        let found = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
        if !found.is_ok_and(untouched) {
            let name = OsStr::new(name);
            remove_all_at(folder, name, &dir.join(name)).map_err(io::Error::other)?;
            make(folder.as_fd(), name, mode, Some(user))?;
        }
    }
    Ok(())
}

fn is_closed(folder: &OwnedFd) -> io::Result<bool> {
    let found = rustix::fs::fstat(folder)?;
    let me = JobUser::this_process();
    Ok(found.st_mode & 0o7777 == CLOSED && found.st_uid == me.uid && found.st_gid == me.gid)
}

fn empty(folder: &OwnedFd, path: &Path, keep: &[&str]) -> io::Result<()> {
    let mut names = Vec::new();
    for item in Dir::read_from(folder)? {
        let name: CString = item?.file_name().to_owned();
        let kept = keep.iter().any(|it| it.as_bytes() == name.as_bytes());
        if !kept && !matches!(name.as_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    names.iter().map(|it| OsStr::from_bytes(it.as_bytes())).try_for_each(|name| {
        remove_all_at(folder, name, &path.join(name)).map_err(io::Error::other)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::time::{Duration, SystemTime};

    use super::*;

    /// The folders of a job that has ended, made some time before it began.
    fn ended(parent: &Path) -> PathBuf {
        let dir = parent.join("job");
        lay_out(&dir, &JobUser::this_process()).unwrap();
        for name in ["assignment.json", "snapshot", "control/log", "control/exit"] {
            fs::write(dir.join(name), "x").unwrap();
        }
        fs::create_dir_all(dir.join("work/data")).unwrap();
        let assigned = fs::File::options().append(true).open(dir.join("assignment.json")).unwrap();
        assigned.set_modified(SystemTime::now() + Duration::from_secs(1)).unwrap();
        dir
    }

    fn inode(path: &Path) -> u64 {
        path.metadata().unwrap().ino()
    }

    fn names(path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path).unwrap();
        let mut names: Vec<String> =
            entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_a_job_left_untouched_is_used_again_and_nothing_else_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let dir = ended(folder.path());
        let all = ["", "control", "control/spool", "home", "tmp"].map(|name| dir.join(name));
        let before = all.each_ref().map(|it| inode(it));
        strip(&dir, &JobUser::this_process()).unwrap();
        assert_eq!(all.each_ref().map(|it| inode(it)), before);
        assert_eq!(names(&dir), ["control", "home", "tmp"]);
        assert_eq!(names(&dir.join("control")), ["spool"]);
        let spares = Spares(Mutex::new(vec![dir]));
        let next = folder.path().join("next");
        assert!(spares.take(&next) && !spares.take(&folder.path().join("third")));
        assert_eq!(inode(&next), before[0]);
    }

    #[test]
    fn a_folder_that_the_job_changed_is_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let dir = ended(folder.path());
        let later = SystemTime::now() - Duration::from_secs(60);
        let assigned = fs::File::options().append(true).open(dir.join("assignment.json")).unwrap();
        assigned.set_modified(later).unwrap();
        fs::write(dir.join("home/.profile"), "evil").unwrap();
        fs::set_permissions(dir.join("tmp"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::remove_dir(dir.join("control/spool")).unwrap();
        std::os::unix::fs::symlink("/", dir.join("control/spool")).unwrap();
        strip(&dir, &JobUser::this_process()).unwrap();
        for (name, mode) in [("home", 0o700), ("tmp", 0o1777), ("control/spool", 0o700)] {
            let path = dir.join(name);
            assert_eq!(names(&path), [""; 0], "{name}");
            assert_eq!(path.symlink_metadata().unwrap().mode() & 0o7777, mode, "{name}");
        }
    }

    #[test]
    fn folders_of_ours_that_somebody_opened_are_of_no_use() {
        let folder = tempfile::tempdir().unwrap();
        let dir = ended(folder.path());
        fs::set_permissions(dir.join("control"), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(strip(&dir, &JobUser::this_process()).is_err());
    }

    #[test]
    fn what_an_earlier_agent_left_goes_to_the_trash() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::new(folder.path().into());
        fs::create_dir_all(data.spare().join("a")).unwrap();
        fs::create_dir(data.trash()).unwrap();
        clear(&data).unwrap();
        assert!(names(&data.spare()).is_empty() && data.trash().join("a").exists());
    }
}
