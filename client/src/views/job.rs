//! A job.

use std::collections::BTreeMap;
use std::fmt;

use atlas_core::run::Value;
use atlas_core::time::Millis;
use atlas_proto::wire;
use atlas_runtime::clock::Wall;
use serde::Serialize;
use serde_json::value::RawValue;

use super::git::Git;
use super::removal::Removal;
use super::{short, status};
use crate::output::{Cell, Column, Row};
use crate::time::{ago, rfc3339, span};

/// A job as JSON; absent values are `null`.
#[derive(Debug, Serialize)]
pub struct JobView {
    pub id: String,
    pub project: String,
    pub name: Option<String>,
    pub user: String,
    pub status: String,
    pub phase: String,
    /// Why it failed: `exit-code 3`, `stopped-by ada`, `timeout`.
    pub cause: Option<String>,
    /// More about that; of a queued job, why it waits.
    pub detail: Option<String>,
    pub submitted_at: String,
    pub started_at: Option<String>,
    pub ended_at: Option<String>,
    /// Milliseconds between start and end, or until now.
    pub duration_ms: Option<u64>,
    pub position: u64,
    pub attempt: u64,
    pub node: Option<String>,
    pub gpus: Vec<String>,
    pub command: Vec<String>,
    pub entrypoint: Option<Vec<String>>,
    pub num_gpus: u32,
    pub cpus: Option<f64>,
    pub ram_bytes: Option<u64>,
    pub shm_bytes: Option<u64>,
    /// Milliseconds that an attempt may run.
    pub time_limit_ms: Option<u64>,
    pub image: Option<String>,
    /// What of that name was true when the job started.
    pub image_digest: Option<String>,
    pub env: BTreeMap<String, String>,
    /// Names.
    pub secrets: Vec<String>,
    pub volumes: Vec<Volume>,
    pub params: Option<Box<RawValue>>,
    pub tags: BTreeMap<String, String>,
    pub note: Option<String>,
    pub wait_for_capacity: bool,
    pub git: Option<Git>,
    pub rerun: Option<Rerun>,
    /// The machine on which it runs, outside the scheduler.
    pub host: Option<String>,
    pub imported: Option<Imported>,
    pub bundle: Option<Bundle>,
    pub log_bytes: Option<u64>,
    /// Why its archive is not complete.
    pub left_behind: Option<String>,
    /// What it wrote was removed.
    pub removal: Option<Removal>,
    /// Nodes that could not start it, with the reason of each.
    pub excluded: BTreeMap<String, String>,
    /// Of a listing: what its run has of the columns that were asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, Box<RawValue>>,
    #[serde(skip)]
    submitted_ms: u64,
}

#[derive(Debug, Serialize)]
pub struct Volume {
    pub host: String,
    pub bind: String,
    pub read_only: bool,
}

/// The job that this one repeats.
#[derive(Debug, Serialize)]
pub struct Rerun {
    pub of: String,
    /// With that job's checkpoints.
    pub resume: bool,
}

/// It ran in another cluster.
#[derive(Debug, Serialize)]
pub struct Imported {
    /// The cluster's id.
    pub from: String,
    pub at: String,
    pub by: String,
}

#[derive(Debug, Serialize)]
pub struct Bundle {
    pub id: String,
    pub tar_bytes: u64,
    pub files: u64,
}

impl From<wire::Job> for JobView {
    fn from(job: wire::Job) -> Self {
        let spec = job.spec.unwrap_or_default();
        let demand = spec.demand.unwrap_or_default();
        let worker = spec.worker.unwrap_or_default();
        let ended = job.ended_ms.or_else(|| (job.status == "running").then(Wall::now));
        #[expect(clippy::cast_precision_loss, reason = "no machine has 2^52 thousandths of a core")]
        let cpus = some(demand.cpu_milli).map(|it| it as f64 / 1000.0);
        Self {
            id: job.id,
            project: spec.project,
            name: spec.name,
            user: spec.user,
            status: job.status,
            phase: job.phase,
            cause: job.cause.as_ref().map(cause_text),
            detail: text(job.detail),
            submitted_at: rfc3339(job.submitted_ms),
            started_at: job.started_ms.map(rfc3339),
            ended_at: job.ended_ms.map(rfc3339),
            duration_ms: job.started_ms.zip(ended).map(|(from, to)| to.saturating_sub(from)),
            position: job.position,
            attempt: job.attempt,
            node: job.node,
            gpus: job.gpus,
            command: spec.command,
            entrypoint: spec.entrypoint.map(|it| it.words),
            num_gpus: demand.gpus,
            cpus,
            ram_bytes: some(demand.memory_bytes),
            shm_bytes: spec.shm_bytes,
            time_limit_ms: spec.time_limit_ms,
            image: worker.image,
            image_digest: job.image_digest,
            env: worker.env,
            secrets: worker.secrets.into_keys().collect(),
            volumes: worker.volumes.into_iter().map(Into::into).collect(),
            params: spec.params_json.and_then(|it| RawValue::from_string(it).ok()),
            tags: spec.tags,
            note: text(spec.note),
            wait_for_capacity: spec.wait_for_capacity,
            git: spec.git.map(Into::into),
            host: spec.outside.map(|it| it.host),
            rerun: spec.rerun.map(|it| Rerun { of: it.of, resume: it.resume }),
            imported: job.imported.map(Into::into),
            bundle: spec.bundle.map(Into::into),
            log_bytes: job.log_bytes,
            left_behind: text(job.left_behind),
            removal: job.removal.map(Into::into),
            excluded: job.excluded,
            columns: job.columns.into_iter().filter_map(value).collect(),
            submitted_ms: job.submitted_ms,
        }
    }
}

