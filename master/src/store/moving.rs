//! What a move of a cluster's state from one store into another needs beside the port. The jobs themselves travel through the
//! port: pages out of the one, commits into the other.

use atlas_core::node::NodeRecord;
use atlas_core::time::Millis;
use atlas_core::{ClusterId, Position};
use futures::future::BoxFuture;

use super::{Error, Mark, Store};

/// A store out of which and into which a cluster can be moved. Whoever moves holds an epoch like a leader, so that of two who
/// move at the same time, or of one who moves and one who leads, only the later one writes.
pub trait Movable: Store {
    /// Its name for people, never with a password.
    fn place(&self) -> String;

    /// What it holds beside its jobs. Reads also what nobody may lead.
    fn facts(&self) -> BoxFuture<'_, Result<Facts, Error>>;

    /// Removes everything and begins to take in this cluster, which nobody may lead until [`Movable::finish`]. Refused unless the
    /// store is empty, or has begun to take in the same cluster before, or gave it away.
    fn begin<'a>(
        &'a self,
        cluster: &'a ClusterId,
        from: &'a str,
    ) -> BoxFuture<'a, Result<Mark, Error>>;

    /// From now on it may be led, and goes on from `mark`. Refused unless it stands where whoever moves left it.
    fn finish(
        &self,
        stands: Mark,
        mark: Mark,
        next_position: Position,
    ) -> BoxFuture<'_, Result<(), Error>>;

    /// From now on nobody may lead it. Refused when somebody led it since `stands`.
    fn give_away<'a>(&'a self, stands: Mark, to: &'a str) -> BoxFuture<'a, Result<(), Error>>;
}

/// What a store holds beside its jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `None` = nobody ever led it.
    pub cluster: Option<ClusterId>,
    pub mark: Mark,
    pub next_position: Position,
    pub granted: Option<Millis>,
    /// By name.
    pub nodes: Vec<NodeRecord>,
    pub counts: Counts,
    pub standing: Standing,
}

/// How much there is; the same in both stores once a cluster was moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub jobs: u64,
    pub live: u64,
    pub queued: u64,
}

/// Whether a store may be led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Whole,
    /// Its cluster went to another store.
    GivenAway {
        to: String,
    },
    /// A cluster is on its way into it.
    Unfinished {
        from: String,
    },
}

impl Standing {
    pub fn new(given_away: Option<String>, unfinished: Option<String>) -> Self {
        match (unfinished, given_away) {
            (Some(from), _) => Self::Unfinished { from },
            (None, Some(to)) => Self::GivenAway { to },
            (None, None) => Self::Whole,
        }
    }

    /// Why nobody may lead a store that stands so.
    pub fn refusal(self, place: String) -> Option<Error> {
        match self {
            Self::Whole => None,
            Self::GivenAway { to } => Some(Error::GivenAway { place, to }),
            Self::Unfinished { from } => Some(Error::Unfinished { place, from }),
        }
    }
}

/// Why `found` cannot take this cluster in; `None` = it can.
pub fn refuses_to_take_in(found: &Facts, cluster: &ClusterId) -> Option<String> {
    let Facts { cluster: Some(theirs), mark, counts, nodes, standing, .. } = found else {
        return None;
    };
    match standing {
        Standing::Unfinished { from } if theirs != cluster => Some(format!(
            "cluster {theirs} is on its way into it from {from}, and this is cluster {cluster}"
        )),
        Standing::GivenAway { to } if theirs != cluster => Some(format!(
            "it is what was left of cluster {theirs}, which went to {to}, and this is cluster {cluster}"
        )),
        Standing::Unfinished { .. } | Standing::GivenAway { .. } => None,
        Standing::Whole => Some(format!(
            "it is not empty: it holds cluster {theirs} at epoch {}, with {} jobs and {} nodes",
            mark.epoch,
            counts.jobs,
            nodes.len()
        )),
    }
}
