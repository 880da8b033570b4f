//! Whom jobs run as: `UID:GID[,GROUPS]`, or `root`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The ids that a job's process takes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobUser {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
}

/// A text that names no user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not UID:GID[,GROUP…], such as 1000:1000 or 1000:1000,44, and not `root`")]
pub struct Invalid(String);

impl JobUser {
    /// The user that this process runs as.
    pub fn this_process() -> Self {
        let groups = rustix::process::getgroups().unwrap_or_default();
        Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            groups: groups.into_iter().map(|it| it.as_raw()).collect(),
        }
    }

    /// Whether files of this process are files of the job's.
    pub fn is_this_process(&self) -> bool {
        self.uid == rustix::process::geteuid().as_raw()
            && self.gid == rustix::process::getegid().as_raw()
    }
}

impl FromStr for JobUser {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid(text.chars().take(80).collect());
        if text == "root" {
            return Ok(Self { uid: 0, gid: 0, groups: Vec::new() });
        }
        let id = |text: &str| {
            // u32::MAX means `leave it` to the kernel.
            text.parse::<u32>().ok().filter(|id| *id != u32::MAX).ok_or_else(invalid)
        };
        let (uid, rest) = text.split_once(':').ok_or_else(invalid)?;
        let mut groups = rest.split(',');
        let gid = id(groups.next().unwrap_or_default())?;
        let groups = groups.map(id).collect::<Result<_, _>>()?;
        Ok(Self { uid: id(uid)?, gid, groups })
    }
}

impl fmt::Display for JobUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)?;
        self.groups.iter().try_for_each(|group| write!(f, ",{group}"))
    }
}

impl Serialize for JobUser {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for JobUser {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_prints_what_it_parses() {
        for text in ["0:0", "1000:1001", "1000:1001,44,27"] {
            assert_eq!(text.parse::<JobUser>().unwrap().to_string(), text);
        }
        assert_eq!("root".parse::<JobUser>().unwrap().to_string(), "0:0");
    }

    #[test]
    fn what_is_not_a_user_is_refused() {
        for text in ["", "1000", "ada", "1000:", ":1", "-1:0", "1:2,", "4294967295:1", "1:2:3"] {
            assert!(text.parse::<JobUser>().is_err(), "{text} was taken");
        }
    }
}
