//! Files and links into a folder, one after the other.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use atlas_core::files::Meta;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use super::durable::{ONE_BY_ONE, sync_below};
use super::found;
use super::give::{self, Owner, give};
use super::is_denied;
use super::mirror::{self, Offered};
use super::shipment::Left;
use super::tree::Tree;
use crate::process::remove_all_at;

/// How far a file has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    There,
    /// It lacks the bytes from here on.
    From(u64),
}

/// What becomes of the things in a mirror that were not offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// All that there is was offered.
    Go,
    /// Some of it was not, so that they may be of that.
    Stay,
}

/// A folder that is filled. It is made with the first thing in it.
pub struct Keeper {
    to: PathBuf,
    /// Names up to here are made to last.
    top: PathBuf,
    owner: Option<Owner>,
    tree: Option<Tree>,
    open: Option<Open>,
    /// What has to last. Beyond [`ONE_BY_ONE`] it does not matter which.
    kept: Vec<PathBuf>,
    offered: Option<Offered>,
}

/// The file that is being written.
struct Open {
    file: File,
    folder: OwnedFd,
    part: OsString,
    path: PathBuf,
    meta: Meta,
    written: u64,
}

impl Keeper {
    /// For outputs: made by whoever writes them.
    pub fn new(to: PathBuf, top: PathBuf) -> Self {
        Self { to, top, owner: None, tree: None, open: None, kept: Vec::new(), offered: None }
    }

    /// For a folder that is to become the same as another, with all that is in it: owners, modes, and what is not there any more.
    pub fn mirror(to: PathBuf, top: PathBuf, owner: Owner) -> Self {
        let offered = Some(Offered::default());
        Self { owner: Some(owner), offered, ..Self::new(to, top) }
    }

    /// For a folder that is to hold what is offered and nothing else.
    pub fn whole(to: PathBuf, top: PathBuf) -> Self {
        Self { offered: Some(Offered::default()), ..Self::new(to, top) }
    }

    /// Makes the folder. What fails here fails for all that is to be in it.
    pub fn begin(&mut self) -> io::Result<()> {
        if self.tree.is_some() {
            return Ok(());
        }
        let root = tree(&mut self.tree, &self.to)?.root();
        if let Some(owner) = self.owner {
            give::ours(root, owner)?;
        }
        Ok(())
    }

    pub(super) fn to(&self) -> &Path {
        &self.to
    }

    pub(super) fn is_mirror(&self) -> bool {
        self.offered.is_some()
    }

    /// How far this file has come by an earlier try.
    pub fn look(&mut self, path: &Path, meta: &Meta) -> io::Result<Standing> {
        self.offer(path);
        let (folder, name) = tree(&mut self.tree, &self.to)?.place(path)?;
        if regular(folder, name)?.is_some_and(|it| is_there(&it, meta)) {
            self.remember(path);
            return Ok(Standing::There);
        }
        let begun = regular(folder, &part(name, meta))?;
        let begun = begun.and_then(|it| u64::try_from(it.st_size).ok());
        Ok(Standing::From(begun.filter(|it| *it <= meta.bytes).unwrap_or(0)))
    }

    /// Begins to write a file, or goes on with it.
    pub fn open(&mut self, path: &Path, meta: &Meta, from: u64) -> io::Result<()> {
        let (folder, name) = tree(&mut self.tree, &self.to)?.place(path)?;
        let part = part(name, meta);
        // A pipe that a job has put there must not stop us.
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let flags = if from == 0 { flags | OFlags::TRUNC } else { flags };
        // Whoever goes on with it must be able to. It is given away, with its mode, when it is whole.
        let mode = if self.owner.is_some() { 0o600 } else { meta.mode | 0o600 };
        let file = rustix::fs::openat(folder, &part, flags, Mode::from_raw_mode(mode))?;
        let file = File::from(file);
        if file.metadata()?.len() < from {
            return Err(io::Error::other(format!("{} is shorter than it was", path.display())));
        }
        let folder = folder.try_clone()?;
        let (path, meta) = (path.to_owned(), *meta);
        self.open = Some(Open { file, folder, part, path, meta, written: from });
        Ok(())
    }

