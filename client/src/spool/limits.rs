//! What a run may hold, told where somebody logs, in the words that the Python SDK uses. The master keeps the same limits.

use atlas_core::run::{Value, limits};

/// Why a run cannot have such a key.
pub fn key(key: &str) -> Result<(), String> {
    if key.is_empty() {
        Err("a key is empty".into())
    } else if key.len() > limits::KEY {
        Err(format!("a key has more than {} bytes", limits::KEY))
    } else if key.chars().any(char::is_control) {
        Err("a key has control characters".into())
    } else {
        Ok(())
    }
}

/// Of a tag.
pub fn text(text: &str) -> Result<String, String> {
    let is_short = text.len() <= limits::TAG;
    is_short
        .then(|| text.to_owned())
        .ok_or_else(|| format!("a text has more than {} bytes", limits::TAG))
}

pub fn param(value: Value) -> Result<Value, String> {
    let json = serde_json::to_string(&value).map_err(|error| error.to_string())?;
    if json.len() <= limits::PARAM {
        Ok(value)
    } else {
        Err("a parameter's value is too long".into())
    }
}

/// Enough of a key to know it by, on one line.
pub fn short(key: &str) -> String {
    let shown = if key.chars().any(char::is_control) {
        key.escape_debug().to_string()
    } else {
        key.to_owned()
    };
    match shown.char_indices().nth(60) {
        Some((at, _)) => format!("{} ...", &shown[..at]),
        None => shown,
    }
}
