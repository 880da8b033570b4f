//! What runs have in some columns, for those who look at a listing.

use std::collections::BTreeSet;

use atlas_core::JobId;
use atlas_core::run::{Labels, Scalar, Value};

use super::cells::{Cell, Column};
use super::table::Table;
use super::texts::{TextId, Texts};
use super::{Index, Place};
use crate::runs::query::{Field, Stat};

/// Columns of one listing.
const MOST: usize = 200;

/// Which columns are shown.
#[derive(Clone, Debug, PartialEq)]
pub enum Columns {
    /// Tags, parameters and metrics.
    These(Vec<Field>),
    /// Every parameter, and every metric's last value, that one of the runs has: the first 200 by name.
    All,
}

/// For each run a value in each column, if it has one.
#[derive(Clone, Debug, PartialEq)]
pub struct Values {
    pub columns: Vec<Field>,
    pub rows: Vec<Vec<Option<Value>>>,
}

impl Index {
    /// Of these runs, in their order.
    pub fn values(&self, ids: &[JobId], columns: &Columns) -> Values {
        let places: Vec<Option<Place>> =
            ids.iter().map(|id| self.places.get(id).copied()).collect();
        let columns = match columns {
            Columns::These(fields) => fields.iter().take(MOST).cloned().collect(),
            Columns::All => self.columns_of(&places),
        };
        let row =
            |place: &Option<Place>| columns.iter().map(|it| self.value((*place)?, it)).collect();
        Values { rows: places.iter().map(row).collect(), columns }
    }

    fn value(&self, Place { table, row }: Place, field: &Field) -> Option<Value> {
        let cell = self.tables[table as usize].column(field)?.get(row);
        value(&self.texts, cell)
    }

    /// What each of these runs is called; `None` = it is not there.
    pub fn labels(&self, ids: &[JobId]) -> Vec<Option<Labels>> {
        let labels = |id| self.places.get(id).map(|it| self.labels_at(*it));
        ids.iter().map(labels).collect()
    }

    fn labels_at(&self, Place { table, row }: Place) -> Labels {
        let table = &self.tables[table as usize];
        let text = |id: TextId| self.texts.text(id).to_owned();
        let tag = |key: &str, column: &Column| match column.get(row) {
            Cell::Text(value) => Some((key.to_owned(), text(value))),
            _ => None,
        };
        let name = table.rows[row as usize].name.map(text);
        let tags = table.tags.iter().filter_map(|(key, column)| tag(key, column));
        Labels { name, tags: tags.collect() }
    }

    /// Parameters first.
    fn columns_of(&self, places: &[Option<Place>]) -> Vec<Field> {
        let (mut params, mut metrics) = (BTreeSet::new(), BTreeSet::new());
        for (at, table) in (0u32..).zip(&self.tables) {
            let rows = places.iter().flatten().filter(|it| it.table == at).map(|it| it.row);
            let rows: Vec<u32> = rows.collect();
            if !rows.is_empty() {
                params.extend(keys_of(table.params.iter(), &rows));
                metrics.extend(keys_of(last_values(table), &rows));
            }
        }
        let params = params.into_iter().map(|it| Field::Param(it.to_owned()));
        let metrics = metrics.into_iter().map(|it| Field::Metric(it.to_owned(), Stat::Last));
        params.chain(metrics).take(MOST).collect()
    }
}

fn last_values(table: &Table) -> impl Iterator<Item = (&Box<str>, &Column)> {
    table.metrics.iter().map(|(key, it)| (key, it.column(Stat::Last)))
}

fn keys_of<'a>(
    columns: impl Iterator<Item = (&'a Box<str>, &'a Column)>,
    rows: &[u32],
) -> impl Iterator<Item = &'a str> {
    let has_one = |column: &Column| rows.iter().any(|it| !matches!(column.get(*it), Cell::Missing));
    columns.filter(move |(_, column)| has_one(column)).map(|(key, _)| &**key)
}

pub(super) fn value(texts: &Texts, cell: Cell) -> Option<Value> {
    let text = |id: TextId| texts.text(id).to_owned();
    let scalar = match cell {
        Cell::Missing => return None,
        Cell::Null => return Some(Value::Null),
        // A long one was cut and is no JSON any more.
        Cell::Json(id) => match serde_json::from_str(texts.text(id)) {
            Ok(value) => return Some(value),
            Err(_) => Scalar::Text(text(id)),
        },
        Cell::Bool(it) => Scalar::Bool(it),
        Cell::Number(it) => number(it),
        Cell::Big(id) => serde_json::from_str(texts.text(id))
            .map_or_else(|_| Scalar::BigInt(text(id)), Scalar::Int),
        Cell::Text(id) => Scalar::Text(text(id)),
    };
    Some(scalar.into())
}

/// Whole numbers look like what they are.
pub(super) fn number(float: f64) -> Scalar {
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and small")]
    if float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0 {
        Scalar::Int(float as i64)
    } else {
        Scalar::Float(float)
    }
}
