//! A job that has ended as one text, `job.json` of an export (`docs/using/export-format.md`): what is written there, and how much is
//! believed of what comes.

use std::collections::BTreeMap;
use std::sync::Arc;

use atlas_core::cluster::Ended;
use atlas_core::job::{Archive, End, JobState, Removal, Remover};
use atlas_core::run::{Labels, Unfit};
use atlas_core::spec::{Digest, is_secret_name};
use atlas_core::{
    Attempt, Cause, ClusterId, JobId, JobSpec, JobStatus, NodeName, Outcome, Run, Status, Timestamp,
};
use atlas_runtime::clock::Wall;
use serde::{Deserialize, Serialize};

use crate::archive::WRITTEN;
use crate::store::StoredJob;
use crate::submission::{Invalid, brought};

/// Another form gets another number; this one is read for ever.
const FORMAT: u32 = 1;
/// A clock that is so far ahead is wrong.
const AHEAD_MS: u64 = 24 * 3_600_000;
/// Bytes of a reason or a digest.
const LINE: usize = 4096;

/// All that is recorded of a job, but for what only its own cluster can use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exported {
    format: u32,
    pub id: JobId,
    /// Where it ran.
    pub cluster: ClusterId,
    status: Status,
    /// As it was called when it was exported.
    name: Option<String>,
    tags: BTreeMap<String, String>,
    submitted: Timestamp,
    end: End,
    /// The last one.
    attempt: Attempt,
    lost: u32,
    node: Option<NodeName>,
    image_digest: Option<String>,
    archive: Archive,
    /// What it wrote was removed, and came along only if it was exported before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    removed: Option<Removal>,
    /// In points.parquet.
    points: u64,
    pub spec: JobSpec,
    pub run: Run,
}

impl Exported {
    /// `None` = it has not ended, or is being deleted.
    pub fn of(job: &StoredJob, run: &Run, here: &ClusterId) -> Option<Self> {
        let JobStatus { submitted, attempt, lost, image, imported, state, .. } = &job.status;
        let JobState::Done { end, node, archive, written: _ } = state.clone() else { return None };
        let Labels { name, tags } = Labels::of(&job.spec, Some(run));
        Some(Self {
            format: FORMAT,
            id: job.id,
            cluster: imported.as_ref().map_or(here, |it| &it.from).clone(),
            status: job.status.status(),
            name,
            tags,
            submitted: *submitted,
            end,
            attempt: *attempt,
            lost: *lost,
            node,
            image_digest: image.clone(),
            archive,
            removed: job.status.state.removal().cloned(),
            points: run.points(),
            spec: without_secrets(&job.spec),
            // Where its points lie is another place in each cluster.
            run: Run { table: None, ..run.clone() },
        })
    }

