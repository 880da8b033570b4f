//! One line of a spool as its writer means it. `docs/using/spool-format.md` is the contract.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de};

use super::limits;
use super::value::{Scalar, Value};
use crate::time::Timestamp;

/// The latest version of the lines that is understood here.
const VERSION: u32 = 1;
/// The end of the year 9999.
const LATEST: u64 = 253_402_300_799_999;

/// An event and when it happened; `None` = its writer did not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub at: Option<Timestamp>,
    pub event: Event<'a>,
}

/// What a job says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    Metric {
        key: Cow<'a, str>,
        value: Scalar,
        step: Option<u64>,
        rank: u32,
    },
    Param {
        key: Cow<'a, str>,
        value: Value,
    },
    Tag {
        key: Cow<'a, str>,
        value: String,
    },
    Name(String),
    /// Of a run outside the scheduler; a job has its project.
    Project(String),
    Artifact {
        key: Cow<'a, str>,
        path: String,
        bytes: u64,
        folder: bool,
    },
    /// A folder that was uploaded: what its last version holds.
    Synced {
        key: Cow<'a, str>,
        files: u64,
        bytes: u64,
    },
    Facts(Value),
    /// The job's own side refused so many for a limit.
    Dropped {
        key: Cow<'a, str>,
        why: Cow<'a, str>,
        count: u64,
    },
}

/// Every field of every event; what else a line has is for later readers.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    e: Cow<'a, str>,
    v: Option<u32>,
    #[serde(borrow)]
    key: Option<Lent<'a>>,
    #[serde(default, deserialize_with = "given")]
    value: Option<Value>,
    step: Option<u64>,
    rank: Option<u32>,
    at: Option<u64>,
    path: Option<String>,
    bytes: Option<u64>,
    folder: Option<bool>,
    files: Option<u64>,
    #[serde(borrow)]
    why: Option<Lent<'a>>,
    count: Option<u64>,
}

/// Text that is copied only where it has to be: a bare `Option<Cow>` always is.
#[derive(Deserialize)]
struct Lent<'a>(#[serde(borrow)] Cow<'a, str>);

/// `null` is a value; a missing field is none.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

impl<'de: 'a, 'a> Deserialize<'de> for Entry<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let fields = Fields::deserialize(from)?;
        if fields.at.is_some_and(|it| it > LATEST) {
            return Err(de::Error::custom(
                "a time that is no time: it is in milliseconds since 1970",
            ));
        }
        let at = fields.at.map(Timestamp);
        let event = Event::from_fields(fields).map_err(de::Error::custom)?;
        Ok(Self { at, event })
    }
}

impl<'a> Event<'a> {
    fn from_fields(fields: Fields<'a>) -> Result<Self, String> {
        let Fields { e, v, key, value, step, rank, at: _, path, bytes, folder, files, why, count } =
            fields;
        if let Some(version) = v.filter(|it| *it > VERSION) {
            return Err(format!("version {version} of a line is not known"));
        }
        let lacks = |field: &str| format!("an event {e:?} without {field:?}");
        let key = key.map(|Lent(key)| key).ok_or_else(|| lacks("key"));
        let value = value.ok_or_else(|| lacks("value"));
        Ok(match &*e {
            "metric" => {
                let Value::Scalar(value) = value? else {
                    return Err("a metric that is no bool, number or text".into());
                };
                // Steps are signed numbers wherever they go from here.
                if let Some(step) = step.filter(|it| i64::try_from(*it).is_err()) {
                    return Err(format!("step {step} is too large"));
                }
                Self::Metric { key: key?, value, step, rank: rank.unwrap_or(0) }
            }
            "param" => Self::Param { key: key?, value: value? },
            "tag" => Self::Tag { key: key?, value: text(value?)? },
            "name" => Self::Name(text(value?)?),
            "project" => Self::Project(text(value?)?),
            "artifact" => Self::Artifact {
                key: key?,
                path: below(path.ok_or_else(|| lacks("path"))?)?,
                bytes: bytes.unwrap_or(0),
                folder: folder.unwrap_or(false),
            },
            "synced" => Self::Synced {
                key: key?,
                files: files.ok_or_else(|| lacks("files"))?,
                bytes: bytes.unwrap_or(0),
            },
            "facts" => Self::Facts(value?),
            "dropped" => Self::Dropped {
                key: key?,
                why: why.map_or(Cow::Borrowed("it was beyond a limit"), |Lent(why)| why),
                count: count.unwrap_or(1),
            },
            _ => return Err(format!("an event {e:?} is not known")),
        })
    }
}

fn text(value: Value) -> Result<String, String> {
    match value {
        Value::Scalar(Scalar::Text(text)) => Ok(text),
        _ => Err("a value that must be text is none".into()),
    }
}

fn below(path: String) -> Result<String, String> {
    if stays_below(&path) {
        Ok(path)
    } else {
        Err("a path that is too long or leads out of its folder".into())
    }
}

/// Whether a path stays below the folder it is meant for, whatever system reads it.
pub fn stays_below(path: &str) -> bool {
    let plain = |part: &str| !matches!(part, "" | "." | "..");
    path.len() <= limits::PATH
        && !path.contains(|it: char| it.is_control() || it == '\\')
        && path.split('/').all(plain)
}
