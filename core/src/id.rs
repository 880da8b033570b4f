//! Every identity is its own type, checks itself when parsed and prints itself the same way everywhere.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A text that is not the identity it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {what}: {why}")]
pub struct Invalid {
    pub what: &'static str,
    pub text: String,
    pub why: &'static str,
}

impl Invalid {
    pub(crate) fn new(what: &'static str, text: &str, why: &'static str) -> Self {
        Self { what, text: text.chars().take(80).collect(), why }
    }
}

/// A job: a random UUID (version 4) chosen by the client, printed in its canonical lower-case form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId([u8; 16]);

impl JobId {
    /// A job's id from 16 random bytes: version and variant are set here.
    pub fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }

    /// The first two hex digits: the folder that a job's archive lies in.
    pub fn shard(self) -> String {
        format!("{:02x}", self.0[0])
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for JobId {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |why| Invalid::new("job id", text, why);
        let dashes = [8, 13, 18, 23];
        let shape = text.len() == 36
            && text.bytes().enumerate().all(|(at, it)| {
                if dashes.contains(&at) {
                    it == b'-'
                } else {
                    it.is_ascii_digit() || (b'a'..=b'f').contains(&it)
                }
            });
        if !shape {
            return Err(refuse("a lower-case UUID is 36 characters, 8-4-4-4-12 hex digits"));
        }
        let digits: String = text.chars().filter(|it| *it != '-').collect();
        let mut bytes = [0; 16];
        unhex(&digits, &mut bytes).ok_or_else(|| refuse("not hexadecimal"))?;
        if bytes[6] >> 4 != 4 || bytes[8] >> 6 != 2 {
            return Err(refuse("not a random UUID (version 4)"));
        }
        Ok(Self(bytes))
    }
}

/// A bundle: the SHA-256 of its canonical, uncompressed tar, printed as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleId([u8; 32]);

impl BundleId {
    pub fn from_sha256(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    pub fn sha256(self) -> [u8; 32] {
        self.0
    }

    /// The first two hex digits: the folder that it lies in.
    pub fn shard(self) -> String {
        format!("{:02x}", self.0[0])
    }
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for BundleId {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut bytes = [0; 32];
        let lower = !text.bytes().any(|it| it.is_ascii_uppercase());
        if !lower || unhex(text, &mut bytes).is_none() {
            return Err(Invalid::new("bundle id", text, "a SHA-256 is 64 lower-case hex digits"));
        }
        Ok(Self(bytes))
    }
}

fn unhex(digits: &str, into: &mut [u8]) -> Option<()> {
    if digits.len() != into.len() * 2 || !digits.is_ascii() {
        return None;
    }
    for (byte, at) in into.iter_mut().zip((0..digits.len()).step_by(2)) {
        *byte = u8::from_str_radix(&digits[at..at + 2], 16).ok()?;
    }
    Some(())
}

/// A name: short, printable, safe as a path segment and in a shell.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $also:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                let refuse = |why| Err(Invalid::new($what, text, why));
                if text.is_empty() {
                    return refuse("it is empty");
                }
                if text.len() > $max {
                    return refuse(concat!("it is longer than ", $max, " bytes"));
                }
                if text.starts_with(['.', '-']) {
                    return refuse("it begins with a dot or a dash");
                }
                if !text.chars().all(|it| it.is_alphanumeric() || $also.contains(it)) {
                    return refuse(concat!("it may hold letters, digits and any of ", $also));
                }
                Ok(Self(text.into()))
            }
        }
    };
}
id!(
    /// The name jobs are grouped under.
    ProjectName, "project name", 128, "._- ()+"
);
id!(
    /// A machine of the cluster.
    NodeName, "node name", 64, "._-"
);
id!(
    /// A GPU by its NVML UUID (`GPU-…` or `MIG-…`); the index is for people.
    GpuId, "GPU id", 96, "_-/"
);
id!(
    /// A cluster; written into its store once, so that nothing of another cluster is touched by mistake.
    ClusterId, "cluster id", 64, "-"
);

macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}
as_text!(JobId, BundleId, ProjectName, NodeName, GpuId, ClusterId);

macro_rules! number {
    ($($(#[$doc:meta])* $name:ident),*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
number!(
    /// 1 for a job's first placement, +1 for each later one; 0 before any.
    Attempt,
    /// Number of the leading master: one that is overtaken may change nothing any more.
    Epoch,
    /// Number of the last commit.
    Revision,
    /// A job's place in the global queue; never given twice, kept when a job is queued again.
    Position
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_id_prints_what_it_parses() {
        let text = "45540b52-ffe2-44ab-9838-db467d3499c0";
        assert_eq!(text.parse::<JobId>().unwrap().to_string(), text);
    }

    #[test]
    fn a_job_id_of_random_bytes_is_a_version_4_uuid() {
        for fill in [0x00, 0xff, 0x5a] {
            let id = JobId::from_random([fill; 16]);
            assert_eq!(id.to_string().parse::<JobId>(), Ok(id));
        }
    }

    #[test]
    fn a_job_id_of_another_shape_is_refused() {
        let upper = "45540B52-FFE2-44AB-9838-DB467D3499C0";
        let version_1 = "45540b52-ffe2-14ab-9838-db467d3499c0";
        for text in [
            "",
            "4554",
            upper,
            version_1,
            "45540b52xffe2-44ab-9838-db467d3499c0",
            "é5540b52-ffe2-44ab-9838-db467d3499c",
        ] {
            assert!(text.parse::<JobId>().is_err(), "{text} was taken");
        }
    }

    #[test]
    fn a_name_that_could_leave_a_folder_is_refused() {
        for text in ["", ".", "..", "-rf", "a/b", "a\nb", "a\0", &"x".repeat(129)] {
            assert!(text.parse::<ProjectName>().is_err(), "{text:?} was taken");
        }
        for text in ["my-atlas-project", "Größe 2.0", "a_b"] {
            assert!(text.parse::<ProjectName>().is_ok(), "{text:?} was refused");
        }
    }

    #[test]
    fn ids_travel_as_text() {
        let id: BundleId = "ab".repeat(32).parse().unwrap();
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{}\"", "ab".repeat(32)));
        assert_eq!(serde_json::from_str::<BundleId>(&json).unwrap(), id);
    }
}
