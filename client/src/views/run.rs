//! What a job has told of itself, as it is shown.

use std::collections::BTreeMap;

use atlas_core::Run;
use atlas_core::run::{Artifact, Extreme, Scalar, Summary, Synced, Value};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct RunView {
    pub name: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub params: BTreeMap<String, Value>,
    pub metrics: BTreeMap<String, MetricView>,
    pub artifacts: Vec<ArtifactView>,
    pub synced: Vec<SyncedView>,
    /// Of its process: Python, packages, arguments.
    pub facts: Option<Value>,
    /// Events that were left out: no events at all, and beyond a limit.
    pub unreadable: u64,
    pub over_limit: u64,
}

#[derive(Debug, Serialize)]
pub struct MetricView {
    pub last: Scalar,
    pub last_step: u64,
    pub count: u64,
    pub min: Option<Extreme>,
    pub max: Option<Extreme>,
    pub rank: u32,
}

#[derive(Debug, Serialize)]
pub struct ArtifactView {
    pub key: String,
    /// As `atlas ls` shows it.
    pub path: String,
    pub bytes: u64,
    pub folder: bool,
}

/// A folder that the job uploads.
#[derive(Debug, Serialize)]
pub struct SyncedView {
    pub key: String,
    /// As `atlas ls` shows it.
    pub path: String,
    pub files: u64,
    pub bytes: u64,
}

impl From<Run> for RunView {
    fn from(run: Run) -> Self {
        let Run { name, tags, params, metrics, artifacts, synced, facts, left, .. } = run;
        let metric = |(key, it): (String, Summary)| {
            let Summary { last, last_step, count, min, max, rank } = it;
            (key, MetricView { last, last_step, count, min, max, rank })
        };
        let versions = |(key, all): (String, Vec<Artifact>)| {
            all.into_iter().map(move |it| ArtifactView {
                key: key.clone(),
                path: format!("artifacts/{}", it.path),
                bytes: it.bytes,
                folder: it.folder,
            })
        };
        let folder = |(key, it): (String, Synced)| SyncedView {
            path: format!("synced/{key}"),
            key,
            files: it.files,
            bytes: it.bytes,
        };
        Self {
            name,
            tags,
            params,
            metrics: metrics.into_iter().map(metric).collect(),
            artifacts: artifacts.into_iter().flat_map(versions).collect(),
            synced: synced.into_iter().map(folder).collect(),
            facts,
            unreadable: left.unreadable,
            over_limit: left.over_limit,
        }
    }
}

impl RunView {
    /// Of the machine that it ran on, as it was told; equal ones once.
    pub fn gpu_models(&self) -> Option<String> {
        let Value::List(gpus) = within(self.facts.as_ref(), &["machine", "gpus"])? else {
            return None;
        };
        let mut counts = BTreeMap::<String, usize>::new();
        for gpu in gpus {
            let model = within(Some(gpu), &["model"]).map_or_else(|| "unknown".into(), value_text);
            *counts.entry(model).or_default() += 1;
        }
        let shown = counts.iter().map(|(model, count)| format!("{count} × {model}"));
        Some(shown.collect::<Vec<_>>().join(", ")).filter(|it| !it.is_empty())
    }
}

/// A value on one line: text as it is, the rest as JSON.
pub fn value_text(value: &Value) -> String {
    match value {
        Value::Scalar(scalar) => scalar.to_string(),
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

/// What there is under these names, one below the other.
pub fn within<'a>(value: Option<&'a Value>, names: &[&str]) -> Option<&'a Value> {
    names.iter().try_fold(value?, |value, name| match value {
        Value::Map(map) => map.get(*name),
        _ => None,
    })
}