impl From<wire::Imported> for Imported {
    fn from(imported: wire::Imported) -> Self {
        let wire::Imported { from, at_ms, by } = imported;
        Self { from, at: rfc3339(at_ms), by }
    }
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, at, by } = self;
        write!(f, "from cluster {from} at {at} by {by}")
    }
}

impl From<wire::Volume> for Volume {
    fn from(volume: wire::Volume) -> Self {
        let wire::Volume { host, bind, read_only } = volume;
        Self { host, bind, read_only }
    }
}

impl From<wire::Bundle> for Bundle {
    fn from(bundle: wire::Bundle) -> Self {
        let wire::Bundle { id, tar_bytes, files } = bundle;
        Self { id, tar_bytes, files }
    }
}

impl JobView {
    /// What people call it: its name, else its command.
    pub fn title(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.command.join(" "))
    }

    /// A value of its run; lists and maps as JSON.
    pub fn column(&self, name: &str) -> Cell {
        let json = self.columns.get(name).map(|it| it.get());
        match serde_json::from_str(json.unwrap_or_default()) {
            Ok(Value::Scalar(scalar)) => Cell::value(Some(&scalar.to_string())),
            _ => Cell::value(json),
        }
    }

    /// As it can be written to `--time-limit`.
    pub fn time_limit(&self) -> Option<String> {
        self.time_limit_ms.map(|it| Millis(it).to_string())
    }

    /// The command that brings what was not committed.
    pub fn diff_is_fetched_by(&self) -> Option<String> {
        self.git.as_ref()?.diff.as_ref()?;
        Some(format!("`atlas get job --source_dir git.diff CONFIG {}` fetches it", short(&self.id)))
    }

    /// When it was submitted, for people.
    pub fn age(&self) -> String {
        ago(Wall::now(), self.submitted_ms)
    }

    /// `starting` and `stopping` say more than the status that they belong to.
    fn shown_status(&self) -> Cell {
        match self.phase.as_str() {
            "starting" | "stopping" => Cell::new(&self.phase),
            _ => status(&self.status),
        }
    }
}

/// A cause in words, with its value if it has one.
pub fn cause_text(cause: &wire::Cause) -> String {
    match cause.value.as_str() {
        "" => cause.kind.clone(),
        value => format!("{} {value}", cause.kind),
    }
}

impl Row for JobView {
    fn columns(wide: bool) -> Vec<Column> {
        let mut columns = vec![
            Column::left("ID"),
            Column::flexible("PROJECT"),
            Column::flexible("NAME"),
            Column::left("USER"),
            Column::left("STATUS"),
            Column::flexible("CAUSE"),
            Column::left("SUBMITTED"),
            Column::right("DURATION"),
        ];
        if wide {
            columns.extend([
                Column::left("NODE"),
                Column::right("GPUS"),
                Column::right("LIMIT"),
                Column::right("ATTEMPT"),
                Column::left("TAGS"),
                Column::left("DETAIL"),
            ]);
        }
        columns
    }

    fn cells(&self, wide: bool) -> Vec<Cell> {
        let id = if wide { &self.id } else { short(&self.id) };
        let submitted = if wide { self.submitted_at.clone() } else { self.age() };
        let mut cells = vec![
            Cell::new(id),
            Cell::new(&self.project),
            Cell::new(self.title()),
            Cell::new(&self.user),
            self.shown_status(),
            Cell::new(self.cause.as_deref().unwrap_or_default()),
            Cell::new(submitted),
            Cell::new(self.duration_ms.map(span).unwrap_or_default()),
        ];
        if wide {
            let tag = |(key, value): (&String, &String)| {
                if value.is_empty() { key.clone() } else { format!("{key}={value}") }
            };
            let tags: Vec<_> = self.tags.iter().map(tag).collect();
            cells.extend([
                Cell::new(self.node.as_deref().unwrap_or_default()),
                Cell::new(self.num_gpus.to_string()),
                Cell::new(self.time_limit().unwrap_or_default()),
                Cell::new(self.attempt.to_string()),
                Cell::new(tags.join(",")),
                Cell::new(self.detail.as_deref().unwrap_or_default()),
            ]);
        }
        cells
    }
}

