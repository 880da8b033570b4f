//! A value that shows itself nowhere by accident.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

const MASK: &str = "***";

/// A password or token. Debug, Display and Serialize show `***`; only [`Secret::expose`] gives the value.
///
/// ```
/// use atlas_runtime::config::Secret;
/// let token: Secret<String> = "hunter2".parse().unwrap();
/// assert_eq!(format!("{token} {token:?}"), "*** ***");
/// assert_eq!(token.expose(), "hunter2");
/// ```
#[derive(Clone)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for the one place that needs it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl<T: FromStr> FromStr for Secret<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        text.parse().map(Self)
    }
}

impl<T: Serialize> Serialize for Secret<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if REVEAL.get() { self.0.serialize(serializer) } else { serializer.serialize_str(MASK) }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The reason would quote the value.
        T::deserialize(deserializer)
            .map(Self)
            .map_err(|_| D::Error::custom("cannot be read as a secret (its value is not shown)"))
    }
}

thread_local! {
    /// True only while the layers are merged: they meet as serialised values, secrets included.
    static REVEAL: Cell<bool> = const { Cell::new(false) };
}

/// Runs `serialise` with secrets readable, on this thread and no longer than the call.
pub(super) fn revealed<R>(serialise: impl FnOnce() -> R) -> R {
    struct Mask;
    impl Drop for Mask {
        fn drop(&mut self) {
            REVEAL.set(false);
        }
    }
    let _mask = Mask;
    REVEAL.set(true);
    serialise()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_masked_when_serialised_and_readable_only_while_layers_merge() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(serde_json::to_string(&secret).unwrap(), r#""***""#);
        assert_eq!(revealed(|| serde_json::to_string(&secret).unwrap()), r#""hunter2""#);
        assert_eq!(serde_json::to_string(&secret).unwrap(), r#""***""#);
    }

    #[test]
    fn a_panic_while_revealed_leaves_secrets_masked() {
        let panicked = std::panic::catch_unwind(|| revealed(|| panic!("on purpose")));
        assert!(panicked.is_err());
        assert_eq!(serde_json::to_string(&Secret::new("hunter2")).unwrap(), r#""***""#);
    }

    #[test]
    fn an_unreadable_secret_is_not_quoted() {
        let error = serde_json::from_str::<Secret<u16>>(r#""hunter2""#).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