    pub fn to_json(&self) -> serde_json::Result<String> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }

    /// What could be a job of this cluster.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let unreadable = |why: serde_json::Error| Invalid::new("job.json", why);
        let Version { format } = serde_json::from_str(text).map_err(unreadable)?;
        if format != FORMAT {
            let why = format!("is {format}, and {FORMAT} is known here: export with this version");
            return Err(Invalid::new("format", why));
        }
        let exported: Self = serde_json::from_str(text).map_err(unreadable)?;
        exported.check()?;
        Ok(exported)
    }

    fn check(&self) -> Result<(), Invalid> {
        brought::check(&self.spec)?;
        self.run.check(self.attempt).map_err(|Unfit { field, why }| {
            let shown: String = field.chars().filter(|it| !it.is_control()).take(80).collect();
            Invalid::new(format!("run.{shown}"), why)
        })?;
        let Labels { name, tags } = Labels::of(&self.spec, Some(&self.run));
        let status = match self.end.outcome {
            Outcome::Completed => Status::Completed,
            Outcome::Failed { .. } => Status::Failed,
        };
        for (field, is_right) in [
            ("status", self.status == status),
            ("name", self.name == name),
            ("tags", self.tags == tags),
            ("points", self.points == self.run.points()),
        ] {
            if !is_right {
                return Err(Invalid::new(field, "is not what the rest of job.json says"));
            }
        }
        if self.run.table.is_some() {
            return Err(Invalid::new("run.table", "is of another cluster's storage"));
        }
        let latest = Wall::now() + AHEAD_MS;
        if self.end.at.0.max(self.submitted.0) > latest {
            return Err(Invalid::new("end.at", "is in the future"));
        }
        self.check_words()
    }

    /// What people and other programs will be shown.
    fn check_words(&self) -> Result<(), Invalid> {
        let (cause, detail) = match &self.end.outcome {
            Outcome::Completed => ("", ""),
            Outcome::Failed { cause: Cause::StoppedBy(user), detail } => {
                (user.as_str(), detail.as_str())
            }
            Outcome::Failed { cause: _, detail } => ("", detail.as_str()),
        };
        let reason = match &self.archive {
            Archive::Incomplete { reason } => reason.as_str(),
            Archive::Complete | Archive::BundleOnly => "",
        };
        let remover = match self.removed.as_ref().map(|it| &it.by) {
            Some(Remover::User(by) | Remover::Retention(by)) => by.as_str(),
            None => "",
        };
        for (field, text) in [
            ("removed.by", remover),
            ("end.cause", cause),
            ("end.detail", detail),
            ("archive", reason),
            ("image_digest", self.image_digest.as_deref().unwrap_or_default()),
        ] {
            let is_line = |it: char| it == '\n' || it == '\t' || !it.is_control();
            if text.len() > LINE || !text.chars().all(is_line) {
                return Err(Invalid::new(field, "is too long or holds control characters"));
            }
        }
        Ok(())
    }

    /// What of it is not as in another one of the same id, in a word; what people call a job may change everywhere.
    pub fn differs_from(&self, other: &Self) -> Option<&'static str> {
        let told = |it: &Self| {
            let run = it.run.clone();
            Run { name: None, tags: Default::default(), untagged: Default::default(), ..run }
        };
        let fields = [
            ("spec", self.spec == other.spec),
            ("cluster", self.cluster == other.cluster),
            ("submitted", self.submitted == other.submitted),
            ("end", self.end == other.end),
            ("attempt", (self.attempt, self.lost) == (other.attempt, other.lost)),
            ("node", self.node == other.node),
            ("image_digest", self.image_digest == other.image_digest),
            ("archive", self.archive == other.archive),
            ("run", told(self) == told(other)),
        ];
        fields.into_iter().find(|(_, same)| !same).map(|(field, _)| field)
    }

    /// As the cluster takes it, brought by this user with these folders; and its run.
    pub fn into_parts(self, by: String, came: &[String]) -> (Arc<JobSpec>, Box<Ended>, Run) {
        let Self { submitted, end, attempt, lost, node, image_digest: image, archive, .. } = self;
        let from = self.cluster;
        let removed = self.removed.filter(|_| !came.iter().any(|it| WRITTEN.contains(&&**it)));
        let ended =
            Ended { submitted, attempt, lost, image, end, node, archive, removed, from, by };
        (Arc::new(self.spec), Box::new(ended), self.run)
    }
}

/// The names of secrets alone, and no environment that looks like one: whoever runs the job again is asked for all of these.
fn without_secrets(spec: &JobSpec) -> JobSpec {
    let mut spec = JobSpec { traceparent: None, ..spec.clone() };
    let (hidden, env) = std::mem::take(&mut spec.worker.env)
        .into_iter()
        .partition::<BTreeMap<_, _>, _>(|(name, _)| is_secret_name(name));
    spec.worker.env = env;
    let is_plain = |it: &String| it.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_');
    let names = std::mem::take(&mut spec.worker.secrets).into_keys().chain(hidden.into_keys());
    spec.worker.secrets = names.filter(is_plain).map(|it| (it, Digest::default())).collect();
    spec
}
