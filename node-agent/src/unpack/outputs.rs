//! What a job made: the files of its directory that are not as they were unpacked.
//!
//! The job made the directory whatever it liked: nothing is followed, everything is bounded, and what does not come along is
//! said by name.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use atlas_runtime::ignore_line::as_git_reads_it;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{Error, Snapshot};

/// Left out in any case: made anew wherever they are needed.
const ALWAYS: &str = "__pycache__/";
const MAX_PATTERNS: usize = 1_000;
/// Folders within folders; each is held open.
const MAX_DEPTH: usize = 128;
/// Files and folders looked at.
const MAX_SEEN: u64 = 10_000_000;
/// Bytes of all paths kept.
const MAX_NAMES: usize = 64 << 20;
/// Of those that stay behind, this many are named; the others are counted.
const MAX_NAMED: usize = 1_000;

/// What a job made.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Sorted by path.
    pub files: Vec<Output>,
    pub bytes: u64,
    pub left_behind: LeftBehind,
}

/// A file or link to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Below the job's directory. Open it with [`open`].
    pub path: PathBuf,
    pub kind: OutputKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputKind {
    File { size: u64 },
    Link { target: PathBuf },
}

/// What was changed, or could have been, and is not kept.
#[derive(Debug, Default)]
pub struct LeftBehind {
    /// The first thousand, sorted by path.
    pub named: Vec<(PathBuf, Reason)>,
    /// How many beyond those.
    pub more: u64,
    /// Changed files, and folders with all that is in them, that a pattern left out.
    pub excluded: u64,
}

/// Why something is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    TooManyBytes {
        size: u64,
    },
    TooManyFiles,
    TooDeep,
    /// The folder, and what was not reached after it.
    TooManySeen,
    Special(&'static str),
    Unreadable(io::ErrorKind),
}

/// How much of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub bytes: u64,
    pub files: usize,
}

/// What is not wanted, in the syntax of `.gitignore`.
#[derive(Clone, Debug)]
pub struct Exclude(Gitignore);

impl Exclude {
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, Error> {
        let refused = |pattern: &str, why: String| Error::Pattern {
            pattern: pattern.chars().take(200).collect(),
            why,
        };
        if let Some(pattern) = patterns.get(MAX_PATTERNS) {
            return Err(refused(pattern.as_ref(), format!("there are more than {MAX_PATTERNS}")));
        }
        let mut builder = GitignoreBuilder::new("");
        for pattern in std::iter::once(ALWAYS).chain(patterns.iter().map(AsRef::as_ref)) {
            let line = as_git_reads_it(pattern);
            builder.add_line(None, &line).map_err(|error| refused(pattern, error.to_string()))?;
        }
        builder.build().map(Self).map_err(|error| refused("", error.to_string()))
    }
}

/// Finds what was changed in `dir` since it was unpacked. Where it is too much the smallest files are kept: results before
/// weights.
pub fn changed(
    dir: &Path,
    since: &Snapshot,
    exclude: &Exclude,
    limits: Limits,
) -> Result<Outputs, Error> {
    let look = |source| Error::Look { dir: dir.to_owned(), source };
    let root = super::open_root(dir).map_err(look)?;
    let mut walk = Walk {
        since,
        exclude,
        limits,
        found: Vec::new(),
        names: 0,
        seen: 0,
        left_behind: LeftBehind::default(),
    };
    walk.folder(root, &[], 0).map_err(|errno| look(errno.into()))?;
    Ok(walk.keep())
}

struct Walk<'a> {
    since: &'a Snapshot,
    exclude: &'a Exclude,
    limits: Limits,
    found: Vec<Output>,
    names: usize,
    seen: u64,
    left_behind: LeftBehind,
}

