//! Which rows a filter holds for: every condition is looked at for all rows of a column at once.

use std::cmp::Ordering;
use std::collections::HashSet;

use atlas_core::Timestamp;

use super::bits::Bits;
use super::cells::Cell;
use super::table::Table;
use super::texts::{TextId, Texts, looked_at};
use super::view::{Words, each};
use crate::runs::number::Number;
use crate::runs::query::{Expr, Field, Holds, Op, Read, Test, Time, Value};

/// What a filter is looked at with.
#[derive(Clone, Copy)]
pub struct Looker<'a> {
    pub texts: &'a Texts,
    pub words: &'a Words,
    pub now: Timestamp,
}

/// The rows of this table that the filter holds for.
pub fn rows(filter: &Expr, table: &Table, with: Looker<'_>) -> Bits {
    match filter {
        Expr::All(parts) => join(parts, table, with, Bits::and),
        Expr::Any(parts) => join(parts, table, with, Bits::or),
        Expr::Not(inner) => rows(inner, table, with).negated(),
        Expr::Test(test) => test_rows(test, table, with),
    }
}

fn join(parts: &[Expr], table: &Table, with: Looker<'_>, how: fn(Bits, &Bits) -> Bits) -> Bits {
    let mut parts = parts.iter().map(|it| rows(it, table, with));
    let first = parts.next().expect("two or more parts");
    parts.fold(first, |all, part| how(all, &part))
}

fn test_rows(test: &Test, table: &Table, with: Looker<'_>) -> Bits {
    let Test { field, holds } = test;
    let mut found = Bits::none(table.rows.len());
    if *field == Field::Id {
        for (at, row) in (0u32..).zip(&table.rows) {
            if id_holds(&row.id.to_string(), holds) {
                found.add(at);
            }
        }
        return found;
    }
    let mut matcher = Matcher::new(holds, with);
    each(table, field, with, |at, cell| {
        if matcher.holds(cell) {
            found.add(at);
        }
    });
    found
}

/// An id is equal to what it begins with, as everywhere else.
fn id_holds(id: &str, holds: &Holds) -> bool {
    let is = |value: &Value| matches!(value, Value::Text(text) if id.starts_with(text.as_str()));
    match holds {
        Holds::Exists => true,
        Holds::In(values) => values.iter().any(is),
        Holds::Is(Op::Equal, value) => is(value),
        Holds::Is(Op::Unequal, value) => !is(value),
        Holds::Is(op, Value::Text(text)) => text_holds(id, *op, text),
        Holds::Is(..) => false,
    }
}

fn text_holds(have: &str, op: Op, want: &str) -> bool {
    match op {
        Op::Contains => have.to_lowercase().contains(&want.to_lowercase()),
        op => order_holds(have.cmp(want), op),
    }
}

fn order_holds(order: Ordering, op: Op) -> bool {
    match op {
        Op::Equal => order.is_eq(),
        Op::Unequal => order.is_ne(),
        Op::Less => order.is_lt(),
        Op::AtMost => order.is_le(),
        Op::More => order.is_gt(),
        Op::AtLeast => order.is_ge(),
        Op::Contains => false,
    }
}

/// A condition, prepared for many cells.
struct Matcher<'a> {
    texts: &'a Texts,
    holds: Prepared<'a>,
}

enum Prepared<'a> {
    Exists,
    Is(Op, Operand<'a>),
    Contains {
        needle: String,
        known: Vec<Option<bool>>,
    },
    /// Any of the texts, or one of the others.
    In {
        texts: HashSet<TextId>,
        others: Vec<Operand<'a>>,
    },
}

/// What a cell is compared with.
enum Operand<'a> {
    Text {
        text: &'a str,
        id: Option<TextId>,
        reads: Option<Read>,
    },
    /// Milliseconds from the first up to the second, which is not in it.
    Span(f64, f64),
}

impl<'a> Matcher<'a> {
    fn new(holds: &'a Holds, with: Looker<'a>) -> Self {
        let texts = with.texts;
        let operand = |value: &'a Value| Operand::of(value, with);
        let holds = match holds {
            Holds::Exists => Prepared::Exists,
            Holds::Is(Op::Contains, value) => {
                let needle = match value {
                    Value::Text(text) | Value::Bare(text) => text.to_lowercase(),
                    Value::Time(_) | Value::Duration(_) => String::new(),
                };
                Prepared::Contains { needle, known: vec![None; texts.bound()] }
            }
            Holds::Is(op, value) => Prepared::Is(*op, operand(value)),
            Holds::In(values) => {
                let (mut ids, mut others) = (HashSet::new(), Vec::new());
                for value in values {
                    match operand(value) {
                        Operand::Text { id, reads: None, .. } => ids.extend(id),
                        other => others.push(other),
                    }
                }
                Prepared::In { texts: ids, others }
            }
        };
        Self { texts, holds }
    }

