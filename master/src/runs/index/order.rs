//! Which of the rows found come first. Numbers come before text in both directions, then what is neither, and last who has no value.

use std::borrow::Cow;
use std::cmp::{Ordering, Reverse};

use atlas_core::Position;

use super::cells::Cell;
use super::cursor::{Cursor, Mark};
use super::filter::Looker;
use super::table::Table;
use super::texts::Texts;
use super::view::getter;
use crate::runs::number::Number;
use crate::runs::query::{Field, Key};

/// Bytes of a text that its place depends on: a cursor carries them.
const DECIDING: usize = 256;

/// The order that a query asks for, over the tables that it looks at.
pub struct Order<'a> {
    tables: &'a [&'a Table],
    keys: Vec<OrderKey<'a>>,
    texts: &'a Texts,
}

struct OrderKey<'a> {
    falling: bool,
    is_id: bool,
    /// One for each table.
    cells: Vec<Box<dyn Fn(u32) -> Cell + 'a>>,
}

/// A row that was found; what most comparisons need of it lies close together.
#[derive(Clone, Copy)]
pub struct Candidate {
    class: Class,
    rank: u64,
    table: u32,
    row: u32,
}

/// What can be compared with each other; the classes come in this order whatever the direction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Bool,
    Number,
    Text,
    Json,
    /// `null` and NaN.
    Nothing,
    Missing,
}

/// A value to sort by.
pub enum View<'a> {
    Bool(bool),
    Number(f64),
    Big(Cow<'a, str>),
    Text(Cow<'a, str>),
    Json(Cow<'a, str>),
    Nothing,
    Missing,
}

impl<'a> Order<'a> {
    pub fn new(sort: &[Key], tables: &'a [&'a Table], with: Looker<'a>) -> Self {
        let key = |Key { field, falling }: &Key| OrderKey {
            falling: *falling,
            is_id: *field == Field::Id,
            cells: tables.iter().map(|table| getter(table, field, with)).collect(),
        };
        Self { tables, keys: sort.iter().map(key).collect(), texts: with.texts }
    }

    pub fn candidate(&self, table: u32, row: u32) -> Candidate {
        let (class, rank) = match self.keys.first() {
            Some(key) => {
                let view = self.view(key, table, row);
                let rank = view.rank();
                let class = view.class();
                (class, if key.falling { !rank } else { rank })
            }
            None => (Class::Number, !self.position(table, row).0),
        };
        Candidate { class, rank, table, row }
    }

    /// Total: no two runs stand at the same place.
    pub fn compare(&self, one: &Candidate, other: &Candidate) -> Ordering {
        let at_once = (one.class, one.rank).cmp(&(other.class, other.rank));
        at_once.then_with(|| {
            let views = self.keys.iter().map(|key| {
                let one = self.view(key, one.table, one.row);
                one.compare(&self.view(key, other.table, other.row), key.falling)
            });
            let by_keys = first_that_differs(views);
            by_keys.then_with(|| Reverse(self.place(one)).cmp(&Reverse(self.place(other))))
        })
    }

    /// Whether a row comes behind the last one of the page before.
    pub fn is_behind(&self, one: &Candidate, cursor: &Cursor) -> bool {
        let views = self.keys.iter().zip(&cursor.after).map(|(key, mark)| {
            self.view(key, one.table, one.row).compare(&mark.view(), key.falling)
        });
        let by_keys = first_that_differs(views);
        by_keys.then_with(|| Reverse(self.place(one)).cmp(&Reverse(cursor.position))).is_gt()
    }

    /// What is to be said of the last row of a page.
    pub fn marks(&self, last: &Candidate) -> (Vec<Mark>, Position) {
        let marks = self.keys.iter().map(|key| Mark::of(self.view(key, last.table, last.row)));
        (marks.collect(), self.place(last))
    }

    fn view(&self, key: &OrderKey<'a>, table: u32, row: u32) -> View<'a> {
        if key.is_id {
            let id = self.tables[table as usize].rows[row as usize].id;
            return View::Text(id.to_string().into());
        }
        let text = |id| Cow::Borrowed(deciding(self.texts.text(id)));
        match key.cells[table as usize](row) {
            Cell::Missing => View::Missing,
            Cell::Null => View::Nothing,
            Cell::Number(it) if it.is_nan() => View::Nothing,
            Cell::Number(it) => View::Number(it),
            Cell::Bool(it) => View::Bool(it),
            Cell::Big(id) => View::Big(self.texts.text(id).into()),
            Cell::Text(id) => View::Text(text(id)),
            Cell::Json(id) => View::Json(text(id)),
        }
    }

    fn position(&self, table: u32, row: u32) -> Position {
        self.tables[table as usize].rows[row as usize].position
    }

    fn place(&self, of: &Candidate) -> Position {
        self.position(of.table, of.row)
    }

    pub fn id(&self, of: &Candidate) -> atlas_core::JobId {
        self.tables[of.table as usize].rows[of.row as usize].id
    }
}

fn first_that_differs(orders: impl Iterator<Item = Ordering>) -> Ordering {
    orders.into_iter().find(|it| it.is_ne()).unwrap_or(Ordering::Equal)
}

fn deciding(text: &str) -> &str {
    &text[..text.floor_char_boundary(DECIDING)]
}

impl View<'_> {
    fn class(&self) -> Class {
        match self {
            Self::Bool(_) => Class::Bool,
            Self::Number(_) | Self::Big(_) => Class::Number,
            Self::Text(_) => Class::Text,
            Self::Json(_) => Class::Json,
            Self::Nothing => Class::Nothing,
            Self::Missing => Class::Missing,
        }
    }

    /// Rises with the value, or stays.
    fn rank(&self) -> u64 {
        match self {
            Self::Bool(it) => u64::from(*it),
            Self::Number(it) => rising_bits(*it),
            Self::Big(digits) => rising_bits(Number::Big(digits.to_string()).float()),
            Self::Text(text) | Self::Json(text) => {
                let mut first = [0; 8];
                let length = text.len().min(8);
                first[..length].copy_from_slice(&text.as_bytes()[..length]);
                u64::from_be_bytes(first)
            }
            Self::Nothing | Self::Missing => 0,
        }
    }

    fn compare(&self, other: &View<'_>, falling: bool) -> Ordering {
        let order = match (self, other) {
            (Self::Bool(one), View::Bool(other)) => one.cmp(other),
            (Self::Text(one), View::Text(other)) | (Self::Json(one), View::Json(other)) => {
                one.cmp(other)
            }
            (Self::Number(one), View::Number(other)) => {
                one.partial_cmp(other).unwrap_or(Ordering::Equal)
            }
            (one, other) => match (one.number(), other.number()) {
                (Some(one), Some(other)) => one.compare(&other).unwrap_or(Ordering::Equal),
                _ => return one.class().cmp(&other.class()),
            },
        };
        if falling { order.reverse() } else { order }
    }

    fn number(&self) -> Option<Number> {
        match self {
            Self::Number(it) => Some(Number::Float(*it)),
            Self::Big(digits) => Some(Number::Big(digits.to_string())),
            _ => None,
        }
    }
}

/// A float's bits, turned so that they rise as it does. Both zeros are one.
fn rising_bits(float: f64) -> u64 {
    let bits = (float + 0.0).to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}
