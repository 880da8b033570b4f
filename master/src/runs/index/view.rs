//! The fixed fields of rows as cells, so that all fields are filtered and sorted in one way.

use std::num::NonZeroU64;

use atlas_core::{Phase, Status, Timestamp};

use super::cells::{Cell, Column};
use super::filter::Looker;
use super::table::{Row, Table};
use super::texts::{TextId, Texts};
use crate::runs::query::{Field, KEPT, REMOVED};

/// The words of statuses and phases, and of what jobs wrote.
#[derive(Debug)]
pub struct Words {
    statuses: [(Status, TextId); 4],
    phases: [(Phase, TextId); 6],
    kept: TextId,
    removed: TextId,
}

impl Words {
    pub fn new(texts: &mut Texts) -> Self {
        Self {
            statuses: Status::ALL.map(|it| (it, texts.take(it.word()))),
            phases: Phase::ALL.map(|it| (it, texts.take(it.word()))),
            kept: texts.take(KEPT),
            removed: texts.take(REMOVED),
        }
    }

    fn status(&self, status: Status) -> TextId {
        let found = self.statuses.iter().find(|it| it.0 == status);
        found.expect("every status is there").1
    }

    fn phase(&self, phase: Phase) -> TextId {
        self.phases.iter().find(|it| it.0 == phase).expect("every phase is there").1
    }
}

/// Shows every value of a field, one row after the other.
pub fn each(table: &Table, field: &Field, with: Looker<'_>, mut see: impl FnMut(u32, Cell)) {
    let rows = (0u32..).zip(&table.rows);
    match (table.column(field), fixed(field)) {
        (Some(column), _) => column.each(see),
        (None, Some(of)) => rows.for_each(|(at, row)| see(at, of(row, table, with))),
        (None, None) => {}
    }
}

/// The way to one value of a field.
pub fn getter<'a>(
    table: &'a Table,
    field: &Field,
    with: Looker<'a>,
) -> Box<dyn Fn(u32) -> Cell + 'a> {
    match (table.column(field), fixed(field)) {
        (Some(column), _) => Box::new(|at| Column::get(column, at)),
        (None, Some(of)) => Box::new(move |at| of(&table.rows[at as usize], table, with)),
        (None, None) => Box::new(|_| Cell::Missing),
    }
}

type Getter = fn(&Row, &Table, Looker<'_>) -> Cell;

/// `None` = a field with a key. Ids are compared apart.
fn fixed(field: &Field) -> Option<Getter> {
    Some(match field {
        Field::Project => |_, table, _| Cell::Text(table.project),
        Field::User => |row, _, _| Cell::Text(row.user),
        Field::Name => |row, _, _| text(row.name),
        Field::Node => |row, _, _| text(row.node),
        Field::Cause => |row, _, _| text(row.cause),
        Field::Status => |row, _, with| Cell::Text(with.words.status(row.status)),
        Field::Phase => |row, _, with| Cell::Text(with.words.phase(row.phase)),
        Field::Outputs => |row, _, with| {
            let Words { kept, removed, .. } = with.words;
            text(row.kept.map(|it| if it { *kept } else { *removed }))
        },
        Field::Submitted => |row, _, _| Cell::Number(ms(row.submitted.0)),
        Field::Started => |row, _, _| time(row.started),
        Field::Ended => |row, _, _| time(row.ended),
        Field::Duration => |row, _, with| duration(row, with.now),
        Field::Attempt => |row, _, _| Cell::Number(row.attempt.into()),
        Field::NumGpus => |row, _, _| Cell::Number(row.gpus.into()),
        Field::Id => |_, _, _| Cell::Missing,
        Field::Tag(_) | Field::Param(_) | Field::Metric(..) => return None,
    })
}

fn text(text: Option<TextId>) -> Cell {
    text.map_or(Cell::Missing, Cell::Text)
}

fn time(at: Option<NonZeroU64>) -> Cell {
    at.map_or(Cell::Missing, |it| Cell::Number(ms(it.get())))
}

/// Of a job that runs, up to now.
fn duration(row: &Row, now: Timestamp) -> Cell {
    let Some(started) = row.started else { return Cell::Missing };
    let until = row.ended.map_or(now.0, NonZeroU64::get);
    Cell::Number(ms(until.saturating_sub(started.get())))
}

#[expect(clippy::cast_precision_loss, reason = "no time that anybody means is that far away")]
fn ms(ms: u64) -> f64 {
    ms as f64
}
