//! Events as their writers put them: what `event.rs` reads, field by field in the order of the contract.

use serde::{Serialize, Serializer};

use super::{Entry, Event, Scalar, Value};

/// Every field that an event may have; those that it has not are left out.
#[derive(Default, Serialize)]
struct Fields<'a> {
    e: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Written<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rank: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<u64>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Written<'a> {
    Scalar(&'a Scalar),
    Value(&'a Value),
    Text(&'a str),
}

impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Fields { at: self.at.map(|it| it.0), ..Fields::of(&self.event) }.serialize(to)
    }
}

impl<'a> Fields<'a> {
    fn of(event: &'a Event<'_>) -> Self {
        let named = |e, key| Self { e, key: Some(key), ..Self::default() };
        let text = |e, text| Self { e, value: Some(Written::Text(text)), ..Self::default() };
        match event {
            Event::Metric { key, value, step, rank } => Self {
                value: Some(Written::Scalar(value)),
                step: *step,
                rank: (*rank > 0).then_some(*rank),
                ..named("metric", key)
            },
            Event::Param { key, value } => {
                Self { value: Some(Written::Value(value)), ..named("param", key) }
            }
            Event::Tag { key, value } => {
                Self { value: Some(Written::Text(value)), ..named("tag", key) }
            }
            Event::Name(name) => text("name", name),
            Event::Project(project) => text("project", project),
            Event::Artifact { key, path, bytes, folder } => Self {
                path: Some(path),
                bytes: Some(*bytes),
                folder: Some(*folder),
                ..named("artifact", key)
            },
            Event::Synced { key, files, bytes } => {
                Self { files: Some(*files), bytes: Some(*bytes), ..named("synced", key) }
            }
            Event::Facts(facts) => {
                Self { e: "facts", value: Some(Written::Value(facts)), ..Self::default() }
            }
            Event::Dropped { key, why, count } => {
                Self { why: Some(why), count: Some(*count), ..named("dropped", key) }
            }
        }
    }
}
