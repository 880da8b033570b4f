//! Values as they lie in the file: JSON that says its version. Version 1 is read for ever.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::fault::Fault;

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
pub fn decode<T: DeserializeOwned>(key: impl Fn() -> String, text: &str) -> Result<T, Fault> {
    let refuse = |source| Fault::Decode { key: key(), source };
    let Versioned { v, value } = serde_json::from_str(text).map_err(refuse)?;
    if v != VERSION {
        let what = format!("version {v} is not known, only {VERSION}");
        return Err(refuse(serde::de::Error::custom(what)));
    }
    Ok(value)
}
