//! A file that comes in pieces, from somebody who may break off and begin again. It has its name when all of it is there and is
//! what was announced.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use sha2::{Digest, Sha256};

use super::durable::sync_below;
use super::keeper::{part_name, regular};
use super::tree::Tree;

/// A pipe that somebody put there must not stop us.
const WRITE: OFlags = OFlags::RDWR
    .union(OFlags::CREATE)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);
const READ: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// A file as it is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Below the folder that it comes into.
    pub path: PathBuf,
    pub bytes: u64,
    pub sha256: [u8; 32],
}

/// How far a file has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Come {
    /// It is there, and survives the death of the storage's machine.
    Whole,
    /// It lacks the bytes from here on.
    UpTo(u64),
    /// All bytes came, and they are not what was announced: they are gone.
    Differs,
}

/// Takes the bytes from `offset` on; those that are there already do not count. Names up to `top` are made to last. One at a time
/// for each folder. Blocks.
pub fn take(to: &Path, top: &Path, file: &Announced, offset: u64, data: &[u8]) -> io::Result<Come> {
    let mut tree = Tree::create(to)?;
    let (folder, name) = tree.place(&file.path)?;
    if let Some(found) = regular(folder, name)?
        && u64::try_from(found.st_size) == Ok(file.bytes)
        && hash(&opened(folder, name, READ)?)? == file.sha256
    {
        return Ok(Come::Whole);
    }
    let part = part(&file.sha256);
    let open = opened(folder, &part, WRITE)?;
    let there = match open.metadata()?.len() {
        there if there <= file.bytes => there,
        _ => {
            open.set_len(0)?;
            0
        }
    };
    let there = written(&open, there, offset, data, file.bytes)?;
    if there < file.bytes {
        return Ok(Come::UpTo(there));
    }
    if hash(&open)? != file.sha256 {
        rustix::fs::unlinkat(folder, &part, AtFlags::empty())?;
        return Ok(Come::Differs);
    }
    rustix::fs::renameat(folder, &part, folder, name)?;
    sync_below(top, &[to.join(&file.path)])?;
    Ok(Come::Whole)
}

/// Appends to a file that only grows; `anew` = what was there is gone first. Returns the bytes that are there then: fewer than
/// `offset` means that some before it are missing, and nothing was written. Blocks.
pub fn append(to: &Path, path: &Path, offset: u64, data: &[u8], anew: bool) -> io::Result<u64> {
    let mut tree = Tree::create(to)?;
    let (folder, name) = tree.place(path)?;
    let file = opened(folder, name, WRITE)?;
    if anew && offset == 0 {
        file.set_len(0)?;
    }
    let there = file.metadata()?.len();
    written(&file, there, offset, data, u64::MAX)
}

/// A folder with nothing in it yet, and those above it. Blocks.
pub fn make_folder(to: &Path, path: &Path) -> io::Result<()> {
    Tree::create(to)?.folder(path).map(drop)
}

fn written(file: &File, there: u64, offset: u64, data: &[u8], most: u64) -> io::Result<u64> {
    let known = there.saturating_sub(offset);
    let new = usize::try_from(known).ok().and_then(|it| data.get(it..)).unwrap_or_default();
    if there < offset {
        return Ok(there);
    }
    let end = there + new.len() as u64;
    if end > most {
        let why = format!("more than the {most} bytes that were announced");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    file.write_all_at(new, there)?;
    Ok(end)
}

fn opened(folder: &OwnedFd, name: impl rustix::path::Arg, flags: OFlags) -> io::Result<File> {
    let file = File::from(rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o644))?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "there is something else of this name"))
    }
}

