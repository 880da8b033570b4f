//! Making sure that the shared storage has what was written to it, should its machine die: the node lets go of its own copy.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// More files than this are synced with all that their file system holds. Measured with 10,000 files of 2 KB on ext4: one by one
/// 6.1 s, 32 at a time 2.1 s, all together 0.2 s; but that waits for whatever running jobs are writing, too.
pub(super) const ONE_BY_ONE: usize = 256;

/// Syncs these files and links, and the folders from theirs up to `top`, in which their names are.
pub fn sync_below(top: &Path, files: &[PathBuf]) -> io::Result<()> {
    if files.len() > ONE_BY_ONE {
        return Ok(rustix::fs::syncfs(File::open(top)?)?);
    }
    let mut folders = BTreeSet::new();
    for file in files {
        match rustix::fs::open(
            file,
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        ) {
            Ok(file) => rustix::fs::fsync(file)?,
            Err(Errno::LOOP) => {} // all of a link is in its folder
            Err(error) => return Err(error.into()),
        }
        folders.extend(file.ancestors().skip(1).take_while(|it| it.starts_with(top)));
    }
    // The innermost first, so that no name leads to a folder that is not there yet.
    folders.iter().rev().try_for_each(|folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_files_and_many_are_synced_and_what_is_gone_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("jobs");
        std::fs::create_dir_all(top.join("a/b")).unwrap();
        let file = |n: usize| {
            let path = top.join(format!("a/b/{n}"));
            std::fs::write(&path, "x").unwrap();
            path
        };
        let files: Vec<PathBuf> = (0..=ONE_BY_ONE).map(file).collect();
        std::os::unix::fs::symlink("nowhere", top.join("link")).unwrap();
        sync_below(&top, &[&files[..3], &[top.join("link")]].concat()).unwrap();
        sync_below(&top, &files).unwrap();
        assert!(sync_below(&top, &[top.join("absent")]).is_err());
    }
}
