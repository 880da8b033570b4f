//! How a job ended. The causes are a closed set: each has a page in `docs/errors/`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The one end of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    Completed,
    Failed {
        cause: Cause,
        /// One line for people: what was tried, on what.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        detail: String,
    },
}

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "kebab-case")]
pub enum Cause {
    ExitCode(i32),
    Signal(i32),
    StoppedBy(String),
    Timeout,
    OutOfMemory,
    GpuFault,
    Image,
    Bundle,
    Requirements,
    Rejected,
    NodeLost,
    Dependency,
    Internal,
    /// It ended, and nobody saw how.
    Unknown,
}

impl Outcome {
    pub fn failed(cause: Cause, detail: impl Into<String>) -> Self {
        Self::Failed { cause, detail: detail.into() }
    }
}

impl Cause {
    /// Every word that [`word`](Self::word) can give.
    pub const WORDS: [&'static str; 14] = [
        "exit-code",
        "signal",
        "stopped-by",
        "timeout",
        "out-of-memory",
        "gpu-fault",
        "image",
        "bundle",
        "requirements",
        "rejected",
        "node-lost",
        "dependency",
        "internal",
        "unknown",
    ];

    /// The stable word of `docs/errors/`, of listings and of metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::ExitCode(_) => "exit-code",
            Self::Signal(_) => "signal",
            Self::StoppedBy(_) => "stopped-by",
            Self::Timeout => "timeout",
            Self::OutOfMemory => "out-of-memory",
            Self::GpuFault => "gpu-fault",
            Self::Image => "image",
            Self::Bundle => "bundle",
            Self::Requirements => "requirements",
            Self::Rejected => "rejected",
            Self::NodeLost => "node-lost",
            Self::Dependency => "dependency",
            Self::Internal => "internal",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExitCode(code) => write!(f, "exit-code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::StoppedBy(user) => write!(f, "stopped-by {user}"),
            other => f.write_str(other.word()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_travels_as_its_word() {
        let json = |cause: &Cause| serde_json::to_value(cause).unwrap()["kind"].clone();
        let all = [
            Cause::ExitCode(1),
            Cause::Signal(9),
            Cause::StoppedBy("ada".into()),
            Cause::Timeout,
            Cause::OutOfMemory,
            Cause::GpuFault,
            Cause::Image,
            Cause::Bundle,
            Cause::Requirements,
            Cause::Rejected,
            Cause::NodeLost,
            Cause::Dependency,
            Cause::Internal,
            Cause::Unknown,
        ];
        for (cause, word) in all.iter().zip(Cause::WORDS) {
            assert_eq!((cause.word(), json(cause)), (word, word.into()));
        }
    }
}