fn hash(file: &File) -> io::Result<[u8; 32]> {
    let (mut digest, mut offset, mut piece) = (Sha256::new(), 0, vec![0; 256 << 10]);
    loop {
        match file.read_at(&mut piece, offset) {
            Ok(0) => return Ok(digest.finalize().into()),
            Ok(read) => {
                digest.update(&piece[..read]);
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The same for the same content: whoever sends it again goes on with it. Listings leave it out ([`super::is_part`]).
fn part(sha256: &[u8; 32]) -> String {
    part_name(u64::from_be_bytes(sha256[..8].try_into().expect("eight of them")))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    struct World(tempfile::TempDir);

    impl World {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn take(&self, path: &str, text: &[u8], offset: u64, data: &[u8]) -> io::Result<Come> {
            let file = Announced {
                path: path.into(),
                bytes: text.len() as u64,
                sha256: Sha256::digest(text).into(),
            };
            take(&self.0.path().join("to"), self.0.path(), &file, offset, data)
        }

        fn read(&self, path: &str) -> Option<String> {
            fs::read_to_string(self.0.path().join("to").join(path)).ok()
        }
    }

    #[test]
    fn a_file_has_its_name_when_it_is_whole_however_often_its_pieces_come() {
        let world = World::new();
        let text = b"abcdef";
        assert_eq!(world.take("d/f", text, 0, b"abc").unwrap(), Come::UpTo(3));
        assert_eq!(world.take("d/f", text, 5, b"f").unwrap(), Come::UpTo(3), "a gap");
        assert_eq!(world.take("d/f", text, 1, b"bcd").unwrap(), Come::UpTo(4), "overlapping");
        assert_eq!(world.read("d/f"), None);
        assert_eq!(world.take("d/f", text, 4, b"ef").unwrap(), Come::Whole);
        assert_eq!(world.take("d/f", text, 0, b"abcdef").unwrap(), Come::Whole, "again");
        assert_eq!(world.read("d/f").as_deref(), Some("abcdef"));
        assert_eq!(world.take("d/f", b"", 0, b"").unwrap(), Come::Whole, "another content");
        assert_eq!(world.read("d/f").as_deref(), Some(""));
        assert_eq!(fs::read_dir(world.0.path().join("to/d")).unwrap().count(), 1);
    }

    #[test]
    fn what_is_not_what_was_announced_is_not_kept() {
        let world = World::new();
        assert_eq!(world.take("f", b"abc", 0, b"abd").unwrap(), Come::Differs);
        assert!(world.take("f", b"abc", 0, b"abcd").is_err(), "longer");
        assert_eq!(world.take("f", b"abc", 0, b"").unwrap(), Come::UpTo(0), "from the beginning");
        assert_eq!(world.read("f"), None);
    }

    #[test]
    fn no_path_and_no_link_leads_out_of_the_folder() {
        let world = World::new();
        let outside = world.0.path().join("outside");
        fs::create_dir_all(&outside).unwrap();
        fs::create_dir_all(world.0.path().join("to")).unwrap();
        fs::write(outside.join("f"), "old").unwrap();
        for path in ["../outside/f", "/f", "a/../../outside/f", "", ".."] {
            assert!(world.take(path, b"new", 0, b"new").is_err(), "{path}");
            let to = world.0.path().join("to");
            assert!(append(&to, Path::new(path), 0, b"new", true).is_err(), "{path}");
        }
        symlink(&outside, world.0.path().join("to/d")).unwrap();
        symlink(outside.join("f"), world.0.path().join("to/l")).unwrap();
        // A link gives way to the file that has its name.
        for path in ["d/f", "l"] {
            assert_eq!(world.take(path, b"new", 0, b"new").unwrap(), Come::Whole);
        }
        symlink(outside.join("f"), world.0.path().join("to/m")).unwrap();
        assert!(append(&world.0.path().join("to"), Path::new("m"), 0, b"new", true).is_err());
        assert_eq!(fs::read_to_string(outside.join("f")).unwrap(), "old");
    }

    #[test]
    fn a_file_that_grows_gets_each_byte_once() {
        let world = World::new();
        let to = world.0.path().join("to");
        let append = |offset, data: &[u8], anew| append(&to, Path::new("e"), offset, data, anew);
        assert_eq!(append(0, b"abc", false).unwrap(), 3);
        assert_eq!(append(1, b"bcd", false).unwrap(), 4);
        assert_eq!(append(9, b"z", false).unwrap(), 4);
        assert_eq!(world.read("e").as_deref(), Some("abcd"));
        assert_eq!(append(0, b"x", true).unwrap(), 1);
        assert_eq!(world.read("e").as_deref(), Some("x"));
    }
}