/// The wire has JSON; anything else is not shown.
fn value((column, json): (String, String)) -> Option<(String, Box<RawValue>)> {
    Some((column, RawValue::from_string(json).ok()?))
}

/// The wire has no text where there is nothing to say.
fn text(text: String) -> Option<String> {
    Some(text).filter(|it| !it.is_empty())
}

/// The wire has 0 where nothing was asked for.
fn some(number: u64) -> Option<u64> {
    Some(number).filter(|it| *it > 0)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn failed_job() -> wire::Job {
        let spec = wire::JobSpec {
            project: "p".into(),
            user: "ada".into(),
            command: vec!["main.py".into()],
            demand: Some(wire::Demand { gpus: 1, cpu_milli: 1500, memory_bytes: 0 }),
            params_json: Some(r#"{"big": 8888888888888888888888888}"#.into()),
            git: Some(wire::Git { commit: "c0ffee".into(), dirty: true, ..Default::default() }),
            bundle: Some(wire::Bundle { id: "ab".into(), tar_bytes: 10240, files: 3 }),
            ..Default::default()
        };
        wire::Job {
            id: "45540b52-ffe2-44ab-9838-db467d3499c0".into(),
            spec: Some(spec),
            status: "failed".into(),
            phase: "done".into(),
            cause: Some(wire::Cause { kind: "exit-code".into(), value: "3".into() }),
            submitted_ms: 1_795_168_800_000,
            started_ms: Some(1_795_168_800_010),
            ended_ms: Some(1_795_168_801_010),
            position: 7,
            attempt: 1,
            node: Some("n1".into()),
            log_bytes: Some(12),
            ..Default::default()
        }
    }

    #[test]
    fn what_was_not_committed_is_told_with_the_way_to_it() {
        let mut job = failed_job();
        let git = |job: &wire::Job| JobView::from(job.clone()).git.unwrap().to_string();
        assert_eq!(git(&job), "c0ffee, changed since");
        assert_eq!(JobView::from(job.clone()).diff_is_fetched_by(), None);
        let diff = wire::GitDiff { sha256: "ab".repeat(32), files: 3, bytes: 90 };
        job.spec.as_mut().unwrap().git.as_mut().unwrap().diff = Some(diff);
        assert_eq!(git(&job), "c0ffee, changed since: 3 files, see git.diff");
        let view = JobView::from(job);
        let way = "`atlas get job --source_dir git.diff CONFIG 45540b52` fetches it";
        assert_eq!(view.diff_is_fetched_by().as_deref(), Some(way));
        let compared = view.git.unwrap().diff.unwrap().to_string();
        assert_eq!(compared, "3 files (abababab)");
    }

    #[test]
    fn the_json_of_a_job_is_a_promise() {
        let json = serde_json::to_string_pretty(&JobView::from(failed_job())).unwrap();
        expect![[r#"
            {
              "id": "45540b52-ffe2-44ab-9838-db467d3499c0",
              "project": "p",
              "name": null,
              "user": "ada",
              "status": "failed",
              "phase": "done",
              "cause": "exit-code 3",
              "detail": null,
              "submitted_at": "2026-11-20T10:00:00.000Z",
              "started_at": "2026-11-20T10:00:00.010Z",
              "ended_at": "2026-11-20T10:00:01.010Z",
              "duration_ms": 1000,
              "position": 7,
              "attempt": 1,
              "node": "n1",
              "gpus": [],
              "command": [
                "main.py"
              ],
              "entrypoint": null,
              "num_gpus": 1,
              "cpus": 1.5,
              "ram_bytes": null,
              "shm_bytes": null,
              "time_limit_ms": null,
              "image": null,
              "image_digest": null,
              "env": {},
              "secrets": [],
              "volumes": [],
              "params": {"big": 8888888888888888888888888},
              "tags": {},
              "note": null,
              "wait_for_capacity": false,
              "git": {
                "commit": "c0ffee",
                "branch": null,
                "dirty": true,
                "diff": null
              },
              "rerun": null,
              "host": null,
              "imported": null,
              "bundle": {
                "id": "ab",
                "tar_bytes": 10240,
                "files": 3
              },
              "log_bytes": 12,
              "left_behind": null,
              "removal": null,
              "excluded": {}
            }"#]]
        .assert_eq(&json);
    }
}
