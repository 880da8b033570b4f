//! A query as a text that means the same.

use std::fmt;

use super::field::{Field, Kind, Stat};
use super::lexer::{is_plain, is_reserved};
use super::value::{Read, Time, Value};
use super::{Expr, Holds, Key, Op, Query, Test};

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(filter) = &self.filter {
            write!(f, "{filter}")?;
        }
        for (at, key) in self.sort.iter().enumerate() {
            let before = match (at, &self.filter) {
                (0, None) => "sort ",
                (0, Some(_)) => " sort ",
                _ => ", ",
            };
            write!(f, "{before}{key}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.falling { "-" } else { "" }, self.field)
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, between) = match self {
            Self::All(parts) => (parts, " and "),
            Self::Any(parts) => (parts, " or "),
            Self::Not(inner) => return write!(f, "not {}", Part(inner)),
            Self::Test(test) => return write!(f, "{test}"),
        };
        for (at, part) in parts.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { between })?;
            write!(f, "{}", Part(part))?;
        }
        Ok(())
    }
}

/// Within another: in parentheses if it has parts of its own.
struct Part<'a>(&'a Expr);

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Expr::All(_) | Expr::Any(_) => write!(f, "({})", self.0),
            Expr::Not(_) | Expr::Test(_) => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, holds } = self;
        match holds {
            Holds::Exists => write!(f, "{field} exists"),
            Holds::Is(op, value) => {
                write!(f, "{field}{}", op.sign())?;
                write_value(f, field, *op, value)
            }
            Holds::In(values) => {
                write!(f, "{field} in (")?;
                for (at, value) in values.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { ", " })?;
                    write_value(f, field, Op::Equal, value)?;
                }
                f.write_str(")")
            }
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, stat) = match self {
            Self::Tag(key) | Self::Param(key) => (key, Stat::Last),
            Self::Metric(key, stat) => (key, *stat),
            fixed => return f.write_str(fixed.word()),
        };
        write!(f, "{}.", self.word())?;
        // The end of a metric's key could be taken for what is asked of it.
        let ends_as_stat = key.rsplit_once('.').is_some_and(|it| Stat::of(it.1).is_some());
        let is_metric = matches!(self, Self::Metric(..));
        if is_plain(key) && !(is_metric && ends_as_stat) {
            f.write_str(key)?;
        } else {
            write_quoted(f, key)?;
        }
        if stat == Stat::Last { Ok(()) } else { write!(f, ".{}", stat.word()) }
    }
}

fn write_value(f: &mut fmt::Formatter<'_>, field: &Field, op: Op, value: &Value) -> fmt::Result {
    match value {
        Value::Text(text) => {
            let reads = field.kind() == Kind::Any && op != Op::Contains && Read::of(text).is_some();
            let is_word = is_reserved(text);
            if is_plain(text) && !reads && !is_word {
                f.write_str(text)
            } else {
                write_quoted(f, text)
            }
        }
        Value::Bare(text) => f.write_str(text),
        Value::Time(Time::Within { written, .. }) if is_plain(written) => f.write_str(written),
        Value::Time(Time::Within { written, .. }) => write_quoted(f, written),
        Value::Time(Time::Ago(ago)) => write!(f, "-{ago}"),
        Value::Duration(duration) => write!(f, "{duration}"),
    }
}

fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    f.write_str("\"")
}