    fn holds(&mut self, cell: Cell) -> bool {
        match &mut self.holds {
            _ if matches!(cell, Cell::Missing) => false,
            Prepared::Exists => true,
            Prepared::Is(op, operand) => operand.holds(self.texts, *op, cell),
            Prepared::Contains { needle, known } => match cell {
                Cell::Text(id) | Cell::Json(id) => *known[id.index()].get_or_insert_with(|| {
                    self.texts.text(id).to_lowercase().contains(needle.as_str())
                }),
                _ => false,
            },
            Prepared::In { texts, others } => {
                matches!(cell, Cell::Text(id) | Cell::Json(id) if texts.contains(&id))
                    || others.iter().any(|it| it.holds(self.texts, Op::Equal, cell))
            }
        }
    }
}

impl<'a> Operand<'a> {
    fn of(value: &'a Value, with: Looker<'_>) -> Self {
        match value {
            Value::Text(text) => {
                Self::Text { text: looked_at(text), id: with.texts.find(text), reads: None }
            }
            Value::Bare(text) => Self::Text {
                text: looked_at(text),
                id: with.texts.find(text),
                reads: Read::of(text),
            },
            Value::Time(Time::Within { from, to, .. }) => Self::Span(float(*from), float(*to)),
            Value::Time(Time::Ago(ago)) => {
                let now = i64::try_from(with.now.0).unwrap_or(i64::MAX);
                let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
                let from = float(now.saturating_sub(ago));
                Self::Span(from, from + 1.0)
            }
            Value::Duration(it) => {
                let from = float(i64::try_from(it.as_millis()).unwrap_or(i64::MAX));
                Self::Span(from, from + 1.0)
            }
        }
    }

    fn holds(&self, texts: &Texts, op: Op, cell: Cell) -> bool {
        match (self, cell) {
            (Self::Span(from, to), Cell::Number(at)) => match op {
                Op::Equal => *from <= at && at < *to,
                Op::Unequal => at < *from || *to <= at,
                Op::Less => at < *from,
                Op::AtMost => at < *to,
                Op::More => *to <= at,
                Op::AtLeast => *from <= at,
                Op::Contains => false,
            },
            (Self::Span(..), _) => false,
            (Self::Text { reads: Some(Read::Number(want)), .. }, Cell::Number(have)) => {
                number_holds(have, op, want)
            }
            (Self::Text { reads: Some(Read::Number(want)), .. }, Cell::Big(digits)) => {
                let have = Number::Big(texts.text(digits).to_owned());
                have.compare(want).map_or(op == Op::Unequal, |it| order_holds(it, op))
            }
            (Self::Text { reads: Some(Read::Bool(want)), .. }, Cell::Bool(have)) => {
                order_holds(have.cmp(want), op)
            }
            (Self::Text { reads: Some(Read::Null), .. }, Cell::Null) => {
                order_holds(Ordering::Equal, op)
            }
            (Self::Text { id, .. }, Cell::Text(have) | Cell::Json(have)) if !op.orders() => {
                (*id == Some(have)) == (op == Op::Equal)
            }
            // An order is only between two texts, and not between a text and a number.
            (Self::Text { text, reads: None, .. }, Cell::Text(have)) => {
                order_holds(texts.text(have).cmp(text), op)
            }
            // NaN is not even unequal.
            (Self::Text { .. }, Cell::Number(have)) => op == Op::Unequal && !have.is_nan(),
            (Self::Text { .. }, _) => op == Op::Unequal,
        }
    }
}

/// NaN is equal to `nan`, and nothing else is anything to it.
fn number_holds(have: f64, op: Op, want: &Number) -> bool {
    if have.is_nan() {
        return op == Op::Equal && want.float().is_nan();
    }
    match want {
        Number::Float(want) if want.is_nan() => op == Op::Unequal,
        Number::Float(want) => match op {
            Op::Equal => have == *want,
            Op::Unequal => have != *want,
            Op::Less => have < *want,
            Op::AtMost => have <= *want,
            Op::More => have > *want,
            Op::AtLeast => have >= *want,
            Op::Contains => false,
        },
        Number::Big(_) => {
            Number::Float(have).compare(want).is_some_and(|order| order_holds(order, op))
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "no time that anybody means is that far away")]
fn float(ms: i64) -> f64 {
    ms as f64
}
