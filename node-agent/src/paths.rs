//! Where everything lies: on the node's own disk ([`Data`]) and on the shared storage ([`Shared`]).

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use atlas_core::{Attempt, BundleId, JobId};
use atlas_runtime::storage;

use crate::sdk;

/// A job's log and its index, below its directory.
pub const LOG: &str = "control/log";
pub const LOG_INDEX: &str = "control/log.idx";
/// What the job tells of itself, below its directory. The job's own: anything may lie there.
pub const SPOOL: &str = "control/spool/events";

/// One placement of a job: what a node holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    pub job: JobId,
    pub attempt: Attempt,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.job, self.attempt)
    }
}

impl FromStr for AttemptId {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (job, attempt) = text.split_once('.').ok_or(())?;
        let id = Self {
            job: job.parse().map_err(|_| ())?,
            attempt: Attempt(attempt.parse().map_err(|_| ())?),
        };
        // One name per attempt: `+1` and `01` are numbers too.
        if id.to_string() == text { Ok(id) } else { Err(()) }
    }
}

/// `--data`: the node's own disk.
#[derive(Clone, Debug)]
pub struct Data(PathBuf);

impl Data {
    /// `root` must be absolute: jobs see paths below it.
    pub fn new(root: PathBuf) -> Self {
        Self(root)
    }

    pub fn root(&self) -> &Path {
        &self.0
    }

    pub fn identity(&self) -> PathBuf {
        self.0.join("identity")
    }

    /// The id of the cluster that this node belongs to.
    pub fn cluster(&self) -> PathBuf {
        self.0.join("cluster")
    }

    /// The last commit of its cluster that this node heard of.
    pub fn seen(&self) -> PathBuf {
        self.0.join("seen")
    }

    pub fn slots(&self) -> PathBuf {
        self.0.join("slots")
    }

    pub fn jobs(&self) -> PathBuf {
        self.0.join("jobs")
    }

    pub fn job(&self, id: AttemptId) -> JobDir {
        JobDir(self.jobs().join(id.to_string()))
    }

    /// Where jobs reach this agent.
    pub fn api(&self) -> PathBuf {
        self.0.join("api")
    }

    /// What is on its way out: renamed here at once, emptied at leisure.
    pub fn trash(&self) -> PathBuf {
        self.0.join("trash")
    }

    /// Folders of jobs that have ended, for the next ones.
    pub fn spare(&self) -> PathBuf {
        self.0.join("spare")
    }

    pub fn bundles(&self) -> PathBuf {
        self.0.join("bundles")
    }

    /// The Python SDK that jobs find, as this agent brings it.
    pub fn sdk(&self) -> PathBuf {
        self.0.join("sdk").join(sdk::version())
    }

    pub fn environments(&self) -> PathBuf {
        self.0.join("venvs")
    }
}

/// Everything of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobDir(PathBuf);

impl JobDir {
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The digest of the image that it is started in.
    pub fn image(&self) -> PathBuf {
        self.0.join("image")
    }

    /// What was asked for; there from before the start on.
    pub fn assignment(&self) -> PathBuf {
        self.0.join("assignment.json")
    }

    /// The bundle's files, where the job runs.
    pub fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    /// What agent and supervisor tell each other; closed to the job, but for the spool.
    pub fn control(&self) -> PathBuf {
        self.0.join("control")
    }

    pub fn log(&self) -> PathBuf {
        self.0.join(LOG)
    }

    pub fn log_index(&self) -> PathBuf {
        self.0.join(LOG_INDEX)
    }

    pub fn spool(&self) -> PathBuf {
        self.control().join("spool")
    }

    pub fn home(&self) -> PathBuf {
        self.0.join("home")
    }

    pub fn tmp(&self) -> PathBuf {
        self.0.join("tmp")
    }

    /// Checkpoints where there is no shared storage. It is there when all that was to be given back is in it.
    pub fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }

    /// Checkpoints that are being given back.
    pub fn checkpoints_part(&self) -> PathBuf {
        self.0.join("checkpoints.part")
    }

    /// Checkpoints of the job that this one goes on from, where there is no shared storage; whole when it is there.
    pub fn resume(&self) -> PathBuf {
        self.0.join("resume")
    }

    /// Those on their way.
    pub fn resume_part(&self) -> PathBuf {
        self.0.join("resume.part")
    }

    /// A link to the folder of the virtual environment that the job uses.
    pub fn venv(&self) -> PathBuf {
        self.0.join("venv")
    }

    /// Opens a regular file below, through no link: the job may have put one there.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        storage::open(File::open(&self.0)?.as_fd(), path)
    }

    /// What the work directory held after unpacking.
    pub fn snapshot(&self) -> PathBuf {
        self.0.join("snapshot")
    }
}

/// `--shared`: the storage that all nodes and the master see.
#[derive(Clone, Debug)]
pub struct Shared(PathBuf);

impl Shared {
    pub fn new(root: PathBuf) -> Self {
        Self(root)
    }

    pub fn root(&self) -> &Path {
        &self.0
    }

    pub fn bundle(&self, id: BundleId) -> PathBuf {
        self.0.join("bundles").join(id.shard()).join(format!("{id}.tar.zst"))
    }

    pub fn jobs(&self) -> PathBuf {
        self.0.join("jobs")
    }

    pub fn job(&self, id: JobId) -> PathBuf {
        self.jobs().join(id.shard()).join(id.to_string())
    }

    pub fn checkpoints(&self, id: JobId) -> PathBuf {
        self.job(id).join("checkpoints")
    }

    pub fn artifacts(&self, id: JobId) -> PathBuf {
        self.job(id).join("artifacts")
    }

    pub fn outputs(&self, id: JobId) -> PathBuf {
        self.job(id).join("outputs")
    }

    pub fn log(&self, id: AttemptId) -> PathBuf {
        self.job(id.job).join("log").join(format!("{}.log", id.attempt))
    }

    pub fn log_index(&self, id: AttemptId) -> PathBuf {
        self.job(id.job).join("log").join(format!("{}.idx", id.attempt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = "45540b52-ffe2-44ab-9838-db467d3499c0";

    #[test]
    fn a_folder_name_is_an_attempt_only_if_that_attempt_would_be_called_so() {
        let id: AttemptId = format!("{JOB}.3").parse().unwrap();
        assert_eq!(id.to_string(), format!("{JOB}.3"));
        for name in ["", "x", JOB, "x.1", &format!("{JOB}.03"), &format!("{JOB}.+3")] {
            assert!(name.parse::<AttemptId>().is_err(), "{name} was taken");
        }
    }

    #[test]
    fn the_shared_storage_looks_as_the_master_expects_it() {
        let shared = Shared::new("/s".into());
        let id: AttemptId = format!("{JOB}.2").parse().unwrap();
        assert_eq!(shared.log(id), PathBuf::from(format!("/s/jobs/45/{JOB}/log/2.log")));
        assert_eq!(shared.log_index(id), PathBuf::from(format!("/s/jobs/45/{JOB}/log/2.idx")));
        assert_eq!(shared.outputs(id.job), PathBuf::from(format!("/s/jobs/45/{JOB}/outputs")));
        let bundle = "ab".repeat(32);
        let path = PathBuf::from(format!("/s/bundles/ab/{bundle}.tar.zst"));
        assert_eq!(shared.bundle(bundle.parse().unwrap()), path);
    }
}
