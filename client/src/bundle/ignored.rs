//! What stays behind, and by which rule.
//!
//! The job directory stands for itself: `.atlasignore` if it has one, else `.gitignore`, in the directory and in the folders
//! below it. Ignore files above it or in the user's home do not count, so that a directory is the same bundle everywhere.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use atlas_runtime::ignore_line::as_git_reads_it;
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::{Error, Notice};

/// Which files stay behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Rules {
    /// Those of the ignore files and of the built-in rules.
    #[default]
    Ignore,
    /// None (`--no-ignore`).
    SendAll,
}

/// Why a path stays behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A line of an ignore file.
    Line {
        file: PathBuf,
        line: usize,
        pattern: String,
    },
    Git,
    PyCache,
    /// A folder with a `pyvenv.cfg`.
    VirtualEnvironment,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line, pattern } => {
                write!(f, "{}:{line} '{pattern}'", file.display())
            }
            Self::Git => f.write_str("the built-in rule '.git'"),
            Self::PyCache => f.write_str("the built-in rule '__pycache__/'"),
            Self::VirtualEnvironment => {
                f.write_str("the built-in rule for virtual environments (pyvenv.cfg)")
            }
        }
    }
}

/// The rules that hold at one place of the walk: the ignore files from the job directory down to it.
pub(super) struct Ignored<'a> {
    root: &'a Path,
    files: Option<File>,
    stack: Vec<Lines>,
}

/// The file that the rules are read from; the job directory decides once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum File {
    Atlas,
    Git,
}

/// One ignore file.
struct Lines {
    matcher: Gitignore,
    rules: HashMap<PathBuf, Arc<Rule>>,
}

impl<'a> Ignored<'a> {
    pub(super) fn new(root: &'a Path, rules: Rules) -> Self {
        let files = match rules {
            Rules::SendAll => None,
            Rules::Ignore if root.join(File::Atlas.name()).is_file() => Some(File::Atlas),
            Rules::Ignore => Some(File::Git),
        };
        Self { root, files, stack: Vec::new() }
    }

    /// Goes down into a folder; every call is answered by one of [`Self::leave`].
    pub(super) fn enter(&mut self, folder: &Path, notices: &mut Vec<Notice>) -> Result<(), Error> {
        let lines = match self.files {
            Some(file) => Lines::read(self.root, &folder.join(file.name()), notices)?,
            None => Lines::none(),
        };
        self.stack.push(lines);
        Ok(())
    }

    pub(super) fn leave(&mut self) {
        self.stack.pop();
    }

    /// The rule by which a path of the folder entered last stays behind.
    pub(super) fn rule_for(&self, path: &Path, folder: bool) -> Option<Arc<Rule>> {
        let files = self.files?;
        for lines in self.stack.iter().rev() {
            match lines.matcher.matched(path, folder) {
                Match::None => {}
                Match::Ignore(glob) => {
                    return glob.from().and_then(|it| lines.rules.get(it)).cloned();
                }
                // Git's own file knows nothing of our rules, so it cannot lift them.
                Match::Whitelist(_) if files == File::Git => break,
                Match::Whitelist(_) => return None,
            }
        }
        self.built_in(path, folder).map(Arc::new)
    }

    fn built_in(&self, path: &Path, folder: bool) -> Option<Rule> {
        let name = path.file_name()?;
        if name == ".git" {
            return Some(Rule::Git);
        }
        if !folder {
            return None;
        }
        if name == "__pycache__" {
            return Some(Rule::PyCache);
        }
        self.root.join(path).join("pyvenv.cfg").is_file().then_some(Rule::VirtualEnvironment)
    }
}

impl File {
    fn name(self) -> &'static str {
        match self {
            Self::Atlas => ".atlasignore",
            Self::Git => ".gitignore",
        }
    }
}

impl Lines {
    fn none() -> Self {
        Self { matcher: Gitignore::empty(), rules: HashMap::new() }
    }

    /// Reads an ignore file, if there is one. Each line is given to the matcher under a name of its own, since the matcher
    /// tells files apart but not lines.
    fn read(root: &Path, file: &Path, notices: &mut Vec<Notice>) -> Result<Self, Error> {
        // What is no file, such as a named pipe, is no ignore file either.
        let full = root.join(file);
        if !full.is_file() {
            return Ok(Self::none());
        }
        let text =
            fs::read(full).map_err(|source| Error::Read { path: file.to_owned(), source })?;
        let text = String::from_utf8_lossy(&text);
        let mut builder = GitignoreBuilder::new(file.parent().unwrap_or(Path::new("")));
        let mut rules = HashMap::new();
        for (index, pattern) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let rule = Rule::Line {
                file: file.to_owned(),
                line: index + 1,
                pattern: pattern.trim_end().to_owned(),
            };
            let name = PathBuf::from((index + 1).to_string());
            match builder.add_line(Some(name.clone()), &as_git_reads_it(pattern)) {
                Ok(_) => drop(rules.insert(name, Arc::new(rule))),
                Err(error) => notices.push(Notice::BadPattern { rule, why: error.to_string() }),
            }
        }
        match builder.build() {
            Ok(matcher) => Ok(Self { matcher, rules }),
            Err(error) => Err(Error::Read {
                path: file.to_owned(),
                source: io::Error::new(io::ErrorKind::InvalidData, error),
            }),
        }
    }
}
