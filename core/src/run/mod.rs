//! What a job tells of itself: names, tags, parameters, metrics, artifacts. Values and the rules by which events become a run.
//!
//! A [`Run`] is small and whole: it holds the summary of every metric, never its points. Those go into segments (the master's
//! tracker), whose committed lengths stand here.

mod check;
mod event;
mod fold;
mod labels;
pub mod limits;
mod line;
pub mod lines;
mod read;
mod value;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::id::{Attempt, Epoch};
use crate::time::Timestamp;

pub use check::Unfit;
pub use event::{Entry, Event, stays_below};
pub use fold::Point;
pub use labels::{Labels, Relabel, Unlabelled};
pub use value::{Scalar, Value};

/// A job as the tracker sees it. Written whole with every change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Run {
    /// The name that the job gave itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Tags that people took away, those of the submission too. One that is set again is not among them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub untagged: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, Summary>,
    /// Every version of each, the oldest first.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub artifacts: BTreeMap<String, Vec<Artifact>>,
    /// The folders that it uploads, as they are by now.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub synced: BTreeMap<String, Synced>,
    /// Where the process came from: Python, packages, arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facts: Option<Value>,
    /// Bytes of all this, for its limit.
    pub weight: u64,
    #[serde(skip_serializing_if = "Left::is_nothing")]
    pub left: Left,
    /// What was read of each attempt's spool.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attempts: BTreeMap<Attempt, Spool>,
    /// Where the points are that no segment has any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<Table>,
}

/// All points of one metric, of all attempts, in short: those of the lowest rank that logged it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Of the highest step; of two of the same step the later one.
    pub last: Scalar,
    pub last_step: u64,
    pub count: u64,
    /// Of the numbers; NaN is neither the least nor the greatest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Extreme>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Extreme>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rank: u32,
}

/// The least or the greatest number of a metric, and the first step that had it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extreme {
    pub value: Scalar,
    pub step: u64,
}

/// A file or a folder that the job saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Below the job's artifacts.
    pub path: String,
    pub bytes: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub folder: bool,
    pub at: Timestamp,
    pub attempt: Attempt,
}

/// What the last upload of a folder held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Synced {
    pub files: u64,
    pub bytes: u64,
    pub at: Timestamp,
    pub attempt: Attempt,
}

/// What did not become part of the run, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Left {
    /// Lines that are no event.
    pub unreadable: u64,
    /// Events beyond a limit, what the job's own side refused for the same reason, and artifacts whose files could not be kept.
    pub over_limit: u64,
    /// Why, of the first keys that this happened to.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub why: BTreeMap<String, String>,
}

/// How far one attempt's spool was read, and where its points went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spool {
    /// Bytes of the spool.
    pub offset: u64,
    /// They end within a line that is too long, the rest of which is to be skipped.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skipping: bool,
    /// Points of each metric and rank: the next step of a point that names none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub points: BTreeMap<String, BTreeMap<u32, u64>>,
    /// In the order of their epochs; none of what lies in the run's table.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<Segment>,
}

/// A file of points, written by the leader of one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    pub epoch: Epoch,
    /// What counts of the file; bytes beyond were never committed.
    pub bytes: u64,
}

/// A Parquet file of points, of all attempts: what the segments became when the job had ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Of the leader that wrote it.
    pub epoch: Epoch,
    /// One more than of the run's table before it.
    pub number: u32,
    pub bytes: u64,
    pub points: u64,
}

impl Left {
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Run {
    /// The latest attempt that said anything.
    pub fn attempt(&self) -> Option<Attempt> {
        self.attempts.last_key_value().map(|(attempt, _)| *attempt)
    }

    /// Bytes of this attempt's spool that are part of the run.
    pub fn offset(&self, attempt: Attempt) -> u64 {
        self.attempts.get(&attempt).map_or(0, |it| it.offset)
    }

    /// Whether it has points that are in no table.
    pub fn has_segments(&self) -> bool {
        self.attempts.values().any(|it| !it.segments.is_empty())
    }

    /// All that lay in its segments lies in this table now.
    pub fn move_into(&mut self, table: Table) {
        self.attempts.values_mut().for_each(|it| it.segments.clear());
        self.table = Some(table);
    }

    /// Points of all metrics, ranks and attempts.
    pub fn points(&self) -> u64 {
        let spools = self.attempts.values();
        spools.flat_map(|it| it.points.values()).flat_map(BTreeMap::values).sum()
    }
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}
