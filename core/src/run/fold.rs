//! How events become a run. Given the same events in the same order, the same run, whoever reads them and in whatever portions.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::limits;
use super::{Artifact, Entry, Event, Extreme, Left, Run, Scalar, Spool, Summary, Synced, Value};
use crate::id::Attempt;
use crate::time::Timestamp;

/// A point of a metric, for the segment of its attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point<'a> {
    pub key: Cow<'a, str>,
    pub rank: u32,
    pub step: u64,
    pub at: Timestamp,
    pub value: Scalar,
}

/// An event beyond a limit.
pub(super) struct Over(pub &'static str);

impl Run {
    /// Takes in an event of this attempt. `now` is when it happened if it does not say so itself.
    ///
    /// What comes of an attempt after a later one has said anything changes nothing that the later one did: its points are kept
    /// as its own, and of its other events those that are new.
    pub fn take<'a>(
        &mut self,
        attempt: Attempt,
        now: Timestamp,
        entry: Entry<'a>,
    ) -> Option<Point<'a>> {
        let Entry { at, event } = entry;
        let at = at.unwrap_or(now);
        let is_late = self.attempt().is_some_and(|it| it > attempt);
        self.attempts.entry(attempt).or_default();
        let (key, taken) = match event {
            Event::Metric { key, value, step, rank } => {
                match self.metric(attempt, is_late, &key, rank, step, value) {
                    Ok((step, value)) => return Some(Point { key, rank, step, at, value }),
                    Err(over) => (Some(key), Err(over)),
                }
            }
            Event::Param { key, value } => {
                let taken = self.param(is_late, &key, value);
                (Some(key), taken)
            }
            Event::Tag { key, value } => {
                let taken = self.tag(is_late, &key, value);
                (Some(key), taken)
            }
            Event::Artifact { key, path, bytes, folder } => {
                let artifact = Artifact { path, bytes, folder, at, attempt };
                let taken = self.artifact(&key, artifact);
                (Some(key), taken)
            }
            Event::Synced { key, files, bytes } => {
                let taken = self.folder(is_late, &key, Synced { files, bytes, at, attempt });
                (Some(key), taken)
            }
            Event::Name(name) => (None, self.rename(is_late, name)),
            Event::Facts(facts) => (None, self.know(is_late, facts)),
            Event::Dropped { key, why, count } => {
                self.left.over(Some(&key), &why, count);
                (None, Ok(()))
            }
            Event::Project(_) => (None, Ok(())),
        };
        if let Err(Over(why)) = taken {
            self.left.over(key.as_deref(), why, 1);
        }
        None
    }

    /// Gives the point its step.
    fn metric(
        &mut self,
        attempt: Attempt,
        is_late: bool,
        key: &str,
        rank: u32,
        step: Option<u64>,
        mut value: Scalar,
    ) -> Result<(u64, Scalar), Over> {
        check_key(key)?;
        if let Scalar::Text(text) = &mut value {
            cut(text, limits::METRIC_TEXT);
        }
        let spool = self.attempts.entry(attempt).or_default();
        let step = match spool.count(key, rank, step)? {
            Some(step) => step,
            None => {
                self.first_point(attempt, key, rank)?;
                step.unwrap_or(0)
            }
        };
        if is_late {
            return Ok((step, value));
        }
        match self.metrics.get_mut(key) {
            Some(summary) => summary.add(rank, step, &value),
            None => drop(self.metrics.insert(key.to_owned(), Summary::of(rank, step, &value))),
        }
        Ok((step, value))
    }

    /// Of a metric and rank in this attempt.
    fn first_point(&mut self, attempt: Attempt, key: &str, rank: u32) -> Result<(), Over> {
        let is_new = !self.metrics.contains_key(key);
        if is_new && self.metrics.len() >= limits::METRICS {
            return Err(Over("the run has too many metrics"));
        }
        self.weigh(key.len() + limits::SERIES_WEIGHT)?;
        let spool = self.attempts.entry(attempt).or_default();
        spool.points.entry(key.to_owned()).or_default().insert(rank, 1);
        Ok(())
    }

    /// Counts what is about to be added.
    fn weigh(&mut self, bytes: usize) -> Result<(), Over> {
        let bytes = self.weight + bytes as u64;
        if bytes > limits::WEIGHT {
            return Err(Over("the run holds too much beside its points"));
        }
        self.weight = bytes;
        Ok(())
    }

    fn param(&mut self, is_late: bool, key: &str, value: Value) -> Result<(), Over> {
        check_key(key)?;
        let bytes = size(&value);
        if bytes > limits::PARAM {
            return Err(Over("a parameter's value is too long"));
        }
        match self.params.get(key).map(size) {
            Some(_) if is_late => return Ok(()),
            Some(before) => {
                self.weigh(bytes)?;
                self.weight -= before as u64;
            }
            None if self.params.len() >= limits::PARAMS => {
                return Err(Over("the run has too many parameters"));
            }
            None => self.weigh(key.len() + bytes)?,
        }
        self.params.insert(key.to_owned(), value);
        Ok(())
    }

    fn tag(&mut self, is_late: bool, key: &str, value: String) -> Result<(), Over> {
        check_key(key)?;
        check_text(&value)?;
        match self.tags.contains_key(key) {
            true if is_late => return Ok(()),
            // People took it away, which this attempt did not know.
            false if is_late && self.untagged.contains(key) => return Ok(()),
            false if self.tags.len() >= limits::TAGS => {
                return Err(Over("the run has too many tags"));
            }
            _ => {}
        }
        self.untagged.remove(key);
        self.tags.insert(key.to_owned(), value);
        Ok(())
    }

    fn rename(&mut self, is_late: bool, name: String) -> Result<(), Over> {
        check_text(&name)?;
        if !is_late || self.name.is_none() {
            self.name = Some(name);
        }
        Ok(())
    }

    /// What the node says and what the process says stand beside each other; of each name the last counts.
    fn know(&mut self, is_late: bool, facts: Value) -> Result<(), Over> {
        let known = match (self.facts.clone(), facts) {
            (Some(Value::Map(mut known)), Value::Map(new)) => {
                for (name, value) in new {
                    if !is_late || !known.contains_key(&name) {
                        known.insert(name, value);
                    }
                }
                Value::Map(known)
            }
            (Some(known), _) if is_late => known,
            (_, new) => new,
        };
        if size(&known) > limits::FACTS {
            return Err(Over("the facts of the process are too long"));
        }
        self.facts = Some(known);
        Ok(())
    }

    fn folder(&mut self, is_late: bool, key: &str, synced: Synced) -> Result<(), Over> {
        check_key(key)?;
        match self.synced.contains_key(key) {
            true if is_late => return Ok(()),
            true => {}
            false if self.synced.len() >= limits::SYNCED => {
                return Err(Over("the run has too many folders"));
            }
            false => self.weigh(key.len() + limits::SERIES_WEIGHT)?,
        }
        self.synced.insert(key.to_owned(), synced);
        Ok(())
    }

    /// A version more, behind those of its attempt and of earlier ones.
    fn artifact(&mut self, key: &str, artifact: Artifact) -> Result<(), Over> {
        check_key(key)?;
        if self.artifacts.values().map(Vec::len).sum::<usize>() >= limits::ARTIFACTS {
            return Err(Over("the run has too many artifacts"));
        }
        self.weigh(key.len() + artifact.path.len() + limits::SERIES_WEIGHT)?;
        let versions = self.artifacts.entry(key.to_owned()).or_default();
        let at = versions.partition_point(|it| it.attempt <= artifact.attempt);
        versions.insert(at, artifact);
        Ok(())
    }
}