impl Walk<'_> {
    /// `prefix` is empty or ends with a slash. An error means that the folder cannot be read.
    fn folder(&mut self, folder: OwnedFd, prefix: &[u8], depth: usize) -> Result<(), Errno> {
        let mut items = Dir::new(folder)?;
        while let Some(item) = items.read() {
            let item = item?;
            let name = item.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            self.seen += 1;
            if self.seen > MAX_SEEN {
                self.leave(prefix, Reason::TooManySeen);
                return Ok(());
            }
            let path = [prefix, name].concat();
            match rustix::fs::statat(items.fd()?, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(state) => self.item(items.fd()?, name, path, &state, depth),
                Err(Errno::NOENT) => {} // gone since
                Err(errno) => self.leave(&path, Reason::Unreadable(io::Error::from(errno).kind())),
            }
        }
        Ok(())
    }

    fn item(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &[u8],
        mut path: Vec<u8>,
        state: &Stat,
        depth: usize,
    ) {
        let kind = FileType::from_raw_mode(state.st_mode);
        if kind != FileType::Directory && !self.since.is_changed(state) {
            return;
        }
        if self.exclude.0.matched(as_path(&path), kind == FileType::Directory).is_ignore() {
            self.left_behind.excluded += 1;
            return;
        }
        match kind {
            FileType::Directory if depth == MAX_DEPTH => self.leave(&path, Reason::TooDeep),
            FileType::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                path.push(b'/');
                let walked = rustix::fs::openat(folder, name, flags, Mode::empty())
                    .and_then(|opened| self.folder(opened, &path, depth + 1));
                if let Err(errno) = walked {
                    self.leave(&path, Reason::Unreadable(io::Error::from(errno).kind()));
                }
            }
            FileType::RegularFile => {
                let size = u64::try_from(state.st_size).unwrap_or(0);
                self.find(path, OutputKind::File { size });
            }
            FileType::Symlink => match rustix::fs::readlinkat(folder, name, Vec::new()) {
                Ok(target) => self
                    .find(path, OutputKind::Link { target: as_path(target.to_bytes()).to_owned() }),
                Err(errno) => self.leave(&path, Reason::Unreadable(io::Error::from(errno).kind())),
            },
            FileType::Socket => self.leave(&path, Reason::Special("socket")),
            FileType::Fifo => self.leave(&path, Reason::Special("named pipe")),
            _ => self.leave(&path, Reason::Special("device")),
        }
    }

    fn find(&mut self, path: Vec<u8>, kind: OutputKind) {
        let target = match &kind {
            OutputKind::File { .. } => 0,
            OutputKind::Link { target } => target.as_os_str().len(),
        };
        let names = self.names + path.len() + target;
        if self.found.len() == self.limits.files || names > MAX_NAMES {
            return self.leave(&path, Reason::TooManyFiles);
        }
        self.names = names;
        self.found.push(Output { path: std::ffi::OsString::from_vec(path).into(), kind });
    }

    fn leave(&mut self, path: &[u8], reason: Reason) {
        if self.left_behind.named.len() < MAX_NAMED {
            self.left_behind.named.push((as_path(path).to_owned(), reason));
        } else {
            self.left_behind.more += 1;
        }
    }

    fn keep(mut self) -> Outputs {
        let mut found = std::mem::take(&mut self.found);
        found.sort_by(|a, b| a.size().cmp(&b.size()).then_with(|| a.path.cmp(&b.path)));
        let mut bytes = 0;
        let fit = found.iter().take_while(|it| {
            let more = it.size().saturating_add(bytes);
            let fits = more <= self.limits.bytes;
            if fits {
                bytes = more;
            }
            fits
        });
        let fit = fit.count();
        for it in found.split_off(fit) {
            self.leave(it.path.as_os_str().as_bytes(), Reason::TooManyBytes { size: it.size() });
        }
        found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        self.left_behind.named.sort_by(|a, b| a.0.cmp(&b.0));
        Outputs { files: found, bytes, left_behind: self.left_behind }
    }
}

impl Output {
    fn size(&self) -> u64 {
        match self.kind {
            OutputKind::File { size } => size,
            OutputKind::Link { .. } => 0,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyBytes { size } => {
                write!(f, "its {size} bytes are more than the limit leaves")
            }
            Self::TooManyFiles => f.write_str("there are more files than the limit"),
            Self::TooDeep => write!(f, "more than {MAX_DEPTH} folders deep"),
            Self::TooManySeen => write!(f, "looked at {MAX_SEEN} files and stopped here"),
            Self::Special(what) => write!(f, "a {what}"),
            Self::Unreadable(kind) => write!(f, "cannot be read: {kind}"),
        }
    }
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}
