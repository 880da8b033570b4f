//! A project, in a listing and alone.

use std::collections::BTreeMap;

use atlas_proto::wire;
use atlas_runtime::clock::Wall;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::output::{Cell, Column, Row, Table, counted};
use crate::time::{ago, rfc3339};

#[derive(Debug, Serialize)]
pub struct ProjectView {
    pub name: String,
    pub jobs: u64,
    pub queued: u64,
    pub running: u64,
    pub completed: u64,
    pub failed: u64,
    /// Of the newest job.
    pub last_submitted_at: String,
    #[serde(skip)]
    last_submitted_ms: u64,
}

#[derive(Debug, Serialize)]
pub struct ProjectDetails {
    #[serde(flatten)]
    pub project: ProjectView,
    /// In Markdown.
    pub description: String,
    /// `outputs 30d`, or `off`.
    pub retention: String,
    /// Jobs of which it removes what they wrote, now.
    pub outliving: u64,
    /// The oldest first.
    pub notes: Vec<NoteView>,
    pub metrics: BTreeMap<String, AcrossView>,
}

#[derive(Debug, Serialize)]
pub struct NoteView {
    pub id: u64,
    pub author: String,
    pub at: String,
    pub text: String,
}

/// A metric over all jobs.
#[derive(Debug, Serialize)]
pub struct AcrossView {
    /// So many jobs have it.
    pub jobs: u64,
    /// Of the newest of them.
    pub last: Option<Box<RawValue>>,
    pub min: Option<Box<RawValue>>,
    pub max: Option<Box<RawValue>>,
}

impl From<wire::Project> for ProjectView {
    fn from(project: wire::Project) -> Self {
        let wire::Project { name, jobs, queued, running, completed, failed, last_submitted_ms } =
            project;
        let last_submitted_at = rfc3339(last_submitted_ms);
        Self {
            name,
            jobs,
            queued,
            running,
            completed,
            failed,
            last_submitted_at,
            last_submitted_ms,
        }
    }
}

impl From<wire::GetProjectReply> for ProjectDetails {
    fn from(reply: wire::GetProjectReply) -> Self {
        let wire::GetProjectReply { project, description, notes, metrics, retention, outliving } =
            reply;
        let note = |it: wire::Note| {
            let wire::Note { id, author, at_ms, text } = it;
            NoteView { id, author, at: rfc3339(at_ms), text }
        };
        let raw = |it: Option<String>| it.and_then(|it| RawValue::from_string(it).ok());
        let metric = |it: wire::ProjectMetric| {
            let wire::ProjectMetric { key, jobs, last_json, min_json, max_json } = it;
            let [last, min, max] = [last_json, min_json, max_json].map(raw);
            (key, AcrossView { jobs, last, min, max })
        };
        Self {
            project: project.unwrap_or_default().into(),
            description,
            retention,
            outliving: outliving.map_or(0, |it| it.jobs),
            notes: notes.into_iter().map(note).collect(),
            metrics: metrics.into_iter().map(metric).collect(),
        }
    }
}

impl Row for ProjectView {
    fn columns(_: bool) -> Vec<Column> {
        vec![
            Column::flexible("PROJECT"),
            Column::right("JOBS"),
            Column::right("QUEUED"),
            Column::right("RUNNING"),
            Column::right("COMPLETED"),
            Column::right("FAILED"),
            Column::left("LAST SUBMITTED"),
        ]
    }

    fn cells(&self, wide: bool) -> Vec<Cell> {
        let counts = [self.jobs, self.queued, self.running, self.completed, self.failed];
        let last = if wide {
            self.last_submitted_at.clone()
        } else {
            ago(Wall::now(), self.last_submitted_ms)
        };
        let counts = counts.into_iter().map(|it| Cell::new(it.to_string()));
        [Cell::new(&self.name)].into_iter().chain(counts).chain([Cell::new(last)]).collect()
    }
}

impl ProjectDetails {
    /// A line for everything that there is to say.
    pub fn lines(&self) -> String {
        let mut table = Table::new(vec![Column::left(""), Column::left("")]);
        let mut line =
            |name: &str, value: &str| table.push(vec![Cell::new(name), Cell::new(value)]);
        let ProjectView { name, jobs, queued, running, completed, failed, .. } = &self.project;
        line("project", name);
        line(
            "jobs",
            &format!(
                "{jobs} ({queued} queued, {running} running, {completed} completed, {failed} failed)"
            ),
        );
        for text in self.description.lines() {
            line("description", if text.is_empty() { " " } else { text });
        }
        let outliving = match self.outliving {
            0 => String::new(),
            many => format!(" ({many} jobs now)"),
        };
        // A master of before has no such word.
        if !matches!(&*self.retention, "off" | "") {
            line("retention", &format!("{}{outliving}", self.retention));
        }
        for NoteView { id, author, at, text } in &self.notes {
            line(&format!("note {id}"), &format!("{text} ({author}, {at})"));
        }
        let shown =
            |it: &Option<Box<RawValue>>| it.as_ref().map_or("-".into(), |it| it.get().to_owned());
        for (key, AcrossView { jobs, last, min, max }) in &self.metrics {
            let [last, min, max] = [last, min, max].map(shown);
            let jobs = counted(*jobs, "job", "jobs");
            line("metric", &format!("{key}={last} ({jobs}, min {min}, max {max})"));
        }
        table.render_rows()
    }
}
