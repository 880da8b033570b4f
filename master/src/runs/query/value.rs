//! What a field is compared with.

use atlas_core::outcome::Cause;
use atlas_core::{Phase, Status};
use atlas_runtime::config::{Duration, nearest};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::field::{Field, Kind};
use crate::runs::number::Number;

/// What becomes of what a job wrote.
pub const KEPT: &str = "kept";
pub const REMOVED: &str = "removed";

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Is only ever text.
    Text(String),
    /// Without quotes, and it [reads](Read::of) as something: equal to that, and to the text itself.
    Bare(String),
    Time(Time),
    Duration(Duration),
}

/// What a word without quotes says beside its letters.
#[derive(Clone, Debug, PartialEq)]
pub enum Read {
    Null,
    Bool(bool),
    Number(Number),
}

/// A time as it was written: a day is all of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Time {
    /// Milliseconds since 1970; `to` is behind the last one.
    Within { written: String, from: i64, to: i64 },
    /// So long before now.
    Ago(Duration),
}

impl Value {
    /// What a word or a quoted text means to a field; else what would be.
    pub fn of(field: &Field, text: &str, quoted: bool) -> Result<Self, String> {
        match field.kind() {
            Kind::Text => Ok(Self::Text(text.to_owned())),
            Kind::Any if !quoted && Read::of(text).is_some() => Ok(Self::Bare(text.to_owned())),
            Kind::Any => Ok(Self::Text(text.to_owned())),
            Kind::Word => word(field, text),
            Kind::Number => number(field, text),
            Kind::Time => time(text).map(Self::Time).ok_or_else(|| {
                format!(
                    "{text:?} is no time; write 2026-11-20, 2026-11-20T10:00 (UTC), 2026-11-20T10:00:00+02:00 or -7d"
                )
            }),
            Kind::Duration => text.parse().map(Self::Duration).map_err(|_| {
                format!("{text:?} is no length of time; write it with its unit: 90s, 5m, 1h30m, 2d")
            }),
        }
    }
}

fn word(field: &Field, text: &str) -> Result<Value, String> {
    let known: Vec<&str> = match field {
        Field::Status => Status::ALL.map(Status::word).into(),
        Field::Phase => Phase::ALL.map(Phase::word).into(),
        Field::Outputs => vec![KEPT, REMOVED],
        _ => Cause::WORDS.into(),
    };
    let lower = text.to_ascii_lowercase();
    if known.contains(&lower.as_str()) {
        return Ok(Value::Text(lower));
    }
    let hint = nearest(text, known.iter().copied());
    let hint = hint.map(|it| format!("; did you mean {it}?")).unwrap_or_default();
    Err(format!("{} is never {text:?}, only {}{hint}", field.word(), known.join(", ")))
}

fn number(field: &Field, text: &str) -> Result<Value, String> {
    let number = Number::parse(text).filter(|it| it.float().is_finite());
    let wrong = || format!("{} is a number, and {text:?} is none", field.word());
    number.map(|_| Value::Bare(text.to_owned())).ok_or_else(wrong)
}

impl Read {
    pub fn of(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "null" | "none" => Some(Self::Null),
            "true" => Some(Self::Bool(true)),
            "false" => Some(Self::Bool(false)),
            _ => Number::parse(text).map(Self::Number),
        }
    }
}

fn time(text: &str) -> Option<Time> {
    if let Some(ago) = text.strip_prefix('-') {
        return ago.parse().ok().map(Time::Ago);
    }
    // Without a zone it is UTC: the master does not know whose clock on the wall was meant.
    let begin = text.parse::<Timestamp>().or_else(|_| {
        text.parse::<DateTime>().and_then(|it| it.to_zoned(TimeZone::UTC)).map(|it| it.timestamp())
    });
    let begin = begin.ok()?;
    let end = begin.checked_add(SignedDuration::from_millis(written_to_the(text))).ok()?;
    let (from, to) = (begin.as_millisecond(), end.as_millisecond());
    Some(Time::Within { written: text.to_owned(), from, to })
}

/// Milliseconds that the last digit stands for: those of a day, an hour, a minute, a second, or one.
fn written_to_the(text: &str) -> i64 {
    let Some((_, clock)) = text.split_once(['T', 't', ' ']) else { return 86_400_000 };
    let clock = clock.split(['Z', 'z', '+', '-', '[']).next().unwrap_or(clock);
    match (clock.contains('.'), clock.matches(':').count()) {
        (true, _) => 1,
        (false, 0) => 3_600_000,
        (false, 1) => 60_000,
        (false, _) => 1000,
    }
}
