//! What a job is called: its name and tags as they were submitted, told, and changed by people afterwards. Whoever spoke last is right.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Run;
use super::fold::{Over, check_key, check_text};
use super::limits;
use crate::spec::JobSpec;

/// As it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    pub name: Option<String>,
    pub tags: BTreeMap<String, String>,
}

/// What people change of it afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relabel {
    pub name: Option<String>,
    /// `None` takes the tag away.
    pub tags: BTreeMap<String, Option<String>>,
}

/// A change that is not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Unlabelled {
    pub field: String,
    pub why: &'static str,
}

impl Labels {
    pub fn of(spec: &JobSpec, run: Option<&Run>) -> Self {
        let mut labels = Self { name: spec.name.clone(), tags: spec.tags.clone() };
        if let Some(Run { name, tags, untagged, .. }) = run {
            labels.name = name.clone().or(labels.name);
            labels.tags.retain(|key, _| !untagged.contains(key));
            labels.tags.extend(tags.clone());
        }
        labels
    }

    /// The job as it is called.
    pub fn put_on(self, spec: Arc<JobSpec>) -> Arc<JobSpec> {
        let Self { name, tags } = self;
        if (&name, &tags) == (&spec.name, &spec.tags) {
            return spec;
        }
        Arc::new(JobSpec { name, tags, ..Arc::unwrap_or_clone(spec) })
    }
}

impl Run {
    /// All of it, or nothing.
    pub fn relabel(&mut self, change: &Relabel) -> Result<(), Unlabelled> {
        let mut changed = self.clone();
        if let Some(name) = &change.name {
            let refused = |why| Unlabelled { field: "name".into(), why };
            if name.trim().is_empty() {
                return Err(refused("is empty"));
            }
            check_line(name).map_err(refused)?;
            changed.name = Some(name.clone());
        }
        for (key, value) in &change.tags {
            let refused = |why| Unlabelled { field: format!("tags.{key}"), why };
            check_key(key).map_err(|Over(why)| refused(why))?;
            match value {
                Some(value) => {
                    check_line(value).map_err(refused)?;
                    changed.untagged.remove(key);
                    changed.tags.insert(key.clone(), value.clone());
                }
                None => {
                    changed.tags.remove(key);
                    changed.untagged.insert(key.clone());
                }
            }
            if changed.tags.len() > limits::TAGS {
                return Err(refused("the run has too many tags"));
            }
            if changed.untagged.len() > limits::TAGS {
                return Err(refused("too many tags were taken away"));
            }
        }
        *self = changed;
        Ok(())
    }
}

fn check_line(text: &str) -> Result<(), &'static str> {
    check_text(text).map_err(|Over(why)| why)?;
    if text.chars().any(char::is_control) {
        return Err("holds a line break or control character");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Attempt;
    use crate::time::Timestamp;

    fn change(name: Option<&str>, tags: &[(&str, Option<&str>)]) -> Relabel {
        let tag = |(key, value): &(&str, Option<&str>)| ((*key).into(), value.map(str::to_owned));
        Relabel { name: name.map(str::to_owned), tags: tags.iter().map(tag).collect() }
    }

    fn tell(run: &mut Run, line: &str) {
        run.take(Attempt(1), Timestamp(9), serde_json::from_str(line).unwrap());
    }

    #[test]
    fn whoever_spoke_last_is_right() {
        let mut run = Run::default();
        tell(&mut run, r#"{"e":"tag","key":"best","value":"no"}"#);
        tell(&mut run, r#"{"e":"name","value":"its own"}"#);
        let by_people =
            change(Some("theirs"), &[("best", None), ("new", Some("")), ("given", None)]);
        run.relabel(&by_people).unwrap();
        assert_eq!(run.name.as_deref(), Some("theirs"));
        assert_eq!(run.tags, [("new".to_owned(), String::new())].into());
        assert!(run.untagged.contains("best") && run.untagged.contains("given"));
        tell(&mut run, r#"{"e":"tag","key":"best","value":"yes"}"#);
        assert_eq!(run.tags["best"], "yes");
        assert!(!run.untagged.contains("best"));
        run.relabel(&change(None, &[("given", Some("back"))])).unwrap();
        assert!(run.untagged.is_empty());
        assert_eq!(run.name.as_deref(), Some("theirs"));
    }

    #[test]
    fn what_is_refused_changes_nothing() {
        let mut run = Run::default();
        let long = "x".repeat(limits::TAG + 1);
        for (wrong, field) in [
            (change(Some("fine"), &[("", Some("x"))]), "tags."),
            (change(Some("fine"), &[("a", Some(&long))]), "tags.a"),
            (change(Some("fine"), &[("a", Some("two\nlines"))]), "tags.a"),
            (change(Some(" "), &[("a", Some("fine"))]), "name"),
            (change(Some(&long), &[("a", None)]), "name"),
        ] {
            assert_eq!(run.relabel(&wrong).unwrap_err().field, field);
            assert_eq!(run, Run::default());
        }
        let many: Vec<String> = (0..=limits::TAGS).map(|it| it.to_string()).collect();
        let tagged: Vec<_> = many.iter().map(|it| (it.as_str(), Some(""))).collect();
        let untagged: Vec<_> = many.iter().map(|it| (it.as_str(), None)).collect();
        assert!(run.relabel(&change(None, &tagged)).is_err());
        assert!(run.relabel(&change(None, &untagged)).is_err());
        run.relabel(&change(None, &tagged[1..])).unwrap();
    }
}