    /// The next bytes of the open file. No more than were announced.
    pub fn write(&mut self, data: &[u8]) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        let open = self.open.as_mut().ok_or_else(nothing_open)?;
        let end = open.written + data.len() as u64;
        if end > open.meta.bytes {
            let why = format!(
                "{} has more than the {} bytes that were announced",
                open.path.display(),
                open.meta.bytes
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        open.file.write_all_at(data, open.written)?;
        open.written = end;
        Ok(())
    }

    /// The open file has come to its end, and gets its time and its name.
    pub fn finish(&mut self) -> io::Result<()> {
        let Open { mut file, folder, part, path, meta, written } =
            self.open.take().ok_or_else(nothing_open)?;
        file.flush()?;
        let found = file.metadata()?.len();
        if found > written {
            file.set_len(written)?; // of a try that was cut off
        } else if found < written {
            let why = format!("{} has {found} bytes where {written} were written", path.display());
            return Err(io::Error::other(why));
        }
        if let Some(owner) = self.owner {
            give(&file, owner, meta.mode)?;
        }
        let (tv_sec, tv_nsec) = meta.modified;
        let time = Timespec { tv_sec, tv_nsec: tv_nsec.into() };
        rustix::fs::futimens(&file, &Timestamps { last_access: time, last_modification: time })?;
        let name = path.file_name().ok_or_else(nothing_open)?;
        put(&folder, &part, name, &self.to.join(&path))?;
        self.remember(&path);
        Ok(())
    }

    /// The rest of the open file will never come.
    pub fn abandon(&mut self) {
        if let Some(Open { folder, part, .. }) = self.open.take() {
            // Nobody goes on with it; left over it takes room and does no other harm.
            let _ = rustix::fs::unlinkat(&folder, &part, AtFlags::empty());
        }
    }

    pub fn link(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        self.offer(path);
        let (folder, name) = tree(&mut self.tree, &self.to)?.place(path)?;
        let there = rustix::fs::readlinkat(folder, name, Vec::new());
        if !there.is_ok_and(|it| it.to_bytes() == target.as_os_str().as_encoded_bytes()) {
            let part = part(name, &Meta { bytes: 0, modified: (0, 0), mode: 0 });
            match rustix::fs::unlinkat(folder, &part, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
            rustix::fs::symlinkat(target, folder, &part)?;
            put(folder, &part, name, &self.to.join(path))?;
        }
        self.remember(path);
        Ok(())
    }

    pub fn folder(&mut self, path: &Path, mode: u32) -> io::Result<()> {
        self.offer(path);
        let folder = tree(&mut self.tree, &self.to)?.folder(path)?;
        if let Some(owner) = self.owner {
            // Whoever fills it must get in.
            match give(&folder, owner, mode | 0o700) {
                // An earlier attempt's, on a node with the storage: whether it can be filled is seen with what is in it.
                Err(error) if is_denied(&error) => {}
                given => given?,
            }
        }
        Ok(())
    }

    /// All that was kept survives the death of the storage's machine.
    pub fn end(mut self, others: Others) -> io::Result<Vec<Left>> {
        let mut left = Vec::new();
        if let (Some(offered), Others::Go) = (&self.offered, others) {
            let tree = tree(&mut self.tree, &self.to)?;
            left = mirror::remove_others(tree.root(), &self.to, offered)?;
            let _ = std::fs::remove_dir(&self.to); // where nothing is in it
        }
        if !self.kept.is_empty() {
            sync_below(&self.top, &self.kept)?;
        }
        Ok(left)
    }

    fn offer(&mut self, path: &Path) {
        if let Some(offered) = &mut self.offered {
            offered.add(path);
        }
    }

    fn remember(&mut self, path: &Path) {
        if self.kept.len() <= ONE_BY_ONE {
            self.kept.push(self.to.join(path));
        }
    }
}

fn tree<'a>(tree: &'a mut Option<Tree>, to: &Path) -> io::Result<&'a mut Tree> {
    match tree {
        Some(tree) => Ok(tree),
        None => Ok(tree.insert(Tree::create(to)?)),
    }
}

fn nothing_open() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "no file was begun")
}

pub(super) fn regular(folder: &OwnedFd, name: &OsStr) -> io::Result<Option<Stat>> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile => {
            Ok(Some(found))
        }
        Ok(_) | Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn is_there(stat: &Stat, meta: &Meta) -> bool {
    let Meta { bytes, modified, .. } = found::meta(stat);
    (bytes, modified) == (meta.bytes, meta.modified)
}

/// Gives a file its name. A folder of that name can only be an earlier attempt's.
fn put(folder: &OwnedFd, part: &OsStr, name: &OsStr, path: &Path) -> io::Result<()> {
    let rename = || rustix::fs::renameat(folder, part, folder, name);
    match rename() {
        Err(Errno::ISDIR) => {
            remove_all_at(folder, name, path).map_err(|remains| remains.source)?;
            Ok(rename()?)
        }
        done => Ok(done?),
    }
}

/// Not a name that a job would choose, and another for another content; names are at most 255 bytes long.
fn part(name: &OsStr, meta: &Meta) -> OsString {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((name, meta));
    part_name(hash).into()
}

/// Of a file that has not come whole; listings leave it out ([`is_part`]).
pub fn part_name(number: u64) -> String {
    format!(".atlas-{number:016x}.part")
}

/// Whether this is the name of a file that has not come whole.
pub fn is_part(name: &[u8]) -> bool {
    let hash = name.strip_prefix(b".atlas-").and_then(|it| it.strip_suffix(b".part"));
    hash.is_some_and(|it| it.len() == 16 && it.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests;
