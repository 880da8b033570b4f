//! A job as the API shows it, wherever it is shown.

use std::collections::BTreeMap;

use atlas_proto::convert::job_view;
use atlas_proto::wire;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::store::StoredJob;

/// A job of a listing.
#[derive(Serialize, JsonSchema)]
pub struct Job {
    id: String,
    project: String,
    name: Option<String>,
    user: String,
    tags: BTreeMap<String, String>,
    /// queued, running, completed or failed.
    status: String,
    /// queued, starting, running, stopping, archiving or done: what is kept of a job is whole when it is done.
    phase: String,
    /// Why it failed: `exit-code 3`, `node-lost`, ….
    cause: Option<String>,
    /// More about the cause; of a job that waits, why it does.
    detail: String,
    command: Vec<String>,
    num_gpus: u32,
    node: Option<String>,
    gpus: Vec<String>,
    attempt: u64,
    submitted_ms: u64,
    started_ms: Option<u64>,
    ended_ms: Option<u64>,
    bundle: String,
    image_digest: Option<String>,
}

/// All that is known of a job.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "JobDetails")]
pub struct Details {
    #[serde(flatten)]
    job: Job,
    note: String,
    entrypoint: Option<Vec<String>>,
    /// As they were submitted.
    #[schemars(with = "Option<serde_json::Value>")]
    params: Option<Box<RawValue>>,
    cpus: f64,
    memory_bytes: u64,
    shm_bytes: Option<u64>,
    /// How long an attempt may run, from its first instruction.
    time_limit_ms: Option<u64>,
    image: Option<String>,
    /// Values that look like secrets are masked.
    env: BTreeMap<String, String>,
    /// Names of secret environment.
    secrets: Vec<String>,
    volumes: Vec<Volume>,
    git: Option<Git>,
    /// The machine on which it runs, outside the scheduler.
    host: Option<String>,
    /// It ran in another cluster.
    imported: Option<Imported>,
    /// The job that this one repeats.
    rerun_of: Option<String>,
    /// It was given that job's checkpoints.
    resumed: bool,
    /// Of the last attempt, once it has ended.
    log_bytes: Option<u64>,
    /// Why not everything of it was kept; empty = it was, or it has not ended.
    left_behind: String,
    /// What it wrote (`outputs/`, `artifacts/`, `checkpoints/`, `synced/`, `tensorboard/`) was removed.
    removal: Option<Removal>,
    /// Nodes that could not start it, with the reason of each.
    excluded: BTreeMap<String, String>,
}

/// Who removed what a job wrote.
#[derive(Serialize, JsonSchema)]
struct Removal {
    /// Of the one who asked for it; empty = the retention of its project did.
    user: String,
    /// The rule of its project, as it was; empty = somebody asked for it.
    retention: String,
    at_ms: u64,
    /// Of the files; null = they were not counted in time.
    bytes: Option<u64>,
    /// The files still go.
    goes_on: bool,
}

#[derive(Serialize, JsonSchema)]
struct Volume {
    host: String,
    bind: String,
    read_only: bool,
}

#[derive(Serialize, JsonSchema)]
struct Imported {
    /// The cluster's id.
    from: String,
    at_ms: u64,
    by: String,
}

#[derive(Serialize, JsonSchema)]
struct Git {
    commit: String,
    branch: String,
    dirty: bool,
    /// Of the job's file `git.diff`: what was not committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    diff: Option<GitDiff>,
}

#[derive(Serialize, JsonSchema)]
struct GitDiff {
    /// 64 hexadecimal digits.
    sha256: String,
    /// Files that it shows or names.
    files: u64,
    bytes: u64,
}

impl From<wire::Removal> for Removal {
    fn from(removal: wire::Removal) -> Self {
        let wire::Removal { by, at_ms, bytes, goes_on } = removal;
        let (user, retention) = match by {
            Some(wire::removal::By::User(name)) => (name, String::new()),
            Some(wire::removal::By::Retention(rule)) => (String::new(), rule),
            None => Default::default(),
        };
        Self { user, retention, at_ms, bytes, goes_on }
    }
}

impl From<wire::Git> for Git {
    fn from(git: wire::Git) -> Self {
        let wire::Git { commit, branch, dirty, diff } = git;
        let diff =
            diff.map(|wire::GitDiff { sha256, files, bytes }| GitDiff { sha256, files, bytes });
        Self { commit, branch, dirty, diff }
    }
}

impl From<&StoredJob> for Job {
    fn from(job: &StoredJob) -> Self {
        let mut view = job_view(job.id, &job.spec, &job.status);
        let spec = view.spec.take().unwrap_or_default();
        Self::of(view, spec)
    }
}

impl Job {
    pub fn id(&self) -> &str {
        &self.id
    }

    fn of(view: wire::Job, spec: wire::JobSpec) -> Self {
        let cause = view.cause.map(|it| {
            if it.value.is_empty() { it.kind } else { format!("{} {}", it.kind, it.value) }
        });
        Self {
            id: view.id,
            project: spec.project,
            name: spec.name,
            user: spec.user,
            tags: spec.tags,
            status: view.status,
            phase: view.phase,
            cause,
            detail: view.detail,
            command: spec.command,
            num_gpus: spec.demand.unwrap_or_default().gpus,
            node: view.node,
            gpus: view.gpus,
            attempt: view.attempt,
            submitted_ms: view.submitted_ms,
            started_ms: view.started_ms,
            ended_ms: view.ended_ms,
            bundle: spec.bundle.unwrap_or_default().id,
            image_digest: view.image_digest,
        }
    }
}

impl Details {
    /// With the reason, if it waits.
    pub fn of(job: &StoredJob, why: Option<String>) -> Self {
        let mut view = job_view(job.id, &job.spec, &job.status);
        let mut spec = view.spec.take().unwrap_or_default();
        let worker = spec.worker.take().unwrap_or_default();
        if let Some(why) = why {
            view.detail = why;
        }
        let volume = |it: wire::Volume| {
            let wire::Volume { host, bind, read_only } = it;
            Volume { host, bind, read_only }
        };
        let git = spec.git.take().map(Into::into);
        let demand = spec.demand.unwrap_or_default();
        let rerun = spec.rerun.take();
        Self {
            resumed: rerun.as_ref().is_some_and(|it| it.resume),
            host: spec.outside.take().map(|it| it.host),
            imported: view.imported.take().map(|it| {
                let wire::Imported { from, at_ms, by } = it;
                Imported { from, at_ms, by }
            }),
            rerun_of: rerun.map(|it| it.of),
            note: std::mem::take(&mut spec.note),
            entrypoint: spec.entrypoint.take().map(|it| it.words),
            params: spec.params_json.take().and_then(|it| RawValue::from_string(it).ok()),
            cpus: cores(demand.cpu_milli),
            memory_bytes: demand.memory_bytes,
            shm_bytes: spec.shm_bytes,
            time_limit_ms: spec.time_limit_ms,
            image: worker.image,
            env: worker.env.into_iter().collect(),
            secrets: worker.secrets.into_keys().collect(),
            volumes: worker.volumes.into_iter().map(volume).collect(),
            git,
            log_bytes: view.log_bytes,
            left_behind: std::mem::take(&mut view.left_behind),
            removal: view.removal.take().map(Into::into),
            excluded: std::mem::take(&mut view.excluded).into_iter().collect(),
            job: Job::of(view, spec),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "thousandths of the cores of one machine")]
pub fn cores(milli: u64) -> f64 {
    milli as f64 / 1000.0
}
