//! JSON of the API. Times are milliseconds since 1970 (UTC).

use std::collections::BTreeMap;

use atlas_proto::convert::job_view;
use atlas_proto::wire;
use serde::Serialize;

use crate::store::StoredJob;

#[derive(Serialize)]
pub struct Job {
    id: String,
    project: String,
    name: Option<String>,
    user: String,
    tags: BTreeMap<String, String>,
    status: String,
    phase: String,
    cause: Option<String>,
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

#[derive(Serialize)]
pub struct Jobs {
    pub jobs: Vec<Job>,
    pub next_cursor: Option<String>,
}

#[derive(Serialize)]
pub struct Queue {
    pub total: u64,
    pub jobs: Vec<Queued>,
}

#[derive(Serialize)]
pub struct Queued {
    pub place: u64,
    pub reason: String,
    pub job: Job,
}

#[derive(Serialize)]
pub struct Node {
    name: String,
    state: String,
    reason: String,
    executor: String,
    version: String,
    slots: u32,
    slots_free: u32,
    gpus: Vec<Gpu>,
    cpus: f64,
    memory_bytes: u64,
    jobs: Vec<String>,
}

#[derive(Serialize)]
pub struct Gpu {
    id: String,
    index: u32,
    model: String,
    memory_bytes: u64,
    free: bool,
}

impl From<&StoredJob> for Job {
    fn from(job: &StoredJob) -> Self {
        let view = job_view(job.id, &job.spec, &job.status);
        let cause = view.cause.map(|it| {
            if it.value.is_empty() { it.kind } else { format!("{} {}", it.kind, it.value) }
        });
        Self {
            id: view.id,
            project: job.spec.project.to_string(),
            name: job.spec.name.clone(),
            user: job.spec.user.clone(),
            tags: job.spec.tags.clone(),
            status: view.status,
            phase: view.phase,
            cause,
            detail: view.detail,
            command: job.spec.command.clone(),
            num_gpus: job.spec.demand.gpus,
            node: view.node,
            gpus: view.gpus,
            attempt: view.attempt,
            submitted_ms: view.submitted_ms,
            image_digest: view.image_digest,
            started_ms: view.started_ms,
            ended_ms: view.ended_ms,
            bundle: job.spec.bundle.id.to_string(),
        }
    }
}

impl From<wire::Node> for Node {
    fn from(node: wire::Node) -> Self {
        let gpu = |it: wire::Gpu| Gpu {
            id: it.id,
            index: it.index,
            model: it.model,
            memory_bytes: it.memory_bytes,
            free: it.free,
        };
        Self {
            name: node.name,
            state: node.state,
            reason: node.reason,
            executor: node.executor,
            version: node.version,
            slots: node.slots,
            slots_free: node.slots_free,
            gpus: node.gpus.into_iter().map(gpu).collect(),
            #[expect(
                clippy::cast_precision_loss,
                reason = "thousandths of the cores of one machine"
            )]
            cpus: node.cpu_milli as f64 / 1000.0,
            memory_bytes: node.memory_bytes,
            jobs: node.jobs,
        }
    }
}
