//! The state of the repository that a job's folder was part of.

use std::fmt;

use atlas_proto::wire;
use serde::Serialize;

use super::short;
use crate::output::counted;

#[derive(Debug, Serialize)]
pub struct Git {
    pub commit: String,
    pub branch: Option<String>,
    pub dirty: bool,
    pub diff: Option<GitDiff>,
}

/// Of the job's file `git.diff`.
#[derive(Debug, Serialize)]
pub struct GitDiff {
    pub sha256: String,
    /// Files that it shows or names.
    pub files: u64,
    pub bytes: u64,
}

impl From<wire::Git> for Git {
    fn from(git: wire::Git) -> Self {
        let wire::Git { commit, branch, dirty, diff } = git;
        Self {
            commit,
            branch: Some(branch).filter(|it| !it.is_empty()),
            dirty,
            diff: diff.map(Into::into),
        }
    }
}

impl From<wire::GitDiff> for GitDiff {
    fn from(diff: wire::GitDiff) -> Self {
        let wire::GitDiff { sha256, files, bytes } = diff;
        Self { sha256, files, bytes }
    }
}

impl fmt::Display for Git {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.commit)?;
        if let Some(branch) = &self.branch {
            write!(f, " on {branch}")?;
        }
        f.write_str(if self.dirty { ", changed since" } else { "" })?;
        match &self.diff {
            None => Ok(()),
            Some(GitDiff { files, .. }) => write!(f, ": {}, see git.diff", of_files(*files)),
        }
    }
}

/// As it is compared: two of as many files may still not be the same.
impl fmt::Display for GitDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sha256, files, .. } = self;
        write!(f, "{} ({})", of_files(*files), short(sha256))
    }
}

fn of_files(files: u64) -> String {
    counted(files, "file", "files")
}
