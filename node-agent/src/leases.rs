//! The lease of everything that runs here, written down for each supervisor. Blocks, on the node's own disk alone.
//!
//! **Invariant:** when [`Leases::set`] returns, no supervisor counts by an older deadline.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use atlas_core::Mono;
use atlas_core::time::Millis;

use crate::supervisor::{self, write_deadline};

/// When supervisors must have ended their jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deadline {
    /// No master has spoken yet: what runs keeps the deadline it has.
    #[default]
    Unknown,
    At(Mono),
    /// Until the machine restarts.
    Never,
}

/// A cheap handle.
#[derive(Clone, Debug, Default)]
pub struct Leases(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    deadline: Deadline,
    /// `None` = until the machine restarts, or no master has spoken yet.
    length: Option<Millis>,
    /// Control directories of jobs that run or are about to.
    jobs: BTreeSet<PathBuf>,
}

/// As long as this lives, the job's lease is renewed.
#[derive(Debug)]
pub struct Held {
    leases: Leases,
    control: PathBuf,
}

impl Leases {
    pub fn deadline(&self) -> Deadline {
        self.state().deadline
    }

    /// How long the master grants leases for. `None` = until the machine restarts, or it is not known yet.
    pub fn length(&self) -> Option<Duration> {
        self.state().length.map(|Millis(it)| Duration::from_millis(it))
    }

    pub fn granted_for(&self, length: Option<Millis>) {
        self.state().length = length;
    }

    /// What begins from now on begins with this deadline. What runs keeps the one it has until [`set`](Self::set).
    pub fn announce(&self, deadline: Deadline) {
        self.state().deadline = deadline;
    }

    /// A job that is not wanted any more: its lease is never renewed, whenever it is gone.
    pub fn end(&self, control: &Path) {
        self.state().jobs.remove(control);
    }

    /// Writes the new deadline down for every job. One that cannot be written leaves its job with the old one, and is logged.
    pub fn set(&self, deadline: Deadline) {
        let mut state = self.state();
        state.deadline = deadline;
        for control in &state.jobs {
            if let Err(error) = write(control, deadline) {
                tracing::error!("a lease cannot be renewed: {}", error.chain());
            }
        }
    }

    /// A job that is about to be started, with its first deadline.
    pub fn begin(&self, control: &Path) -> Result<Held, supervisor::Error> {
        let mut state = self.state();
        if state.deadline != Deadline::Never {
            write(control, state.deadline)?;
        }
        state.jobs.insert(control.to_owned());
        Ok(Held { leases: self.clone(), control: control.to_owned() })
    }

    /// A job that runs already, with the deadline it has.
    pub fn adopt(&self, control: &Path) -> Held {
        self.state().jobs.insert(control.to_owned());
        Held { leases: self.clone(), control: control.to_owned() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Writing files cannot leave the books wrong.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.leases.state().jobs.remove(&self.control);
    }
}

fn write(control: &Path, deadline: Deadline) -> Result<(), supervisor::Error> {
    match deadline {
        Deadline::Unknown => Ok(()),
        Deadline::At(until) => write_deadline(control, until.0),
        // It may have had one before.
        Deadline::Never => write_deadline(control, u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(control: &Path) -> Option<String> {
        let text = std::fs::read_to_string(control.join("deadline")).ok()?;
        Some(text.split(' ').next().unwrap().trim_start_matches('0').to_owned())
    }

    #[test]
    fn every_job_that_is_held_has_the_last_deadline() {
        let leases = Leases::default();
        let [first, second, over] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let _adopted = leases.adopt(first.path());
        drop(leases.adopt(over.path()));
        assert_eq!(written(first.path()), None, "a deadline was changed before a master spoke");
        leases.set(Deadline::At(Mono(500)));
        let _begun = leases.begin(second.path()).unwrap();
        for control in [&first, &second] {
            assert_eq!(written(control.path()).as_deref(), Some("500"));
        }
        leases.set(Deadline::At(Mono(400)));
        assert_eq!(written(second.path()).as_deref(), Some("400"));
        assert_eq!(written(over.path()), None);
    }

    #[test]
    fn a_job_that_is_to_be_killed_is_not_renewed_and_one_that_begins_has_the_new_deadline() {
        let leases = Leases::default();
        let [wanted, unwanted, new] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let _wanted = leases.adopt(wanted.path());
        let _unwanted = leases.adopt(unwanted.path());
        leases.announce(Deadline::At(Mono(500)));
        leases.end(unwanted.path());
        let _new = leases.begin(new.path()).unwrap();
        assert_eq!(written(new.path()).as_deref(), Some("500"));
        assert_eq!(written(wanted.path()), None, "renewed before the list was gone through");
        leases.set(Deadline::At(Mono(500)));
        assert_eq!(written(wanted.path()).as_deref(), Some("500"));
        assert_eq!(written(unwanted.path()), None);
    }

    #[test]
    fn a_full_disk_takes_no_lease_away() {
        let disk = crate::small_disk::SmallDisk::mount();
        let leases = Leases::default();
        leases.set(Deadline::At(Mono(400)));
        let _begun = leases.begin(disk.path()).unwrap();
        disk.fill();
        leases.set(Deadline::At(Mono(500)));
        assert_eq!(written(disk.path()).as_deref(), Some("500"));
        disk.clear();
        leases.set(Deadline::At(Mono(600)));
        assert_eq!(written(disk.path()).as_deref(), Some("600"));
    }

    #[test]
    fn a_lease_until_the_machine_restarts_takes_back_the_one_before() {
        let leases = Leases::default();
        let [old, new] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let _adopted = leases.adopt(old.path());
        leases.set(Deadline::Never);
        assert_eq!(written(old.path()), Some(u64::MAX.to_string()));
        let _begun = leases.begin(new.path()).unwrap();
        assert_eq!(written(new.path()), None);
    }
}
