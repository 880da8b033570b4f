//! A job that waits.

use atlas_proto::wire;
use serde::Serialize;

use super::{JobView, short};
use crate::output::{Cell, Column, Row};

#[derive(Debug, Serialize)]
pub struct QueuedView {
    /// 1 = next.
    pub place: u64,
    /// Why it waits.
    pub reason: String,
    pub job: JobView,
}

impl From<wire::QueuedJob> for QueuedView {
    fn from(queued: wire::QueuedJob) -> Self {
        let wire::QueuedJob { place, job, reason } = queued;
        Self { place, reason, job: job.unwrap_or_default().into() }
    }
}

impl Row for QueuedView {
    fn columns(wide: bool) -> Vec<Column> {
        let mut columns = vec![
            Column::right("PLACE"),
            Column::left("ID"),
            Column::flexible("PROJECT"),
            Column::flexible("NAME"),
            Column::left("USER"),
            Column::left("SUBMITTED"),
            Column::flexible("REASON"),
        ];
        if wide {
            columns.extend([Column::right("GPUS"), Column::right("CPUS"), Column::right("RAM")]);
        }
        columns
    }

    fn cells(&self, wide: bool) -> Vec<Cell> {
        let job = &self.job;
        let mut cells = vec![
            Cell::new(self.place.to_string()),
            Cell::new(if wide { &job.id } else { short(&job.id) }),
            Cell::new(&job.project),
            Cell::new(job.title()),
            Cell::new(&job.user),
            Cell::new(if wide { job.submitted_at.clone() } else { job.age() }),
            Cell::new(&self.reason),
        ];
        if wide {
            cells.extend([
                Cell::new(job.num_gpus.to_string()),
                Cell::new(job.cpus.map(|it| it.to_string()).unwrap_or_default()),
                Cell::new(job.ram_bytes.map(crate::output::bytes).unwrap_or_default()),
            ]);
        }
        cells
    }
}
