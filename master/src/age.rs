//! Whether the store is as new as what nodes of its cluster heard of. A master that holds the state mends an older one
//! (`reactor/commit.rs`); one that has just come from it cannot, and must not hand out what was decided long ago.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use atlas_core::{NodeName, Revision};
use atlas_runtime::process::write_atomic;

use crate::store::Mark;

/// In the data folder, while a master found its store too old: what it said.
const FILE: &str = "older-store";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not read, write or remove {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Older(String),
}

/// What a master knows of the age of its store.
pub struct Age {
    /// Where the store stood when this master took the lead.
    began: Mark,
    data: PathBuf,
    /// An administrator knows, and accepts what was lost.
    accepted: bool,
}

impl Age {
    /// Of the leader that begins here. Refused where a master before it found the store too old.
    pub fn check(data: &Path, accepted: bool) -> Result<(), Error> {
        let path = data.join(FILE);
        if accepted {
            return match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(Error::File { path, source: error })
                }
                _ => Ok(()),
            };
        }
        match fs::read_to_string(&path) {
            Ok(text) => Err(Error::Older(format!(
                "{} (If the newer copy is back, remove {} and start again.)",
                text.trim(),
                path.display()
            ))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(Error::File { path, source }),
        }
    }

    pub fn new(began: Mark, data: PathBuf, accepted: bool) -> Self {
        Self { began, data, accepted }
    }

    /// Looks at what a node of this cluster has heard of; `kept` is the last commit now. An error means that nobody may lead from
    /// this store, also not after a restart.
    pub fn compare(&self, node: &NodeName, seen: Mark, kept: Revision) -> Result<(), Error> {
        if !is_older(self.began, kept, seen) {
            return Ok(());
        }
        if self.accepted {
            tracing::warn!("node {node} heard of commits that this store lost; that is accepted");
            return Ok(());
        }
        let text = format!(
            "the store is older than what node {node} heard of: it came back at revision {}, and commit {} of epoch {} had been acknowledged. \
             Nothing was handed to the node, and what runs goes on. Bring the newer copy of the store back; or start the master once with \
             --accept-older-store, and what the store lost is lost",
            self.began.revision, seen.revision, seen.epoch
        );
        let path = self.data.join(FILE);
        write_atomic(&path, text.as_bytes(), 0o644, true)
            .map_err(|source| Error::File { path, source })?;
        Err(Error::Older(text))
    }
}

/// A master before this one made no commit that this store lacks; this one none that it has not kept.
fn is_older(began: Mark, kept: Revision, seen: Mark) -> bool {
    if seen.epoch < began.epoch {
        seen.revision > began.revision
    } else {
        seen.epoch > began.epoch || seen.revision > kept
    }
}

#[cfg(test)]
mod tests {
    use atlas_core::Epoch;

    use super::*;

    fn mark(epoch: u64, revision: u64) -> Mark {
        Mark { epoch: Epoch(epoch), revision: Revision(revision) }
    }

    #[test]
    fn a_store_is_older_when_a_node_heard_of_a_commit_that_it_lacks() {
        let (began, kept) = (mark(5, 100), Revision(120));
        for (seen, older) in [
            (mark(0, 0), false),
            (mark(4, 100), false),
            (mark(4, 101), true),
            (mark(5, 120), false),
            (mark(5, 121), true),
            (mark(6, 1), true),
        ] {
            assert_eq!(is_older(began, kept, seen), older, "{seen:?}");
        }
    }

    #[test]
    fn what_was_found_once_is_refused_until_somebody_accepts_it() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let age = |accepted| Age::new(mark(5, 100), data.to_owned(), accepted);
        Age::check(data, false).unwrap();
        let found =
            age(false).compare(&"a".parse().unwrap(), mark(4, 101), Revision(100)).unwrap_err();
        assert!(found.to_string().contains("commit 101 of epoch 4"), "{found}");
        let refused = Age::check(data, false).unwrap_err().to_string();
        assert!(
            refused.contains("node a") && refused.contains("--accept-older-store"),
            "{refused}"
        );
        Age::check(data, true).unwrap();
        age(true).compare(&"a".parse().unwrap(), mark(4, 101), Revision(100)).unwrap();
        Age::check(data, false).unwrap();
    }
}
