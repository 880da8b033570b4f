//! A metric over all runs of a project.

use atlas_core::run::Value;

use super::cells::{Cell, Column};
use super::table::{Metric, Table};
use super::texts::Texts;
use super::values::{number, value};
use crate::runs::query::Stat;

/// What runs have of a metric, taken together.
#[derive(Clone, Debug, PartialEq)]
pub struct Across {
    /// The last value of the newest run that has it.
    pub last: Option<Value>,
    /// The least number of all runs, and the greatest; integers that no float holds are not looked at.
    pub min: Option<Value>,
    pub max: Option<Value>,
}

impl Across {
    pub fn of(metric: &Metric, table: &Table, texts: &Texts) -> Self {
        let mut newest = None;
        metric.column(Stat::Last).each(|row, cell| {
            let position = table.rows[row as usize].position;
            if newest.is_none_or(|(before, _)| before < position) {
                newest = Some((position, cell));
            }
        });
        Self {
            last: newest.and_then(|(_, cell)| value(texts, cell)),
            min: extreme(metric.column(Stat::Min), f64::min),
            max: extreme(metric.column(Stat::Max), f64::max),
        }
    }
}

fn extreme(column: &Column, of: fn(f64, f64) -> f64) -> Option<Value> {
    let mut found = None;
    column.each(|_, cell| {
        if let Cell::Number(it) = cell {
            found = Some(found.map_or(it, |before| of(before, it)));
        }
    });
    found.map(|it| number(it).into())
}
