//! How long what the jobs of a project wrote is kept. For ever, where nobody says anything else.

use serde::{Deserialize, Serialize};

use crate::time::Millis;

/// Whatever its value, this tag keeps what a job wrote.
pub const KEEP: &str = "keep";

/// The rule of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// What a job wrote goes so long after its end.
    #[serde(rename = "outputs_ms")]
    pub outputs: Millis,
}
