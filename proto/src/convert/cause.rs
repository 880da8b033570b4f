//! Causes travel as their word and a value.

use atlas_core::Cause;

use super::{Invalid, parse};
use crate::wire;

impl From<&Cause> for wire::Cause {
    fn from(cause: &Cause) -> Self {
        let value = match cause {
            Cause::ExitCode(code) => code.to_string(),
            Cause::Signal(signal) => signal.to_string(),
            Cause::StoppedBy(user) => user.clone(),
            _ => String::new(),
        };
        Self { kind: cause.word().into(), value }
    }
}

impl TryFrom<wire::Cause> for Cause {
    type Error = Invalid;
    fn try_from(cause: wire::Cause) -> Result<Self, Invalid> {
        let wire::Cause { kind, value } = cause;
        Ok(match kind.as_str() {
            "exit-code" => Self::ExitCode(parse("cause.value", &value)?),
            "signal" => Self::Signal(parse("cause.value", &value)?),
            "stopped-by" => Self::StoppedBy(value),
            "timeout" => Self::Timeout,
            "out-of-memory" => Self::OutOfMemory,
            "gpu-fault" => Self::GpuFault,
            "image" => Self::Image,
            "bundle" => Self::Bundle,
            "requirements" => Self::Requirements,
            "rejected" => Self::Rejected,
            "node-lost" => Self::NodeLost,
            "dependency" => Self::Dependency,
            "internal" => Self::Internal,
            "unknown" => Self::Unknown,
            other => {
                return Err(Invalid::new("cause.kind", format!("{other:?} is not a known cause")));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_survives_the_wire() {
        for cause in [
            Cause::ExitCode(3),
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
        ] {
            assert_eq!(Cause::try_from(wire::Cause::from(&cause)), Ok(cause));
        }
    }
}
