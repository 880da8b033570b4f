//! The walk through a job directory.

use std::ffi::OsStr;
use std::fs::{self, File, FileType, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD};

use super::ignored::Ignored;
use super::tree::path;
use super::{Entry, Error, Excluded, Kind, Notice, Rules, Tree, secrets};

/// More than this is a data set, which belongs on a volume; nodes refuse it too.
const MAX_ENTRIES: usize = 1_000_000;
/// Folders within folders; nodes keep each of them open while they unpack.
const MAX_DEPTH: usize = 128;
/// The longest path that a kernel takes, without its zero.
const MAX_PATH: usize = 4095;

/// Looks at every file of a job directory and says what goes along and what stays behind. Reads names and sizes, and of small
/// files whether they are private keys; follows no link.
pub fn collect(dir: &Path, rules: Rules) -> Result<Tree, Error> {
    let read = |source| Error::Read { path: dir.to_owned(), source };
    let root = dir.canonicalize().map_err(read)?;
    if !fs::metadata(&root).map_err(read)?.is_dir() {
        return Err(Error::NotADirectory { dir: dir.to_owned() });
    }
    let mut walk = Walk {
        root: &root,
        ignored: Ignored::new(&root, rules),
        entries: Vec::new(),
        excluded: Vec::new(),
        notices: Vec::new(),
        seen: 0,
    };
    walk.folder(&[], 0)?;
    let Walk { mut entries, mut excluded, notices, .. } = walk;
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    excluded.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(Tree { root, entries, excluded, notices })
}

struct Walk<'a> {
    root: &'a Path,
    ignored: Ignored<'a>,
    entries: Vec<Entry>,
    excluded: Vec<Excluded>,
    notices: Vec<Notice>,
    seen: usize,
}

impl Walk<'_> {
    /// `prefix` is empty or ends with a slash.
    fn folder(&mut self, prefix: &[u8], depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(Error::TooDeep { path: path(prefix), limit: MAX_DEPTH });
        }
        let folder = path(prefix);
        self.ignored.enter(&folder, &mut self.notices)?;
        let read = |source| Error::Read { path: self.root.join(&folder), source };
        let mut found = Vec::new();
        for item in fs::read_dir(self.root.join(&folder)).map_err(read)? {
            let item = item.map_err(read)?;
            self.seen += 1;
            if self.seen > MAX_ENTRIES {
                return Err(Error::TooMany { dir: self.root.to_owned(), limit: MAX_ENTRIES });
            }
            found.push((item.file_name().into_vec(), item.file_type().map_err(read)?));
        }
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (name, kind) in found {
            let name = [prefix, &name].concat();
            self.item(name, kind, depth)?;
        }
        self.ignored.leave();
        Ok(())
    }

    fn item(&mut self, mut name: Vec<u8>, kind: FileType, depth: usize) -> Result<(), Error> {
        let relative = path(&name);
        if let Some(rule) = self.ignored.rule_for(&relative, kind.is_dir()) {
            self.excluded.push(Excluded { path: relative, folder: kind.is_dir(), rule });
            return Ok(());
        }
        if name.len() >= MAX_PATH {
            return Err(Error::TooLong { path: relative, limit: MAX_PATH });
        }
        if kind.is_dir() {
            name.push(b'/');
            self.entries.push(Entry { name: name.clone().into(), kind: Kind::Folder });
            return self.folder(&name, depth + 1);
        }
        let kind = if kind.is_symlink() {
            self.link(relative)?
        } else if kind.is_file() {
            self.file(relative)?
        } else {
            self.notices.push(Notice::Special { path: relative, what: special(kind) });
            return Ok(());
        };
        self.entries.push(Entry { name: name.into(), kind });
        Ok(())
    }

    fn link(&mut self, path: PathBuf) -> Result<Kind, Error> {
        let target = fs::read_link(self.root.join(&path))
            .map_err(|source| Error::Read { path: path.clone(), source })?;
        let bytes = target.as_os_str().as_bytes().into();
        if leaves(&path, &target) {
            self.notices.push(Notice::LeavesTheTree { path, target });
        }
        Ok(Kind::Link { target: bytes })
    }

    fn file(&mut self, path: PathBuf) -> Result<Kind, Error> {
        let full = self.root.join(&path);
        let read = |source| Error::Read { path: full.clone(), source };
        let metadata = fs::symlink_metadata(&full).map_err(read)?;
        let secret = match path.file_name().map(OsStr::as_bytes).and_then(secrets::by_name) {
            None if holds_key(&full, &metadata).map_err(read)? => Some("a private key"),
            known => known,
        };
        if let Some(what) = secret {
            self.notices.push(Notice::Secret { path, what });
        }
        Ok(Kind::File {
            size: metadata.len(),
            executable: metadata.permissions().mode() & 0o100 != 0,
        })
    }
}

/// Looks for a key in a small file. Of every other only whether it can be read, so that all is known before the packing.
fn holds_key(file: &Path, metadata: &Metadata) -> io::Result<bool> {
    if metadata.len() > secrets::LARGEST_KEY {
        rustix::fs::accessat(CWD, file, Access::READ_OK, AtFlags::EACCESS)?;
        return Ok(false);
    }
    let mut text = Vec::new();
    File::open(file)?.take(secrets::LARGEST_KEY).read_to_end(&mut text)?;
    Ok(secrets::is_private_key(&text))
}

/// Whether a link points out of the tree, by its text alone.
fn leaves(link: &Path, target: &Path) -> bool {
    let mut depth = link.components().count() - 1;
    for component in target.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return true,
        }
    }
    false
}

fn special(kind: FileType) -> &'static str {
    match kind {
        _ if kind.is_socket() => "socket",
        _ if kind.is_fifo() => "named pipe",
        _ => "device",
    }
}
