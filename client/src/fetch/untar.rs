//! Files, folders and links out of a tar, beneath one folder. Links are made last, so that none is in the way.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use tar::{Archive, Entry, EntryType};

use super::{Beneath, Error};

/// The longest path that a kernel takes.
const LONGEST_NAME: u64 = 4096;
/// Links wait in memory until all files are there.
const MOST_LINKS: usize = 1_000_000;

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    pub written: u64,
    /// It was there already.
    pub kept: u64,
    /// Neither file, folder nor link.
    pub skipped: u64,
}

/// Writes what `tar` holds, where it is not there yet. `progress` is told the bytes of files as they pass.
pub fn untar(
    tar: impl Read,
    into: &Beneath,
    mut progress: impl FnMut(u64),
) -> Result<Fetched, Error> {
    let mut archive = Archive::new(tar);
    let mut fetched = Fetched::default();
    let mut links: Vec<(PathBuf, PathBuf)> = Vec::new();
    let mut long = Long::default();
    // Raw: long names are read here, where their length has a bound.
    for entry in archive.entries().map_err(Error::Read)?.raw(true) {
        let mut entry = entry.map_err(Error::Read)?;
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName => long.name = Some(long_text(&mut entry)?),
            EntryType::GNULongLink => long.link = Some(long_text(&mut entry)?),
            _ => {
                let Long { name, link } = std::mem::take(&mut long);
                let path = name.unwrap_or_else(|| path_of(&entry.path_bytes()));
                match kind {
                    EntryType::Directory => {
                        fetched.count(!into.has_folder(&path), || into.folder(&path))?;
                    }
                    EntryType::Regular | EntryType::Continuous => {
                        let size = entry.size();
                        fetched.file(&mut entry, &path, into)?;
                        progress(size);
                    }
                    EntryType::Symlink if links.len() < MOST_LINKS => {
                        let target =
                            link.or_else(|| entry.link_name_bytes().map(|it| path_of(&it)));
                        links.push((path, target.unwrap_or_default()));
                    }
                    _ => fetched.skipped += 1,
                }
            }
        }
    }
    for (path, target) in links {
        fetched.count(!into.has_link(&path, &target), || into.link(&path, &target))?;
    }
    Ok(fetched)
}

/// Texts of the entries before the one that they belong to.
#[derive(Default)]
struct Long {
    name: Option<PathBuf>,
    link: Option<PathBuf>,
}

impl Fetched {
    fn count(
        &mut self,
        missing: bool,
        make: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        if !missing {
            self.kept += 1;
            return Ok(());
        }
        make()?;
        self.written += 1;
        Ok(())
    }

    fn file(
        &mut self,
        entry: &mut Entry<'_, impl Read>,
        path: &Path,
        into: &Beneath,
    ) -> Result<(), Error> {
        let header = entry.header();
        let seconds =
            header.mtime().ok().and_then(|it| i64::try_from(it).ok()).filter(|it| *it > 0);
        let executable = header.mode().is_ok_and(|it| it & 0o100 != 0);
        let size = entry.size();
        self.count(!into.has_file(path, size, seconds), || {
            let mut exactly = Exactly { left: size, inner: entry };
            into.file(path, &mut exactly, executable, seconds)
        })
    }
}

/// Bytes that have to come: a stream that ends in the middle of a file is no end of the file.
struct Exactly<R> {
    left: u64,
    inner: R,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.left -= length as u64;
        if length == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(length)
    }
}

fn long_text(entry: &mut Entry<'_, impl Read>) -> Result<PathBuf, Error> {
    if entry.size() > LONGEST_NAME {
        return Err(Error::Read(io::Error::other("a name in it is longer than any path")));
    }
    let mut text = Vec::new();
    entry.read_to_end(&mut text).map_err(Error::Read)?;
    let end = text.iter().position(|it| *it == 0).unwrap_or(text.len());
    Ok(path_of(&text[..end]))
}

fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tar::{Builder, Header};

    use super::*;

    fn header(kind: EntryType, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o755);
        header.set_mtime(1000);
        header
    }

    /// A tar whose names are what they are, however wrong.
    fn raw(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
        let mut tar = Builder::new(Vec::new());
        for (kind, path, text) in entries {
            let link = *kind == EntryType::Symlink || *kind == EntryType::Link;
            let data: &[u8] = if link { b"" } else { text.as_bytes() };
            let mut header = header(*kind, data.len() as u64);
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            if link {
                header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
            }
            header.set_cksum();
            tar.append(&header, data).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn fetch(tar: &[u8]) -> (tempfile::TempDir, Result<Fetched, Error>) {
        let dir = tempfile::tempdir().unwrap();
        let beneath = Beneath::open(&dir.path().join("job")).unwrap();
        let fetched = untar(tar, &beneath, |_| {});
        (dir, fetched)
    }

    #[test]
    fn files_folders_and_links_come_as_they_are() {
        let long = format!("{}/{}", "d".repeat(90), "f".repeat(90));
        let mut tar = Builder::new(Vec::new());
        let mut data = |kind, path: &str, text: &str| {
            tar.append_data(&mut header(kind, text.len() as u64), path, text.as_bytes()).unwrap();
        };
        data(EntryType::Directory, "empty", "");
        data(EntryType::Regular, "bin/run", "#!");
        data(EntryType::Regular, &long, "long");
        tar.append_link(&mut header(EntryType::Symlink, 0), "link", "/mnt/data").unwrap();
        tar.append_link(&mut header(EntryType::Symlink, 0), "far", "t".repeat(150)).unwrap();
        let tar = tar.into_inner().unwrap();
        let (dir, fetched) = fetch(&tar);
        assert_eq!(fetched.unwrap(), Fetched { written: 5, kept: 0, skipped: 0 });
        let job = dir.path().join("job");
        assert_eq!(fs::read_to_string(job.join(&long)).unwrap(), "long");
        assert_eq!(fs::read_link(job.join("link")).unwrap(), Path::new("/mnt/data"));
        assert_eq!(fs::read_link(job.join("far")).unwrap().as_os_str().len(), 150);
        assert!(job.join("empty").is_dir());
        // Once more: all is there.
        let again = untar(tar.as_slice(), &Beneath::open(&job).unwrap(), |_| {}).unwrap();
        assert_eq!(again, Fetched { written: 0, kept: 5, skipped: 0 });
    }

    #[test]
    fn a_hostile_archive_writes_nowhere_else() {
        for path in ["../out", "/tmp/atlas-out", "a/../../out"] {
            let (dir, fetched) = fetch(&raw(&[(EntryType::Regular, path, "x")]));
            assert!(matches!(fetched, Err(Error::Hostile { .. })), "{path}");
            assert!(!dir.path().join("out").exists());
        }
    }

    #[test]
    fn a_link_in_the_archive_is_no_way_out_of_it() {
        let (dir, fetched) =
            fetch(&raw(&[(EntryType::Symlink, "a", ".."), (EntryType::Regular, "a/out", "x")]));
        // The file made a folder of that name first, so the link has no place.
        assert!(fetched.is_err());
        assert!(!dir.path().join("out").exists());
    }

    #[test]
    fn hard_links_and_devices_are_left_out() {
        let (dir, fetched) = fetch(&raw(&[
            (EntryType::Link, "hard", "/etc/passwd"),
            (EntryType::Fifo, "pipe", ""),
            (EntryType::Char, "device", ""),
            (EntryType::Regular, "file", "x"),
        ]));
        assert_eq!(fetched.unwrap(), Fetched { written: 1, kept: 0, skipped: 3 });
        assert_eq!(fs::read_dir(dir.path().join("job")).unwrap().count(), 1);
    }

    #[test]
    fn an_archive_that_ends_early_leaves_no_half_file() {
        let tar = raw(&[
            (EntryType::Regular, "a", "whole"),
            (EntryType::Regular, "b", &"x".repeat(5000)),
        ]);
        let (dir, fetched) = fetch(&tar[..2 * 512 + 512 + 1000]);
        assert!(matches!(fetched, Err(Error::Read(_))));
        assert!(dir.path().join("job/a").exists() && !dir.path().join("job/b").exists());
    }

    #[test]
    fn a_name_longer_than_any_path_is_refused() {
        let (_dir, fetched) =
            fetch(&raw(&[(EntryType::GNULongName, "././@LongLink", &"n".repeat(5000))]));
        assert!(fetched.unwrap_err().to_string().contains("could not read the archive"));
    }
}
