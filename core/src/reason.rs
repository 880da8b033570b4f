//! Why a job waits: the very predicate that placement evaluates, in words.

use std::fmt;

use crate::id::{JobId, NodeName};
use crate::resources::Demand;

/// Why a waiting job is not running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No node has ever joined.
    NoNodes,
    /// It is the head of the queue and would fit this node when it is empty.
    Busy { demand: Demand, node: NodeName },
    /// An earlier eligible job waits: nobody overtakes the head.
    Behind { head: JobId },
    /// Set aside: it would fit only this node, which gets no jobs now.
    NodeUnavailable { node: NodeName, why: String },
    /// Set aside: no node that is known could ever run it, as it was submitted with `wait_for_capacity` or a node came back smaller.
    NoCapacity { needs: String, lack: String },
}

impl Reason {
    /// A job that is set aside does not block those behind it.
    pub fn blocks(&self) -> bool {
        match self {
            Self::NoNodes | Self::Busy { .. } | Self::Behind { .. } => true,
            Self::NodeUnavailable { .. } | Self::NoCapacity { .. } => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNodes => f.write_str("waits for the first node to join"),
            Self::Busy { demand, node } => write!(f, "waits for {demand} to be free (fits {node})"),
            Self::Behind { head } => write!(f, "waits behind {head}"),
            Self::NodeUnavailable { node, why } => {
                write!(f, "set aside: fits only {node}, which {why}")
            }
            Self::NoCapacity { needs, lack } => {
                write!(f, "set aside: no node has {needs}; {lack}")
            }
        }
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("1 slot")?;
        match self.gpus {
            0 => {}
            1 => f.write_str(", 1 GPU")?,
            n => write!(f, ", {n} GPUs")?,
        }
        if self.cpu_milli > 0 {
            #[expect(
                clippy::cast_precision_loss,
                reason = "for people; a machine has far fewer than 2^52 thousandths"
            )]
            write!(f, ", {} CPUs", self.cpu_milli as f64 / 1000.0)?;
        }
        if self.memory > 0 {
            #[expect(clippy::cast_precision_loss, reason = "for people")]
            write!(f, ", {:.1} GB memory", self.memory as f64 / 1e9)?;
        }
        Ok(())
    }
}
