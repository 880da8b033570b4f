//! A file of a job.

use atlas_proto::wire::{FileEntry, FileKind};
use atlas_runtime::clock::Wall;
use serde::Serialize;

use crate::output::{Cell, Colour, Column, Row, bytes};
use crate::time::{ago, rfc3339};

#[derive(Clone, Debug, Serialize)]
pub struct FileView {
    pub path: String,
    /// `file`, `folder` or `link`.
    pub kind: &'static str,
    /// Of a folder: of all that is in it.
    pub bytes: u64,
    /// Absent for what was submitted: a bundle keeps no times.
    pub modified_at: Option<String>,
    /// What a link points at.
    pub target: Option<String>,
    #[serde(skip)]
    modified_ms: u64,
}

impl From<FileEntry> for FileView {
    fn from(entry: FileEntry) -> Self {
        let kind = match entry.kind() {
            FileKind::Folder => "folder",
            FileKind::Link => "link",
            FileKind::File | FileKind::Unspecified => "file",
        };
        let FileEntry { path, bytes, modified_ms, kind: _, target } = entry;
        Self {
            path,
            kind,
            bytes,
            modified_at: (modified_ms > 0).then(|| rfc3339(modified_ms)),
            target: Some(target).filter(|it| !it.is_empty()),
            modified_ms,
        }
    }
}

impl FileView {
    /// A folder that stands for what is in it.
    pub fn folder(path: String) -> Self {
        Self { path, kind: "folder", bytes: 0, modified_at: None, target: None, modified_ms: 0 }
    }
}

impl Row for FileView {
    fn columns(_wide: bool) -> Vec<Column> {
        vec![Column::right("SIZE"), Column::left("MODIFIED"), Column::left("PATH")]
    }

    fn cells(&self, wide: bool) -> Vec<Cell> {
        let modified = match &self.modified_at {
            Some(at) if wide => at.clone(),
            Some(_) => ago(Wall::now(), self.modified_ms),
            None => String::new(),
        };
        let path = match (self.kind, &self.target) {
            ("folder", _) => Cell::new(format!("{}/", self.path)).coloured(Colour::Blue),
            (_, Some(target)) => Cell::new(format!("{} -> {target}", self.path)),
            _ => Cell::new(&self.path),
        };
        vec![Cell::new(bytes(self.bytes)), Cell::new(modified), path]
    }
}