impl Spool {
    /// The step of one more point; `None` = the first of its metric and rank.
    fn count(&mut self, key: &str, rank: u32, step: Option<u64>) -> Result<Option<u64>, Over> {
        let Some(points) = self.points.get_mut(key).and_then(|it| it.get_mut(&rank)) else {
            return Ok(None);
        };
        if *points >= limits::POINTS {
            return Err(Over("the metric has too many points"));
        }
        *points += 1;
        Ok(Some(step.unwrap_or(*points - 1)))
    }
}

impl Summary {
    fn of(rank: u32, step: u64, value: &Scalar) -> Self {
        let extreme = || is_ordered(value).then(|| Extreme { value: value.clone(), step });
        let last = value.clone();
        Self { last, last_step: step, count: 1, min: extreme(), max: extreme(), rank }
    }

    fn add(&mut self, rank: u32, step: u64, value: &Scalar) {
        match rank.cmp(&self.rank) {
            Ordering::Greater => return,
            Ordering::Less => {
                *self = Self::of(rank, step, value);
                return;
            }
            Ordering::Equal => {}
        }
        self.count += 1;
        if step >= self.last_step {
            self.last_step = step;
            self.last.clone_from(value);
        }
        if is_ordered(value) {
            widen(&mut self.min, value, step, Ordering::Less);
            widen(&mut self.max, value, step, Ordering::Greater);
        }
    }
}

fn widen(extreme: &mut Option<Extreme>, value: &Scalar, step: u64, beyond: Ordering) {
    let is_beyond = match extreme {
        Some(before) => value.compare(&before.value) == Some(beyond),
        None => true,
    };
    if is_beyond {
        *extreme = Some(Extreme { value: value.clone(), step });
    }
}

/// A number that is less or greater than others.
fn is_ordered(value: &Scalar) -> bool {
    value.number().is_some_and(|it| !it.is_nan())
}

impl Left {
    /// Counts events of this key that were left out.
    pub fn over(&mut self, key: Option<&str>, why: &str, count: u64) {
        self.over_limit = self.over_limit.saturating_add(count);
        let mut key: String =
            key.unwrap_or_default().chars().filter(|it| !it.is_control()).collect();
        cut(&mut key, limits::KEY);
        if self.why.contains_key(&key) || self.why.len() < limits::LEFT {
            let mut why = why.to_owned();
            cut(&mut why, limits::KEY);
            self.why.insert(key, why);
        }
    }
}

pub(super) fn check_key(key: &str) -> Result<(), Over> {
    if key.is_empty() || key.len() > limits::KEY {
        return Err(Over("a key is empty or too long"));
    }
    if key.chars().any(char::is_control) {
        return Err(Over("a key has control characters"));
    }
    Ok(())
}

pub(super) fn check_text(text: &str) -> Result<(), Over> {
    if text.len() > limits::TAG { Err(Over("a text is too long")) } else { Ok(()) }
}

/// Never in the middle of a character.
fn cut(text: &mut String, most: usize) {
    text.truncate(text.floor_char_boundary(most));
}

/// Bytes of JSON, or a few more or less: what a limit is about.
pub(super) fn size(value: &Value) -> usize {
    match value {
        Value::Null => 4,
        Value::Scalar(Scalar::Text(text) | Scalar::BigInt(text)) => text.len() + 2,
        Value::Scalar(_) => 8,
        Value::List(items) => items.iter().map(|it| size(it) + 1).sum::<usize>() + 2,
        Value::Map(items) => {
            let pairs = items.iter().map(|(key, it)| key.len() + size(it) + 4);
            pairs.sum::<usize>() + 2
        }
    }
}
