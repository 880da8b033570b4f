//! The runs of one project, a row each.

use std::collections::HashMap;
use std::num::NonZeroU64;

use atlas_core::job::{Archive, JobState};
use atlas_core::run::{Run, Scalar, Summary, Value};
use atlas_core::{JobId, JobSpec, JobStatus, Outcome, Phase, Position, Status, Timestamp};

use super::cells::{Cell, Column};
use super::texts::{TextId, Texts};
use crate::runs::number::Number;
use crate::runs::params;
use crate::runs::query::{Field, Stat};

#[derive(Debug)]
pub struct Table {
    pub project: TextId,
    pub rows: Vec<Row>,
    pub tags: Keyed<Column>,
    pub params: Keyed<Column>,
    pub metrics: Keyed<Metric>,
}

pub type Keyed<T> = HashMap<Box<str>, T>;

/// What every job has.
#[derive(Debug)]
pub struct Row {
    pub id: JobId,
    pub position: Position,
    pub submitted: Timestamp,
    pub started: Option<NonZeroU64>,
    pub ended: Option<NonZeroU64>,
    pub attempt: u32,
    pub gpus: u32,
    pub user: TextId,
    pub name: Option<TextId>,
    pub node: Option<TextId>,
    pub cause: Option<TextId>,
    pub status: Status,
    pub phase: Phase,
    /// Whether what it wrote is kept, once it has ended and if it began.
    pub kept: Option<bool>,
}

/// A column for each thing that can be asked of a metric.
#[derive(Debug, Default)]
pub struct Metric {
    last: Column,
    min: Column,
    max: Column,
    count: Column,
}

impl Table {
    pub fn new(project: TextId) -> Self {
        let (tags, params, metrics) = Default::default();
        Self { project, rows: Vec::new(), tags, params, metrics }
    }

    /// A row more; gives its number.
    pub fn add(&mut self, texts: &mut Texts, id: JobId, spec: &JobSpec, status: &JobStatus) -> u32 {
        let at = u32::try_from(self.rows.len()).expect("memory ends before");
        self.rows.push(Row {
            id,
            position: status.position,
            submitted: status.submitted,
            started: None,
            ended: None,
            attempt: 0,
            gpus: spec.demand.gpus,
            user: texts.take(&spec.user),
            name: spec.name.as_deref().map(|it| texts.take(it)),
            node: None,
            cause: None,
            status: status.status(),
            phase: status.phase(),
            kept: None,
        });
        self.change(texts, at, status);
        for (key, value) in &spec.tags {
            let cell = Cell::Text(texts.take(value));
            put(texts, &mut self.tags, key, at, cell);
        }
        for (key, value) in params::of(spec) {
            let cell = cell(texts, &value);
            put(texts, &mut self.params, &key, at, cell);
        }
        at
    }

    /// The job's state as it is now.
    pub fn change(&mut self, texts: &mut Texts, at: u32, status: &JobStatus) {
        let row = &mut self.rows[at as usize];
        let end = status.state.end();
        let node = match &status.state {
            JobState::Done { node, .. } => node.as_ref(),
            other => other.placement().map(|it| &it.node),
        };
        let cause = match end.map(|it| &it.outcome) {
            Some(Outcome::Failed { cause, .. }) => Some(cause.word()),
            Some(Outcome::Completed) | None => None,
        };
        let time = |it: Timestamp| NonZeroU64::new(it.0);
        row.status = status.status();
        row.phase = status.phase();
        row.kept = match &status.state {
            JobState::Done { archive: Archive::BundleOnly, .. } => None,
            JobState::Done { written, .. } => Some(written.are_kept()),
            _ => None,
        };
        row.position = status.position;
        row.attempt = u32::try_from(status.attempt.0).unwrap_or(u32::MAX);
        row.started = status.state.started().and_then(time);
        row.ended = end.and_then(|it| time(it.at));
        replace(texts, &mut row.node, node.map(atlas_core::NodeName::as_str));
        replace(texts, &mut row.cause, cause);
    }

    /// What the job told of itself up to now.
    pub fn tell(&mut self, texts: &mut Texts, at: u32, run: &Run) {
        if let Some(name) = &run.name {
            replace(texts, &mut self.rows[at as usize].name, Some(name));
        }
        for (key, value) in &run.tags {
            let cell = Cell::Text(texts.take(value));
            put(texts, &mut self.tags, key, at, cell);
        }
        for key in &run.untagged {
            self.untag(texts, key, at);
        }
        for (key, value) in &run.params {
            let cell = cell(texts, value);
            put(texts, &mut self.params, key, at, cell);
        }
        for (key, summary) in &run.metrics {
            let metric = slot(&mut self.metrics, key);
            metric.set(texts, at, summary);
        }
    }

