//! Whether a run that comes whole, from another cluster, is one that could have been told here.

use super::fold::{Over, check_key, check_text, size};
use super::limits;
use super::{Artifact, Extreme, Run, Scalar, Spool, Summary, stays_below};
use crate::id::Attempt;

/// What is wrong with a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Unfit {
    pub field: String,
    pub why: &'static str,
}

impl From<(String, &'static str)> for Unfit {
    fn from((field, why): (String, &'static str)) -> Self {
        Self { field, why }
    }
}

impl Run {
    /// The same limits as for what is told here; `attempts` = as many had the job.
    pub fn check(&self, attempts: Attempt) -> Result<(), Unfit> {
        if let Some(name) = &self.name {
            fits("name", check_text(name))?;
        }
        for (key, value) in &self.tags {
            fits(format!("tags.{key}"), check_key(key).and_then(|()| check_text(value)))?;
        }
        self.untagged.iter().try_for_each(|it| fits(format!("untagged.{it}"), check_key(it)))?;
        for (key, value) in &self.params {
            fits(format!("params.{key}"), check_key(key))?;
            bounded(format!("params.{key}"), size(value), limits::PARAM)?;
        }
        for (key, summary) in &self.metrics {
            fits(format!("metrics.{key}"), check_key(key))?;
            summary.check().map_err(|why| (format!("metrics.{key}"), why))?;
        }
        for (key, versions) in &self.artifacts {
            fits(format!("artifacts.{key}"), check_key(key))?;
            if !versions.iter().all(Artifact::stays_below) {
                return Err((format!("artifacts.{key}"), "leads out of its folder").into());
            }
        }
        self.synced.keys().try_for_each(|it| fits(format!("synced.{it}"), check_key(it)))?;
        for (attempt, spool) in &self.attempts {
            if attempt.0 == 0 || *attempt > attempts {
                return Err((format!("attempts.{attempt}"), "the job had no such attempt").into());
            }
            spool.check().map_err(|why| (format!("attempts.{attempt}"), why))?;
        }
        self.check_numbers()
    }

    fn check_numbers(&self) -> Result<(), Unfit> {
        let versions = self.artifacts.values().map(Vec::len).sum();
        for (field, number, most) in [
            ("tags", self.tags.len(), limits::TAGS),
            ("untagged", self.untagged.len(), limits::TAGS),
            ("params", self.params.len(), limits::PARAMS),
            ("metrics", self.metrics.len(), limits::METRICS),
            ("artifacts", versions, limits::ARTIFACTS),
            ("synced", self.synced.len(), limits::SYNCED),
            ("left.why", self.left.why.len(), limits::LEFT),
            ("facts", self.facts.as_ref().map_or(0, size), limits::FACTS),
        ] {
            bounded(field, number, most)?;
        }
        for (key, why) in &self.left.why {
            bounded("left.why", key.len().max(why.len()), limits::KEY)?;
        }
        if self.weight > limits::WEIGHT {
            return Err(("weight".to_owned(), "holds too much beside its points").into());
        }
        Ok(())
    }
}

impl Artifact {
    fn stays_below(&self) -> bool {
        stays_below(&self.path)
    }
}

impl Spool {
    fn check(&self) -> Result<(), &'static str> {
        if !self.segments.is_empty() {
            return Err("its points are in segments, which no other cluster has");
        }
        let most = |ranks: &std::collections::BTreeMap<u32, u64>| {
            ranks.values().all(|it| *it <= limits::POINTS)
        };
        let fits = self.points.iter().all(|(key, ranks)| check_key(key).is_ok() && most(ranks));
        if fits { Ok(()) } else { Err("has a metric of no name, or of too many points") }
    }
}

impl Summary {
    fn check(&self) -> Result<(), &'static str> {
        let extremes = self.min.iter().chain(&self.max).map(|Extreme { value, step: _ }| value);
        extremes.chain([&self.last]).try_for_each(Scalar::check)
    }
}

impl Scalar {
    /// Whether it could have been logged.
    pub fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Text(text) if text.len() > limits::METRIC_TEXT => Err("a text is too long"),
            Self::BigInt(digits) if Self::integer(digits).as_ref() != Some(self) => {
                Err("an integer is none")
            }
            _ => Ok(()),
        }
    }
}

fn fits(field: impl Into<String>, checked: Result<(), Over>) -> Result<(), Unfit> {
    checked.map_err(|Over(why)| (field.into(), why).into())
}

fn bounded(field: impl Into<String>, number: usize, most: usize) -> Result<(), Unfit> {
    if number <= most { Ok(()) } else { Err((field.into(), "holds more than a run may").into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[&str]) -> Run {
        let mut run = Run::default();
        for line in lines {
            let entry = serde_json::from_str(line).unwrap();
            run.take(Attempt(1), crate::time::Timestamp(9), entry);
        }
        run
    }

    #[test]
    fn what_was_told_somewhere_may_be_brought_and_what_never_could_may_not() {
        let run = told(&[
            r#"{"e":"metric","key":"loss","value":{"$float":"nan"}}"#,
            r#"{"e":"metric","key":"seed","value":{"$int":"123456789012345678901234567890"}}"#,
            r#"{"e":"param","key":"lr","value":[1,{"a":null}]}"#,
            r#"{"e":"tag","key":"best","value":""}"#,
            r#"{"e":"artifact","key":"model","path":"model/m.pt","bytes":7}"#,
        ]);
        assert_eq!(run.check(Attempt(1)), Ok(()));
        let wrong = |field: &str, change: &dyn Fn(&mut Run)| {
            let mut run = run.clone();
            change(&mut run);
            let unfit = run.check(Attempt(1)).unwrap_err();
            assert!(unfit.field.starts_with(field), "{unfit}");
        };
        wrong("name", &|it| it.name = Some("x".repeat(limits::TAG + 1)));
        wrong("tags.", &|it| drop(it.tags.insert("a\nb".into(), String::new())));
        wrong("untagged.", &|it| assert!(it.untagged.insert(String::new())));
        wrong("params.lr", &|it| {
            let long = Scalar::Text("x".repeat(limits::PARAM)).into();
            it.params.insert("lr".into(), long);
        });
        wrong("metrics.seed", &|it| {
            it.metrics.get_mut("seed").unwrap().last = Scalar::BigInt("12; rm".into());
        });
        wrong("artifacts.model", &|it| {
            it.artifacts.get_mut("model").unwrap()[0].path = "../../other".into();
        });
        wrong("attempts.2", &|it| drop(it.attempts.insert(Attempt(2), Spool::default())));
        wrong("attempts.1", &|it| {
            let segment = super::super::Segment { epoch: crate::id::Epoch(1), bytes: 1 };
            it.attempts.get_mut(&Attempt(1)).unwrap().segments.push(segment);
        });
        wrong("weight", &|it| it.weight = u64::MAX);
        wrong("facts", &|it| {
            it.facts = Some(Scalar::Text("x".repeat(limits::FACTS)).into());
        });
    }
}
