//! What every part of the agent shares.

use atlas_core::Epoch;
use atlas_runtime::tasks::Tasks;
use tokio::sync::{Semaphore, watch};

use crate::cache::Cache;
use crate::executor::Executor;
use crate::identity::Identity;
use crate::leases::Leases;
use crate::options::Settings;
use crate::paths::Data;
use crate::spare::Spares;
use crate::start::{Bundles, Machine};
use crate::storage::{Remote, Storage};
use crate::venv::Venvs;

/// A node's settings, folders and means.
pub struct Node {
    pub settings: Settings,
    pub identity: Identity,
    pub data: Data,
    pub storage: Storage,
    /// What goes through the master on every node.
    pub master: Remote,
    pub executor: Executor,
    pub bundles: Bundles,
    pub cache: Cache,
    pub venvs: Venvs,
    pub tasks: Tasks,
    pub leases: Leases,
    /// Of the master that was last obeyed; written by the driver.
    pub epoch: watch::Receiver<Epoch>,
    pub spares: Spares,
    /// What jobs with GPUs run on.
    pub machine: Machine,
    /// Folders that are emptied at the same time.
    pub emptying: Semaphore,
}
