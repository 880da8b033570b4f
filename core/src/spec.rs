//! What a user asks for when a job is submitted. Checked once, when the master builds it; past there the values hold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{BundleId, JobId, ProjectName};
use crate::resources::Demand;
use crate::time::{Millis, Timestamp};

/// A job as submitted; never changed afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    pub project: ProjectName,
    /// Who submitted it: a login name, unverified unless accounts are on.
    pub user: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    pub bundle: Bundle,
    pub command: Vec<String>,
    /// In place of the image's own; used as it is, without requirements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    #[serde(default)]
    pub demand: Demand,
    /// Bytes of `/dev/shm`; absent = half of the job's memory limit, else of the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shm: Option<u64>,
    #[serde(default, skip_serializing_if = "Worker::is_default")]
    pub worker: Worker,
    /// How long an attempt may run, from the first instruction of its command; absent = as long as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit: Option<Millis>,
    /// The text of `foundations_job_parameters.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<String>,
    #[serde(default, skip_serializing_if = "Outputs::is_default")]
    pub outputs: Outputs,
    /// Waits as `ineligible` where no node that is there could ever run it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wait_for_capacity: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fresh_requirements: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<Git>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun: Option<Rerun>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<Outside>,
    /// W3C trace context of the submission, so that its spans hang together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// The folder that was submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    pub id: BundleId,
    /// Bytes of the uncompressed tar; unpacking refuses more.
    pub tar_size: u64,
    /// Entries of the tar; unpacking refuses more.
    pub files: u64,
}

/// Where and how the command runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    #[serde(default)]
    pub pull: Pull,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// The interpreter for the process executor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Secret environment: names, and of each value what the cluster's key makes of it, so that the same job is known as the same
    /// without it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, Digest>,
}

/// A keyed digest of a secret, in hexadecimal digits. It opens nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(pub String);

/// The values of a job's secrets by name, as only the cluster's key opens them. They go with the job's end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(pub BTreeMap<String, String>);

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pull {
    #[default]
    Missing,
    Always,
    Never,
}

/// A path of the host inside the job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Volume {
    /// Absolute, without `..`.
    pub host: String,
    /// Absolute, without `..`.
    pub bind: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
}

/// Which changed files are kept at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outputs {
    /// Patterns as in `.gitignore`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Bytes; absent = the node's own bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
}

/// Somebody runs it on a machine of their own: the cluster keeps what it says, and never starts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    /// The machine's name, as it calls itself.
    pub host: String,
    /// By its clock; perhaps long ago, when it could not reach its master.
    pub started: Timestamp,
}

/// The job that another one repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rerun {
    pub of: JobId,
    /// It is given the checkpoints of that job, to go on from there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resume: bool,
}

/// The state of the folder's repository when it was submitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Git {
    pub commit: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub branch: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dirty: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<GitDiff>,
}

/// What was not committed. The text is a file of the job: specs are in memory for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitDiff {
    /// 64 hexadecimal digits.
    pub sha256: String,
    /// Files that it shows or names.
    pub files: u64,
    pub bytes: u64,
}

impl JobSpec {
    /// The job whose checkpoints this one is given.
    pub fn resumes(&self) -> Option<JobId> {
        self.rerun.filter(|it| it.resume).map(|it| it.of)
    }

    /// Whether a repeated submission asks for the same job: the trace it belongs to is another each time.
    pub fn same_job(&self, other: &Self) -> bool {
        let comparable = |it: &Self| Self { traceparent: None, ..it.clone() };
        self == other || comparable(self) == comparable(other)
    }
}

impl Sealed {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Worker {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Outputs {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether plain environment of this name holds a secret: masked in every view, export and log of ours.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["KEY", "TOKEN", "SECRET", "PASSWORD"].iter().any(|end| name.ends_with(end))
}
