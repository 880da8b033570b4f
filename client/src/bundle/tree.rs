//! What a walk through a job directory found.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::{Error, Rule, tar};

/// The files of a job directory that go along, in the order of the archive, and what was noticed on the way.
#[derive(Debug)]
pub struct Tree {
    pub(super) root: PathBuf,
    pub(super) entries: Vec<Entry>,
    pub(super) excluded: Vec<Excluded>,
    pub(super) notices: Vec<Notice>,
}

/// One entry of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The path below the job directory, as it stands in the archive: bytes, a folder's with a slash at its end.
    pub name: Box<[u8]>,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    File { size: u64, executable: bool },
    Folder,
    Link { target: Box<[u8]> },
}

/// A file that stays behind, or a folder with all that is in it.
#[derive(Clone, Debug)]
pub struct Excluded {
    /// A folder's has no slash at its end.
    pub path: PathBuf,
    pub folder: bool,
    pub rule: Arc<Rule>,
}

/// Something the user should know before anything is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The link travels as a link; what it points at does not.
    LeavesTheTree { path: PathBuf, target: PathBuf },
    /// Neither file nor folder nor link: it stays behind.
    Special { path: PathBuf, what: &'static str },
    /// It goes along, and perhaps should not.
    Secret { path: PathBuf, what: &'static str },
    /// A line of an ignore file that says nothing.
    BadPattern { rule: Rule, why: String },
}

impl Tree {
    /// The job directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What stays behind by a rule, sorted by path.
    pub fn excluded(&self) -> &[Excluded] {
        &self.excluded
    }

    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Number of regular files and their bytes.
    pub fn totals(&self) -> (u64, u64) {
        self.entries.iter().fold((0, 0), |(files, bytes), it| match it.kind {
            Kind::File { size, .. } => (files + 1, bytes + size),
            Kind::Folder | Kind::Link { .. } => (files, bytes),
        })
    }

    /// Bytes of the archive before compression.
    pub fn tar_size(&self) -> u64 {
        tar::total(self.entries.iter().map(tar::size_of).sum())
    }

    /// The `count` paths that make the bundle large, largest first. A folder stands for what is in it where that is many
    /// files; it does not where one path in it makes up most of it.
    pub fn largest(&self, count: usize) -> Vec<(PathBuf, u64)> {
        let mut paths = Vec::new();
        let mut open: Vec<Folder> = Vec::new();
        for entry in &self.entries {
            while let Some(folder) = open.pop_if(|it| !entry.name.starts_with(it.name)) {
                folder.close(open.last_mut(), &mut paths);
            }
            match entry.kind {
                Kind::Folder => open.push(Folder { name: &entry.name, total: 0, most: 0 }),
                Kind::File { size, .. } => {
                    paths.push((&*entry.name, size));
                    if let Some(folder) = open.last_mut() {
                        folder.add(size);
                    }
                }
                Kind::Link { .. } => {}
            }
        }
        while let Some(folder) = open.pop() {
            folder.close(open.last_mut(), &mut paths);
        }
        paths.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let mut largest: Vec<(&[u8], u64)> = Vec::new();
        for (name, size) in paths {
            if largest.len() == count {
                break;
            }
            if !largest.iter().any(|(it, _)| it.ends_with(b"/") && name.starts_with(it)) {
                largest.push((name, size));
            }
        }
        largest.into_iter().map(|(name, size)| (path(name), size)).collect()
    }

    /// Refuses a command that names a file which stays behind: `main.py`, `./main.py` and `--config=main.py` alike.
    pub fn check_command<S: AsRef<OsStr>>(&self, command: &[S]) -> Result<(), Error> {
        for word in command {
            let word = word.as_ref().as_bytes();
            let value = word.iter().position(|it| *it == b'=').map(|at| &word[at + 1..]);
            for named in [Some(word), value].into_iter().flatten() {
                let Some(named) = self.below(path(named)) else { continue };
                if let Some(rule) = self.rule_of(&named) {
                    return Err(Error::Ignored { path: named, rule: rule.clone() });
                }
            }
        }
        Ok(())
    }

    /// The rule by which a file of the job directory stays behind, whether it is named itself or lies in such a folder.
    pub fn rule_of(&self, file: &Path) -> Option<&Rule> {
        let found = file.ancestors().find_map(|it| {
            let at =
                self.excluded.binary_search_by(|excluded| excluded.path.as_path().cmp(it)).ok()?;
            Some(&self.excluded[at])
        })?;
        // A folder in the command is most often where results go; only a file can be missing.
        (!found.folder || self.root.join(file).is_file()).then_some(&*found.rule)
    }

    /// The path below the job directory, without `.` and `..`; none for what lies outside.
    fn below(&self, named: PathBuf) -> Option<PathBuf> {
        let relative = match named.strip_prefix(&self.root) {
            Ok(relative) => relative.to_owned(),
            Err(_) => named,
        };
        let mut clean = PathBuf::new();
        for component in relative.components() {
            match component {
                Component::Normal(name) => clean.push(name),
                Component::CurDir => {}
                Component::ParentDir if clean.pop() => {}
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
            }
        }
        (!clean.as_os_str().is_empty()).then_some(clean)
    }
}

impl Entry {
    /// The path below the job directory.
    pub fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.name))
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeavesTheTree { path, target } => {
                let (path, target) = (path.display(), target.display());
                write!(
                    f,
                    "{path} is a link to {target}, outside of the job directory: the link goes along, the data does not"
                )
            }
            Self::Special { path, what } => {
                write!(f, "{} is a {what} and stays behind", path.display())
            }
            Self::Secret { path, what } => {
                write!(
                    f,
                    "{} looks like {what} and goes along: leave it out with .atlasignore",
                    path.display()
                )
            }
            Self::BadPattern { rule, why } => {
                write!(f, "{rule} is no pattern ({why}) and ignores nothing")
            }
        }
    }
}

/// A folder whose entries are being counted.
struct Folder<'a> {
    name: &'a [u8],
    total: u64,
    /// The largest single path in it.
    most: u64,
}

impl<'a> Folder<'a> {
    fn add(&mut self, size: u64) {
        self.total += size;
        self.most = self.most.max(size);
    }

    fn close(self, parent: Option<&mut Self>, paths: &mut Vec<(&'a [u8], u64)>) {
        if let Some(parent) = parent {
            parent.add(self.total);
        }
        if self.total > 0 && self.most <= self.total / 2 {
            paths.push((self.name, self.total));
        }
    }
}

pub(super) fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}
