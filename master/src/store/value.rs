//! Values as they lie in a store: JSON that says its version. Version 1 is read for ever.

use serde::de::{DeserializeOwned, Error as _, IgnoredAny};
use serde::{Deserialize, Serialize};

use super::Error as StoreError;

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    v: u32,
    value: T,
}

pub fn encode<T: Serialize>(value: &T) -> String {
    serde_json::to_string(&Versioned { v: VERSION, value })
        .expect("plain values with text for keys always have a JSON form")
}

/// Reads what lies under `key`, which is for people.
pub fn decode<T: DeserializeOwned>(key: impl Fn() -> String, text: &str) -> Result<T, StoreError> {
    let source = match serde_json::from_str(text) {
        Ok(Versioned { v: VERSION, value }) => return Ok(value),
        Ok(Versioned { v, .. }) => unknown(v),
        // A later version may have another shape.
        Err(error) => match serde_json::from_str::<Versioned<IgnoredAny>>(text) {
            Ok(Versioned { v, .. }) if v != VERSION => unknown(v),
            _ => error,
        },
    };
    Err(StoreError::Decode { key: key(), source })
}

fn unknown(version: u32) -> serde_json::Error {
    serde_json::Error::custom(format!("version {version} is not known, only {VERSION}"))
}
