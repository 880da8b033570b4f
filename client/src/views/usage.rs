//! What jobs occupy, in a listing.

use atlas_proto::wire;
use serde::Serialize;

use crate::output::{self, Cell, Column, Row};

/// What is said of all groups.
#[derive(Debug, Serialize)]
pub struct UsageView {
    /// The largest first.
    pub groups: Vec<OccupiedView>,
    /// So many groups are left out, but not of the total.
    pub more: u64,
    /// A bundle that several groups share counts once.
    pub total: OccupiedView,
}

/// Jobs, and what they occupy together.
#[derive(Debug, Serialize)]
pub struct OccupiedView {
    /// Of the project or the user, or the job's id; empty = all of them.
    pub name: String,
    pub jobs: u64,
    /// Of so many jobs it is not known yet.
    pub unmeasured: u64,
    pub log_bytes: u64,
    pub series_bytes: u64,
    pub outputs_bytes: u64,
    pub artifacts_bytes: u64,
    pub checkpoints_bytes: u64,
    pub synced_bytes: u64,
    pub tensorboard_bytes: u64,
    pub other_bytes: u64,
    pub bundles_bytes: u64,
    pub total_bytes: u64,
}

impl From<wire::UsageReply> for UsageView {
    fn from(reply: wire::UsageReply) -> Self {
        let wire::UsageReply { groups, more, total } = reply;
        let groups = groups.into_iter().map(Into::into).collect();
        Self { groups, more, total: total.unwrap_or_default().into() }
    }
}

impl OccupiedView {
    /// What the jobs wrote: without their logs and series.
    pub fn written(&self) -> u64 {
        [
            self.outputs_bytes,
            self.artifacts_bytes,
            self.checkpoints_bytes,
            self.synced_bytes,
            self.tensorboard_bytes,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }

    /// Without the bundles, which other jobs may need.
    pub fn files(&self) -> u64 {
        self.total_bytes.saturating_sub(self.bundles_bytes)
    }
}

impl From<wire::Usage> for OccupiedView {
    fn from(usage: wire::Usage) -> Self {
        let wire::Usage {
            name,
            jobs,
            unmeasured,
            log_bytes,
            series_bytes,
            outputs_bytes,
            artifacts_bytes,
            checkpoints_bytes,
            synced_bytes,
            tensorboard_bytes,
            other_bytes,
            bundles_bytes,
        } = usage;
        let kinds = [
            log_bytes,
            series_bytes,
            outputs_bytes,
            artifacts_bytes,
            checkpoints_bytes,
            synced_bytes,
            tensorboard_bytes,
            other_bytes,
            bundles_bytes,
        ];
        Self {
            name,
            jobs,
            unmeasured,
            log_bytes,
            series_bytes,
            outputs_bytes,
            artifacts_bytes,
            checkpoints_bytes,
            synced_bytes,
            tensorboard_bytes,
            other_bytes,
            bundles_bytes,
            total_bytes: kinds.into_iter().fold(0, u64::saturating_add),
        }
    }
}

impl Row for OccupiedView {
    fn columns(_: bool) -> Vec<Column> {
        let kinds = [
            "JOBS",
            "TOTAL",
            "OUTPUTS",
            "CHECKPOINTS",
            "ARTIFACTS",
            "SYNCED",
            "TENSORBOARD",
            "SERIES",
            "LOG",
            "BUNDLES",
        ];
        [Column::flexible("NAME")].into_iter().chain(kinds.map(Column::right)).collect()
    }

    fn cells(&self, wide: bool) -> Vec<Cell> {
        let bytes = [
            self.total_bytes,
            self.outputs_bytes,
            self.checkpoints_bytes,
            self.artifacts_bytes,
            self.synced_bytes,
            self.tensorboard_bytes,
            self.series_bytes,
            self.log_bytes,
            self.bundles_bytes,
        ];
        let shown = |it: u64| match it {
            0 => "-".to_owned(),
            it if wide => it.to_string(),
            it => output::bytes(it),
        };
        let bytes = bytes.into_iter().map(|it| Cell::new(shown(it)));
        let first = [Cell::new(&self.name), Cell::new(self.jobs.to_string())];
        first.into_iter().chain(bytes).collect()
    }
}
