//! What a job wrote is gone: who removed it, and when.

use std::fmt;

use atlas_proto::wire;
use serde::Serialize;

use crate::output;
use crate::time::rfc3339;

/// Who removed what a job wrote.
#[derive(Debug, Serialize)]
pub struct Removal {
    pub user: Option<String>,
    /// The rule of its project, as it was.
    pub retention: Option<String>,
    pub at: String,
    /// `null` = they were not counted in time.
    pub bytes: Option<u64>,
    /// The files still go.
    pub goes_on: bool,
}

impl From<wire::Removal> for Removal {
    fn from(removal: wire::Removal) -> Self {
        let wire::Removal { by, at_ms, bytes, goes_on } = removal;
        let (user, retention) = match by {
            Some(wire::removal::By::User(name)) => (Some(name), None),
            Some(wire::removal::By::Retention(rule)) => (None, Some(rule)),
            None => (None, None),
        };
        Self { user, retention, at: rfc3339(at_ms), bytes, goes_on }
    }
}

/// As a sentence goes on after what was removed.
impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "removed on {} by ", self.at)?;
        match (&self.user, &self.retention) {
            (Some(user), _) => f.write_str(user)?,
            (None, Some(rule)) => write!(f, "the retention of its project ({rule})")?,
            (None, None) => f.write_str("somebody")?,
        }
        match self.bytes {
            Some(bytes) => write!(f, ", {}", output::bytes(bytes)),
            None => Ok(()),
        }
    }
}
