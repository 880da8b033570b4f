//! A machine of the cluster.

use atlas_proto::wire;
use atlas_runtime::clock::Wall;
use serde::Serialize;

use super::status;
use crate::output::{Cell, Column, Row, bytes};
use crate::time::{ago, coarse, rfc3339};

#[derive(Debug, Serialize)]
pub struct NodeView {
    pub name: String,
    /// `ready`, `away` or `cordoned`.
    pub state: String,
    /// Why it is not ready.
    pub reason: Option<String>,
    pub executor: String,
    pub version: String,
    pub address: String,
    pub slots: u32,
    pub slots_free: u32,
    pub gpus: Vec<GpuView>,
    pub cpus: f64,
    pub cpus_free: f64,
    pub ram_bytes: u64,
    pub ram_bytes_free: u64,
    /// Ids of the jobs that it runs.
    pub jobs: Vec<String>,
    pub joined_at: String,
    /// Milliseconds since it was last heard of.
    pub silent_ms: u64,
    #[serde(skip)]
    joined_ms: u64,
}

#[derive(Debug, Serialize)]
pub struct GpuView {
    pub id: String,
    pub index: u32,
    pub model: String,
    pub memory_bytes: u64,
    pub free: bool,
}

impl From<wire::Node> for NodeView {
    fn from(node: wire::Node) -> Self {
        Self {
            name: node.name,
            state: node.state,
            reason: Some(node.reason).filter(|it| !it.is_empty()),
            executor: node.executor,
            version: node.version,
            address: node.address,
            slots: node.slots,
            slots_free: node.slots_free,
            gpus: node.gpus.into_iter().map(Into::into).collect(),
            cpus: cores(node.cpu_milli),
            cpus_free: cores(node.cpu_milli_free),
            ram_bytes: node.memory_bytes,
            ram_bytes_free: node.memory_bytes_free,
            jobs: node.jobs,
            joined_at: rfc3339(node.joined_ms),
            silent_ms: node.silent_ms,
            joined_ms: node.joined_ms,
        }
    }
}

impl From<wire::Gpu> for GpuView {
    fn from(gpu: wire::Gpu) -> Self {
        let wire::Gpu { id, index, model, memory_bytes, free } = gpu;
        Self { id, index, model, memory_bytes, free }
    }
}

#[expect(clippy::cast_precision_loss, reason = "no machine has 2^52 thousandths of a core")]
fn cores(milli: u64) -> f64 {
    milli as f64 / 1000.0
}

impl Row for NodeView {
    fn columns(wide: bool) -> Vec<Column> {
        let mut columns = vec![
            Column::left("NAME"),
            Column::left("STATE"),
            Column::left("EXECUTOR"),
            Column::right("SLOTS FREE"),
            Column::right("GPUS FREE"),
            Column::right("CPUS FREE"),
            Column::right("RAM FREE"),
            Column::right("JOBS"),
            Column::left("HEARD"),
            Column::flexible("REASON"),
        ];
        if wide {
            columns.extend([
                Column::left("GPUS"),
                Column::left("ADDRESS"),
                Column::left("VERSION"),
                Column::left("JOINED"),
            ]);
        }
        columns
    }

    fn cells(&self, wide: bool) -> Vec<Cell> {
        let free = self.gpus.iter().filter(|it| it.free).count();
        let heard = if self.silent_ms < 15_000 {
            "now".into()
        } else {
            format!("{} ago", coarse(self.silent_ms))
        };
        let mut cells = vec![
            Cell::new(&self.name),
            status(&self.state),
            Cell::new(&self.executor),
            Cell::new(format!("{}/{}", self.slots_free, self.slots)),
            Cell::new(format!("{free}/{}", self.gpus.len())),
            Cell::new(format!("{}/{}", self.cpus_free, self.cpus)),
            Cell::new(format!("{}/{}", bytes(self.ram_bytes_free), bytes(self.ram_bytes))),
            Cell::new(self.jobs.len().to_string()),
            Cell::new(heard),
            Cell::new(self.reason.as_deref().unwrap_or_default()),
        ];
        if wide {
            let gpus: Vec<_> =
                self.gpus.iter().map(|it| format!("{}:{}", it.index, it.model)).collect();
            cells.extend([
                Cell::new(gpus.join(", ")),
                Cell::new(&self.address),
                Cell::new(&self.version),
                Cell::new(ago(Wall::now(), self.joined_ms)),
            ]);
        }
        cells
    }
}
