//! A machine of the cluster: what it registers with, and what the store keeps of it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{Invalid, NodeName};
use crate::resources::Capacity;
use crate::spec::Volume;
use crate::time::Timestamp;

/// What a node says of itself when it joins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    pub name: NodeName,
    /// Random, kept on the node's disk: a node that leaves and comes back is the same node, another of its name is not.
    pub identity: String,
    /// Changes when the machine restarts; nothing of a job outlives it.
    pub boot_id: String,
    /// `host:port` of the node's own gRPC server, as the master reaches it.
    pub address: String,
    pub version: String,
    pub executor: ExecutorKind,
    pub capacity: Capacity,
    /// What `--volume` may name here.
    #[serde(default)]
    pub volumes: Vec<AllowedVolume>,
}

/// How a node runs jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExecutorKind {
    Docker,
    Process,
}

/// A prefix of host paths that jobs may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedVolume {
    pub prefix: String,
    #[serde(default)]
    pub read_only: bool,
}

/// What the store keeps of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    pub spec: NodeSpec,
    pub joined: Timestamp,
    /// Why it gets no new jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cordoned: Option<String>,
}

/// What a node finds wrong with itself. While it lasts the node gets no new jobs; it ends by itself, and is never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// `--shared` is not the cluster's share, or does not answer.
    Share,
    /// The node's own disk is full.
    Disk,
    /// Its wall clock is not the master's.
    Clock,
    /// The Docker engine does not answer.
    Docker,
}

/// Every trouble of a node, with the reason that people are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Troubles(BTreeMap<Condition, String>);

impl Condition {
    pub const ALL: [Self; 4] = [Self::Share, Self::Disk, Self::Clock, Self::Docker];

    pub fn word(self) -> &'static str {
        match self {
            Self::Share => "share",
            Self::Disk => "disk",
            Self::Clock => "clock",
            Self::Docker => "docker",
        }
    }
}

impl FromStr for Condition {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|it| it.word() == text);
        found
            .ok_or_else(|| Invalid::new("condition", text, "is none of share, disk, clock, docker"))
    }
}

impl Troubles {
    /// Sets a condition with its reason, or clears it; says whether that changed anything.
    pub fn set(&mut self, condition: Condition, reason: Option<String>) -> bool {
        match reason {
            Some(reason) => self.0.insert(condition, reason.clone()) != Some(reason),
            None => self.0.remove(&condition).is_some(),
        }
    }

    /// The same, with each reason as `change` makes it.
    #[must_use]
    pub fn map(self, change: impl Fn(String) -> String) -> Self {
        Self(self.0.into_iter().map(|(condition, reason)| (condition, change(reason))).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn reason(&self, condition: Condition) -> Option<&str> {
        self.0.get(&condition).map(String::as_str)
    }

    pub fn has(&self, condition: Condition) -> bool {
        self.0.contains_key(&condition)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Condition, &str)> {
        self.0.iter().map(|(condition, reason)| (*condition, reason.as_str()))
    }
}

impl FromIterator<(Condition, String)> for Troubles {
    fn from_iter<T: IntoIterator<Item = (Condition, String)>>(each: T) -> Self {
        Self(each.into_iter().collect())
    }
}

/// `disk: …; share: …`
impl fmt::Display for Troubles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (condition, reason)) in self.iter().enumerate() {
            let separator = if at > 0 { "; " } else { "" };
            write!(f, "{separator}{}: {reason}", condition.word())?;
        }
        Ok(())
    }
}

impl ExecutorKind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Process => "process",
        }
    }
}

impl NodeSpec {
    /// Whether every one of these volumes lies under an allowed prefix.
    pub fn allows(&self, volumes: &[Volume]) -> bool {
        volumes.iter().all(|volume| self.volumes.iter().any(|allowed| allowed.covers(volume)))
    }
}

impl AllowedVolume {
    fn covers(&self, volume: &Volume) -> bool {
        let prefix = self.prefix.trim_end_matches('/');
        let below = volume
            .host
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        below && (volume.read_only || !self.read_only)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_whole_path_segments_only() {
        let data = AllowedVolume { prefix: "/data/".into(), read_only: true };
        let volume =
            |host: &str, read_only| Volume { host: host.into(), bind: "/x".into(), read_only };
        assert!(data.covers(&volume("/data", true)));
        assert!(data.covers(&volume("/data/sets", true)));
        assert!(!data.covers(&volume("/database", true)));
        assert!(
            !data.covers(&volume("/data", false)),
            "a read-only prefix covered a writable volume"
        );
        assert!(
            AllowedVolume { prefix: "/".into(), read_only: false }.covers(&volume("/any", false))
        );
    }
}
