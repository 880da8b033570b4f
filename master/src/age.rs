//! Whether the store is as new as what nodes of its cluster heard of. A master that holds the state mends an older one
//! (`reactor/commit.rs`); one that has just come from it cannot, and must not hand out what was decided long ago.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use atlas_core::{Epoch, NodeName, Revision};
use atlas_runtime::process::write_atomic;

use crate::store::{self, Mark, Store};

/// In the data folder, while a master found its store too old: in the first line epoch and revision of the commit that it lacks,
/// then what the master said.
const FOUND: &str = "older-store";
/// In the data folder: the epoch of the master that led with the last acceptance. Nothing of epochs before it counts as lost.
const ACCEPTED: &str = "accepted-epoch";
/// No node can have heard of a later one.
pub const LAST_EPOCH: Epoch = Epoch(1 << 48);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not read, write or remove {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Older(String),
    #[error(
        "another master leads from this store (its epoch is {}, that of this one was {}): this one ends", found.epoch, began.epoch
    )]
    Overtaken { found: Mark, began: Mark },
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// What a master knows of the age of its store.
pub struct Age {
    /// Where the store stood when this master took the lead.
    began: Mark,
    data: PathBuf,
    /// An administrator knows that commits of masters before this epoch are lost.
    accepted: Epoch,
}

/// Refused where a master before this one found the store too old, and nobody has accepted that. Otherwise the epoch that the
/// next leader must be above: agents that heard of it obey no earlier one.
pub fn check(data: &Path, accepted: bool) -> Result<Epoch, Error> {
    let path = data.join(FOUND);
    let Some(text) = read(&path)? else { return Ok(Epoch(0)) };
    let (numbers, said) = text.split_once('\n').unwrap_or_default();
    if accepted {
        let epoch = numbers.split_once(' ').and_then(|it| it.0.parse().ok());
        return Ok(epoch.map(Epoch).unwrap_or_default());
    }
    Err(Error::Older(format!(
        "{} (If the newer copy is back, remove {} and start again.)",
        said.trim(),
        path.display()
    )))
}

impl Age {
    /// Of the leader that begins here. What is accepted once holds for every master after it.
    pub fn begin(data: &Path, began: Mark, accepted: bool) -> Result<Self, Error> {
        let path = data.join(ACCEPTED);
        if accepted {
            let text = format!("{}\n", began.epoch);
            write_atomic(&path, text.as_bytes(), 0o644, true)
                .map_err(|source| Error::File { path: path.clone(), source })?;
            let found = data.join(FOUND);
            match fs::remove_file(&found) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::File { path: found, source: error });
                }
                _ => {}
            }
        }
        let accepted = read(&path)?.and_then(|it| it.trim().parse().ok()).map(Epoch);
        // A store that is older than the acceptance itself is another matter.
        let accepted = accepted.filter(|it| *it <= began.epoch).unwrap_or_default();
        Ok(Self { began, data: data.to_owned(), accepted })
    }

    /// Looks at what a node of this cluster has heard of; `kept` is the last commit now. An error other than of the store means
    /// that this master must not lead; [`Error::Older`] that nobody may lead from this store, also not after a restart.
    pub async fn compare(
        &self,
        store: &dyn Store,
        node: &NodeName,
        seen: Mark,
        kept: Revision,
    ) -> Result<(), Error> {
        if !is_older(self.began, kept, seen) {
            return Ok(());
        }
        if seen.epoch < self.accepted {
            tracing::warn!("node {node} heard of commits that this store lost; that is accepted");
            return Ok(());
        }
        // The node may have heard of them from the master of today.
        let found = store.mark().await?;
        if found.epoch > self.began.epoch {
            return Err(Error::Overtaken { found, began: self.began });
        }
        let text = format!(
            "the store is older than what node {node} heard of: it came back at revision {}, and commit {} of epoch {} had been acknowledged. \
             Nothing was handed to the node, and what runs goes on. Bring the newer copy of the store back; or start the master once with \
             --accept-older-store, and what the store lost is lost",
            self.began.revision, seen.revision, seen.epoch
        );
        let path = self.data.join(FOUND);
        let file = format!("{} {}\n{text}\n", seen.epoch, seen.revision);
        write_atomic(&path, file.as_bytes(), 0o644, true)
            .map_err(|source| Error::File { path, source })?;
        Err(Error::Older(text))
    }
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { path: path.to_owned(), source }),
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
    use super::*;
    use crate::store::Embedded;

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

    struct Node(NodeName);

    impl Node {
        async fn says(&self, age: &Age, store: &dyn Store, seen: Mark) -> Result<(), Error> {
            age.compare(store, &self.0, seen, age.began.revision).await
        }
    }

    #[tokio::test]
    async fn what_was_found_once_is_refused_until_somebody_accepts_it_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let store = Embedded::open(data).unwrap();
        let node = Node("a".parse().unwrap());
        assert_eq!(check(data, false).unwrap(), Epoch(0));
        let age = Age::begin(data, store.lead().await.unwrap().mark, false).unwrap();
        let found = node.says(&age, &store, mark(4, 101)).await.unwrap_err();
        assert!(found.to_string().contains("commit 101 of epoch 4"), "{found}");
        let refused = check(data, false).unwrap_err().to_string();
        assert!(
            refused.contains("node a") && refused.contains("--accept-older-store"),
            "{refused}"
        );
        // It was started with the flag, and cut off before it led.
        assert_eq!(check(data, true).unwrap(), Epoch(4));
        let lead = store.lead_above(check(data, true).unwrap()).await.unwrap();
        assert_eq!(lead.mark.epoch, Epoch(5), "agents would take it for a master of the past");
        let age = Age::begin(data, lead.mark, true).unwrap();
        node.says(&age, &store, mark(4, 101)).await.unwrap();
        // Whoever was off meanwhile says it to a later master.
        assert_eq!(check(data, false).unwrap(), Epoch(0));
        let age = Age::begin(data, store.lead().await.unwrap().mark, false).unwrap();
        node.says(&age, &store, mark(4, 101)).await.unwrap();
        let again = node.says(&age, &store, mark(5, 101)).await;
        assert!(matches!(again, Err(Error::Older(_))), "{again:?}");
    }

    #[tokio::test]
    async fn a_store_that_is_older_than_the_acceptance_is_found_out() {
        let folder = tempfile::tempdir().unwrap();
        Age::begin(folder.path(), mark(9, 0), true).unwrap();
        let store = Embedded::open(folder.path()).unwrap();
        let age = Age::begin(folder.path(), store.lead().await.unwrap().mark, false).unwrap();
        let node = Node("a".parse().unwrap());
        let found = node.says(&age, &store, mark(8, 101)).await;
        assert!(matches!(found, Err(Error::Older(_))), "{found:?}");
    }

    #[tokio::test]
    async fn a_master_that_was_overtaken_does_not_take_that_for_an_older_store() {
        let folder = tempfile::tempdir().unwrap();
        let store = Embedded::open(folder.path()).unwrap();
        let age = Age::begin(folder.path(), store.lead().await.unwrap().mark, false).unwrap();
        let next = store.lead().await.unwrap().mark;
        let ended = Node("a".parse().unwrap()).says(&age, &store, mark(2, 1)).await.unwrap_err();
        assert!(matches!(ended, Error::Overtaken { found, .. } if found == next), "{ended}");
        check(folder.path(), false).unwrap();
    }
}
