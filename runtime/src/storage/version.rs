//! A folder that is replaced as a whole: the new one is made beside it, and takes its place in one step. Files that are the same in
//! both are linked, not written again.

use std::ffi::OsStr;
use std::fs::File;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::durable::sync_below;
use super::keeper::part_name;
use super::tree::Tree;
use crate::process::remove_all_at;

/// The folder beside the versions for content that is not in one yet. Listings leave it out ([`super::is_part`]).
pub const COMING: &str = ".atlas-0000000000000000.part";

/// A file of the new folder, and where its content is by now, both below the folder that all versions are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    pub path: PathBuf,
    pub from: PathBuf,
}

/// Makes the folder `name` of these files, and of one more with a text. Until the end the old one stands. Names up to `top` are made
/// to last. One at a time for each folder that they are in. Blocks.
pub fn replace(
    all: &Path,
    top: &Path,
    name: &str,
    files: &[Placed],
    (note, text): (&str, &[u8]),
) -> io::Result<()> {
    let root = Tree::create(all)?;
    settle(&root, all, name)?;
    let next = beside(name, "next");
    remove(root.root(), &next, all)?;
    let path = all.join(&next);
    let mut tree = Tree::create(&path)?;
    let mut sources = Tree::create(all)?;
    for file in files {
        let (from, old) = sources.place(&file.from)?;
        let (to, new) = tree.place(&file.path)?;
        link(from, old, to, new)?;
    }
    write(tree.root(), note, text)?;
    let made: Vec<PathBuf> = files.iter().map(|it| path.join(&it.path)).collect();
    sync_below(top, &[&*made, &[path.join(note)]].concat())?;
    exchange(&root, all, name, &next)?;
    rustix::fs::fsync(root.root())?;
    remove(root.root(), &next, all)
}

/// Removes what came to be part of a folder and is. Blocks.
pub fn forget(all: &Path, files: &[PathBuf]) -> io::Result<()> {
    let mut root = Tree::create(all)?;
    for file in files {
        let (folder, name) = root.place(file)?;
        match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Where a master died between the two steps of a storage that cannot do it in one, the old folder takes its place again. Blocks.
pub fn mend(all: &Path, name: &str) -> io::Result<()> {
    match File::open(all) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(_) => settle(&Tree::create(all)?, all, name),
    }
}

fn settle(root: &Tree, all: &Path, name: &str) -> io::Result<()> {
    let old = beside(name, "old");
    let root = root.root();
    if is_there(root, name)? {
        return remove(root, &old, all);
    }
    match rustix::fs::renameat(root, &old, root, name) {
        Err(Errno::NOENT) => Ok(()),
        done => Ok(done?),
    }
}

fn exchange(root: &Tree, all: &Path, name: &str, next: &str) -> io::Result<()> {
    let root = root.root();
    if !is_there(root, name)? {
        return Ok(rustix::fs::renameat(root, next, root, name)?);
    }
    match rustix::fs::renameat_with(root, next, root, name, RenameFlags::EXCHANGE) {
        // As NFS.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            let old = beside(name, "old");
            rustix::fs::renameat(root, name, root, &old)?;
            rustix::fs::renameat(root, next, root, name)?;
            remove(root, &old, all)
        }
        done => Ok(done?),
    }
}

fn is_there(root: &OwnedFd, name: &str) -> io::Result<bool> {
    match rustix::fs::statat(root, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(false),
        found => Ok(found.map(|_| true)?),
    }
}

/// A second name for the same content; a copy where the storage has no such thing.
fn link(from: &OwnedFd, old: &OsStr, to: &OwnedFd, new: &OsStr) -> io::Result<()> {
    match rustix::fs::linkat(from, old, to, new, AtFlags::empty()) {
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK | Errno::XDEV) => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let mut source = File::from(rustix::fs::openat(from, old, flags, Mode::empty())?);
            io::copy(&mut source, &mut create(to, new)?).map(drop)
        }
        linked => Ok(linked?),
    }
}

fn create(folder: &OwnedFd, name: impl rustix::path::Arg) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o644))?))
}

fn write(folder: &OwnedFd, name: &str, text: &[u8]) -> io::Result<()> {
    io::Write::write_all(&mut create(folder, name)?, text)
}

fn remove(root: &OwnedFd, name: &str, all: &Path) -> io::Result<()> {
    remove_all_at(root, OsStr::new(name), &all.join(name)).map_err(|remains| remains.source)
}

/// Left out of listings ([`super::is_part`]).
fn beside(name: &str, what: &str) -> String {
    part_name(BuildHasherDefault::<DefaultHasher>::default().hash_one((name, what)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn replace_with(all: &Path, files: &[(&str, &str)]) -> io::Result<()> {
        let files: Vec<Placed> = files
            .iter()
            .map(|(path, from)| Placed { path: path.into(), from: from.into() })
            .collect();
        replace(all, all.parent().unwrap(), "key", &files, ("note", b"text"))
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_folder_becomes_another_one_and_keeps_what_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let all = folder.path().join("all");
        fs::create_dir_all(all.join("new")).unwrap();
        for name in ["a", "b"] {
            fs::write(all.join("new").join(name), name).unwrap();
        }
        replace_with(&all, &[("x/a", "new/a"), ("b", "new/b")]).unwrap();
        assert_eq!(names(&all.join("key")), ["b", "note", "x"]);
        let before = fs::metadata(all.join("key/x/a")).unwrap().ino();
        replace_with(&all, &[("y/a", "key/x/a"), ("z", "key/x/a")]).unwrap();
        assert_eq!(names(&all.join("key")), ["note", "y", "z"]);
        assert_eq!(fs::metadata(all.join("key/y/a")).unwrap().ino(), before);
        assert_eq!(names(&all), ["key", "new"], "nothing is left over");
        let error = replace_with(&all, &[("w", "new/a"), ("v", "new/gone")]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(names(&all.join("key")), ["note", "y", "z"], "the old one stands");
        for path in ["../w", "/w", "w/../../v"] {
            assert!(replace_with(&all, &[(path, "new/a")]).is_err(), "{path}");
            assert!(replace_with(&all, &[("w", path)]).is_err(), "{path}");
        }
        assert_eq!(names(folder.path()), ["all"]);
    }

    #[test]
    fn what_a_death_left_between_two_steps_is_put_right() {
        let folder = tempfile::tempdir().unwrap();
        let all = folder.path().join("all");
        mend(&all, "key").unwrap();
        fs::create_dir_all(all.join(beside("key", "old"))).unwrap();
        fs::write(all.join(beside("key", "old")).join("a"), "a").unwrap();
        fs::create_dir_all(all.join(beside("key", "next"))).unwrap();
        mend(&all, "key").unwrap();
        assert_eq!(names(&all.join("key")), ["a"]);
        replace_with(&all, &[("b", "key/a")]).unwrap();
        assert_eq!(
            (names(&all), names(&all.join("key"))),
            (vec!["key".into()], vec!["b".into(), "note".to_owned()])
        );
    }
}
