//! What must be durable before anything happens because of it. A record carries the whole new value of what changed, so that a
//! store only ever puts, and old versions stay readable.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{JobId, NodeName, ProjectName};
use crate::job::JobStatus;
use crate::node::NodeRecord;
use crate::project::About;
use crate::run::Run;
use crate::spec::JobSpec;
use crate::time::Millis;

/// One change of the cluster's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    JobQueued {
        id: JobId,
        spec: Arc<JobSpec>,
        status: JobStatus,
    },
    JobChanged {
        id: JobId,
        event: JobEvent,
        status: JobStatus,
    },
    /// What a job told of itself. Of a job that is gone it changes nothing, and it goes with the job.
    RunChanged {
        id: JobId,
        run: Arc<Run>,
    },
    JobDeleted {
        id: JobId,
    },
    /// What people wrote of a project. One of which nothing is written is as good as not there.
    ProjectChanged {
        name: ProjectName,
        about: Arc<About>,
    },
    NodeChanged(NodeRecord),
    NodeRemoved(NodeName),
    /// A planned stop of the master: leases last this long from the next restore.
    LeaseGranted(Millis),
}

/// What happened to a job; the status beside it says where it stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobEvent {
    Placed,
    Started,
    Stopping,
    Requeued,
    Exited,
    Archived,
    /// What it wrote is being removed.
    Removing,
    /// And is gone.
    Removed,
    Deleting,
}

impl Record {
    /// The job that this is about.
    pub fn job(&self) -> Option<JobId> {
        match self {
            Self::JobQueued { id, .. }
            | Self::JobChanged { id, .. }
            | Self::RunChanged { id, .. }
            | Self::JobDeleted { id } => Some(*id),
            Self::ProjectChanged { .. }
            | Self::NodeChanged(_)
            | Self::NodeRemoved(_)
            | Self::LeaseGranted(_) => None,
        }
    }
}
