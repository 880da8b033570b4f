//! Where a page ended. It says so by the values that the order goes by, so that nothing that comes or goes meanwhile shifts the next page.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use atlas_core::{Position, Timestamp};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};

use super::order::View;
use crate::runs::number::Number;
use crate::runs::query::Query;

/// Bytes of the longest cursor that is read.
const LONGEST: usize = 16 << 10;

/// Who has it made it up, or got it from a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    /// Of which query: another one has another order.
    of: u64,
    /// When the first page was asked for: what is 7 days ago stays that over all pages.
    pub now: Timestamp,
    pub after: Vec<Mark>,
    pub position: Position,
}

/// A value of the last row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Mark {
    #[serde(rename = "b")]
    Bool(bool),
    /// The bits of a float, which JSON would round.
    #[serde(rename = "f")]
    Float(u64),
    #[serde(rename = "i")]
    Big(String),
    #[serde(rename = "t")]
    Text(String),
    #[serde(rename = "j")]
    Json(String),
    #[serde(rename = "n")]
    Nothing,
    #[serde(rename = "m")]
    Missing,
}

impl Cursor {
    pub fn new(query: &Query, now: Timestamp, (after, position): (Vec<Mark>, Position)) -> Self {
        Self { of: fingerprint(query), now, after, position }
    }

    /// `None` = it is of no page of this query.
    pub fn read(text: &str, query: &Query) -> Option<Self> {
        let bytes = BASE64.decode(text.get(..).filter(|it| it.len() <= LONGEST)?).ok()?;
        let cursor: Self = serde_json::from_slice(&bytes).ok()?;
        let fits = cursor.of == fingerprint(query) && cursor.after.len() == query.sort.len();
        let is_sound = cursor.after.iter().all(Mark::is_sound);
        (fits && is_sound).then_some(cursor)
    }

    pub fn text(&self) -> String {
        BASE64.encode(serde_json::to_vec(self).expect("plain values have a JSON form"))
    }
}

fn fingerprint(query: &Query) -> u64 {
    let mut hasher = DefaultHasher::new();
    query.to_string().hash(&mut hasher);
    hasher.finish()
}

impl Mark {
    pub fn of(view: View<'_>) -> Self {
        match view {
            View::Bool(it) => Self::Bool(it),
            View::Number(it) => Self::Float(it.to_bits()),
            View::Big(digits) => Self::Big(digits.into_owned()),
            View::Text(text) => Self::Text(text.into_owned()),
            View::Json(text) => Self::Json(text.into_owned()),
            View::Nothing => Self::Nothing,
            View::Missing => Self::Missing,
        }
    }

    pub fn view(&self) -> View<'_> {
        match self {
            Self::Bool(it) => View::Bool(*it),
            Self::Float(bits) => View::Number(f64::from_bits(*bits)),
            Self::Big(digits) => View::Big(Cow::Borrowed(digits)),
            Self::Text(text) => View::Text(Cow::Borrowed(text)),
            Self::Json(text) => View::Json(Cow::Borrowed(text)),
            Self::Nothing => View::Nothing,
            Self::Missing => View::Missing,
        }
    }

    fn is_sound(&self) -> bool {
        match self {
            Self::Big(digits) => matches!(Number::parse(digits), Some(Number::Big(_))),
            Self::Float(bits) => !f64::from_bits(*bits).is_nan(),
            _ => true,
        }
    }
}
