//! Values and decisions of an Atlas cluster.
//!
//! Nothing here waits, reads the clock or draws a random number: time comes in as an argument, what must happen goes out as
//! data. Start at [`cluster::Cluster::handle`] for the master and at [`agent::Agent::handle`] for a node.

pub mod access;
pub mod agent;
pub mod cluster;
pub mod files;
pub mod id;
pub mod job;
pub mod log_index;
pub mod node;
pub mod outcome;
pub mod project;
pub mod reason;
pub mod record;
pub mod resources;
pub mod retention;
pub mod run;
pub mod spec;
pub mod time;
pub mod units;

pub use access::Identity;
pub use cluster::Cluster;
pub use id::{
    Attempt, BundleId, ClusterId, Epoch, GpuId, JobId, NodeName, Position, ProjectName, Revision,
};
pub use job::{JobState, JobStatus, Phase, Placement, Status};
pub use outcome::{Cause, Outcome};
pub use reason::Reason;
pub use record::Record;
pub use resources::{Capacity, Demand};
pub use retention::Retention;
pub use run::Run;
pub use spec::JobSpec;
pub use time::{Mono, Now, Timestamp};