    fn untag(&mut self, texts: &mut Texts, key: &str, at: u32) {
        let Some(column) = self.tags.get_mut(key) else { return };
        set(texts, column, at, Cell::Missing);
        if column.present() == 0 {
            self.tags.remove(key);
        }
    }

    /// Removes a row; the last one takes its place, and is told.
    pub fn remove(&mut self, texts: &mut Texts, at: u32) -> Option<JobId> {
        let last = u32::try_from(self.rows.len() - 1).expect("it was counted when it came");
        for column in self.tags.values_mut().chain(self.params.values_mut()) {
            give_back(texts, column.swap_remove(at, last));
        }
        for metric in self.metrics.values_mut() {
            for column in metric.columns() {
                give_back(texts, column.swap_remove(at, last));
            }
        }
        self.tags.retain(|_, it| it.present() > 0);
        self.params.retain(|_, it| it.present() > 0);
        self.metrics.retain(|_, it| it.last.present() > 0);
        let row = self.rows.swap_remove(at as usize);
        for text in [Some(row.user), row.name, row.node, row.cause].into_iter().flatten() {
            texts.give_back(text);
        }
        self.rows.get(at as usize).map(|it| it.id)
    }

    /// The column of a field with a key, if any run has it.
    pub fn column(&self, field: &Field) -> Option<&Column> {
        match field {
            Field::Tag(key) => self.tags.get(key.as_str()),
            Field::Param(key) => self.params.get(key.as_str()),
            Field::Metric(key, stat) => self.metrics.get(key.as_str()).map(|it| it.column(*stat)),
            _ => None,
        }
    }
}

impl Metric {
    pub fn column(&self, stat: Stat) -> &Column {
        match stat {
            Stat::Last => &self.last,
            Stat::Min => &self.min,
            Stat::Max => &self.max,
            Stat::Count => &self.count,
        }
    }

    fn columns(&mut self) -> [&mut Column; 4] {
        [&mut self.last, &mut self.min, &mut self.max, &mut self.count]
    }

    fn set(&mut self, texts: &mut Texts, at: u32, summary: &Summary) {
        let Summary { last, last_step: _, count, min, max, rank: _ } = summary;
        let count = Scalar::Int(i64::try_from(*count).unwrap_or(i64::MAX));
        let cells = [
            scalar(texts, last),
            min.as_ref().map_or(Cell::Missing, |it| scalar(texts, &it.value)),
            max.as_ref().map_or(Cell::Missing, |it| scalar(texts, &it.value)),
            scalar(texts, &count),
        ];
        for (column, cell) in self.columns().into_iter().zip(cells) {
            set(texts, column, at, cell);
        }
    }
}

fn slot<'a, T: Default>(columns: &'a mut Keyed<T>, key: &str) -> &'a mut T {
    if !columns.contains_key(key) {
        columns.insert(key.into(), T::default());
    }
    columns.get_mut(key).expect("it is there now")
}

fn put(texts: &mut Texts, columns: &mut Keyed<Column>, key: &str, at: u32, cell: Cell) {
    set(texts, slot(columns, key), at, cell);
}

fn set(texts: &mut Texts, column: &mut Column, at: u32, cell: Cell) {
    give_back(texts, column.set(at, cell));
}

fn give_back(texts: &mut Texts, cell: Cell) {
    if let Some(text) = cell.text() {
        texts.give_back(text);
    }
}

fn replace(texts: &mut Texts, text: &mut Option<TextId>, new: Option<&str>) {
    let new = new.map(|it| texts.take(it));
    if let Some(before) = std::mem::replace(text, new) {
        texts.give_back(before);
    }
}

/// A parameter's value; uses the text that it may have.
fn cell(texts: &mut Texts, value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Scalar(it) => scalar(texts, it),
        Value::List(_) | Value::Map(_) => {
            let json = serde_json::to_string(value).expect("a value has a JSON form");
            Cell::Json(texts.take(&json))
        }
    }
}

fn scalar(texts: &mut Texts, scalar: &Scalar) -> Cell {
    match scalar {
        Scalar::Bool(it) => Cell::Bool(*it),
        Scalar::Float(it) => Cell::Number(*it),
        Scalar::Text(it) => Cell::Text(texts.take(it)),
        Scalar::BigInt(digits) => Cell::Big(texts.take(digits)),
        Scalar::Int(it) => match Number::of_int(*it) {
            Number::Float(it) => Cell::Number(it),
            Number::Big(digits) => Cell::Big(texts.take(&digits)),
        },
    }
}
