//! Jobs, nodes and files as listings show them. The JSON is a promise: keys are added, never renamed or removed.

mod file;
mod git;
mod job;
mod node;
mod project;
mod queued;
mod removal;
mod run;
mod usage;

pub use file::FileView;
pub use job::{JobView, cause_text};
pub use node::NodeView;
pub use project::{ProjectDetails, ProjectView};
pub use queued::QueuedView;
pub use run::{RunView, value_text, within};
pub use usage::{OccupiedView, UsageView};

use crate::output::{Cell, Colour};

/// A status with its colour.
fn status(word: &str) -> Cell {
    let cell = Cell::new(word);
    match word {
        "completed" | "ready" => cell.coloured(Colour::Green),
        "failed" | "away" => cell.coloured(Colour::Red),
        "running" => cell.coloured(Colour::Blue),
        "queued" | "cordoned" => cell.coloured(Colour::Yellow),
        _ => cell,
    }
}

/// As much of an id as people need.
pub fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}
