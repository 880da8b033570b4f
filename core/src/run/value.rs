//! Values as jobs log them. As JSON they are themselves, but for what JSON cannot say: `{"$int": "…"}` is an integer beyond 64
//! bits, `{"$float": "nan" | "inf" | "-inf"}` a number that is not finite.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Deserializer, Serialize};

use super::limits;

const INT: &str = "$int";
const FLOAT: &str = "$float";

/// A metric's value, or a leaf of a parameter's.
#[derive(Clone, Debug)]
pub enum Scalar {
    Bool(bool),
    Int(i64),
    /// Beyond 64 bits: its digits, with `-` before them when it is negative.
    BigInt(String),
    Float(f64),
    Text(String),
}

/// A parameter's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    Scalar(Scalar),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
}

impl Scalar {
    /// As a number, the nearest one; `None` = it is none. NaN is a number.
    pub fn number(&self) -> Option<f64> {
        match self {
            // Two integers that differ beyond 53 bits may give the same number.
            #[expect(clippy::cast_precision_loss, reason = "the nearest is what is asked for")]
            Self::Int(int) => Some(*int as f64),
            Self::BigInt(digits) => digits.parse().ok(),
            Self::Float(float) => Some(*float),
            Self::Bool(_) | Self::Text(_) => None,
        }
    }

    /// Between two numbers; integers as exactly as they are. NaN comes before and after nothing.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(one), Self::Int(other)) => Some(one.cmp(other)),
            _ => self.number()?.partial_cmp(&other.number()?),
        }
    }

    /// An integer of any size; `None` = these are not its digits, or too many.
    pub fn integer(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let plain = !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
        if !plain || digits.len() > limits::DIGITS {
            return None;
        }
        if let Ok(int) = text.parse() {
            return Some(Self::Int(int));
        }
        let digits = digits.trim_start_matches('0');
        let sign = if text.starts_with('-') { "-" } else { "" };
        let canonical = format!("{sign}{digits}");
        // Zeros before it may have made it look long.
        Some(canonical.parse().map_or(Self::BigInt(canonical), Self::Int))
    }

    fn tagged(tag: &str, text: &str) -> Option<Self> {
        match (tag, text) {
            (INT, digits) => Self::integer(digits),
            (FLOAT, "nan") => Some(Self::Float(f64::NAN)),
            (FLOAT, "inf") => Some(Self::Float(f64::INFINITY)),
            (FLOAT, "-inf") => Some(Self::Float(f64::NEG_INFINITY)),
            _ => None,
        }
    }
}

/// Two values are the same when they read the same: NaN is itself.
impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bool(one), Self::Bool(other)) => one == other,
            (Self::Int(one), Self::Int(other)) => one == other,
            (Self::BigInt(one), Self::BigInt(other)) | (Self::Text(one), Self::Text(other)) => {
                one == other
            }
            (Self::Float(one), Self::Float(other)) => {
                one.to_bits() == other.to_bits() || (one.is_nan() && other.is_nan())
            }
            _ => false,
        }
    }
}

impl Eq for Scalar {}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(it) => it.fmt(f),
            Self::Int(it) => it.fmt(f),
            // With a point, as it is told from an integer everywhere else.
            Self::Float(it) => write!(f, "{it:?}"),
            Self::BigInt(text) | Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<Scalar> for Value {
    fn from(scalar: Scalar) -> Self {
        Self::Scalar(scalar)
    }
}

impl Serialize for Scalar {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let tagged = |to: S, tag: &str, text: &str| {
            let mut map = to.serialize_map(Some(1))?;
            map.serialize_entry(tag, text)?;
            map.end()
        };
        match self {
            Self::Bool(it) => to.serialize_bool(*it),
            Self::Int(it) => to.serialize_i64(*it),
            Self::Float(it) if it.is_finite() => to.serialize_f64(*it),
            Self::Float(it) if it.is_nan() => tagged(to, FLOAT, "nan"),
            Self::Float(it) => tagged(to, FLOAT, if *it > 0.0 { "inf" } else { "-inf" }),
            Self::BigInt(digits) => tagged(to, INT, digits),
            Self::Text(text) => to.serialize_str(text),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => to.serialize_unit(),
            Self::Scalar(it) => it.serialize(to),
            Self::List(items) => to.collect_seq(items),
            Self::Map(items) => to.collect_map(items),
        }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Value::deserialize(from)? {
            Value::Scalar(scalar) => Ok(scalar),
            Value::Null | Value::List(_) | Value::Map(_) => {
                Err(de::Error::custom("this is no bool, number or text"))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Nested { depth: 0 }.deserialize(from)
    }
}

/// A value that lies so deep in others.
#[derive(Clone, Copy)]
struct Nested {
    depth: u32,
}

impl Nested {
    fn below<E: de::Error>(self) -> Result<Self, E> {
        if self.depth == limits::DEPTH {
            return Err(E::custom("lists and maps lie too deep in one another"));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Nested {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Scalar::Bool(value).into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Scalar::Int(value).into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        let big = || Scalar::BigInt(value.to_string());
        Ok(i64::try_from(value).map_or_else(|_| big(), Scalar::Int).into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Scalar::Float(value).into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Scalar::Text(value.to_owned()).into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Scalar::Text(value).into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut items = Vec::new();
        while let Some(item) = from.next_element_seed(below)? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut items = BTreeMap::<String, _>::new();
        while let Some(key) = from.next_key()? {
            items.insert(key, from.next_value_seed(below)?);
        }
        if items.len() == 1
            && let Some((tag, Value::Scalar(Scalar::Text(text)))) = items.first_key_value()
            && let Some(scalar) = Scalar::tagged(tag, text)
        {
            return Ok(scalar.into());
        }
        Ok(Value::Map(items))
    }
}
