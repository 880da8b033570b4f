//! What jobs occupy, as it was measured lately. The folders are walked when somebody asks, one job after the other, and never twice
//! for what has not changed: a master whose users do not ask walks nothing, at its start neither.
//!
//! Nothing of it is in the store: what people take away by hand is noticed within a day, and no record can disagree with the files.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use atlas_core::{BundleId, JobId};
use atlas_runtime::Chain;

use crate::archive::Archive;
use crate::archive::sizes::Sizes;
use crate::bundles::Bundles;

/// For so long a job that runs, or has just ended, is what it was measured to be.
const BRIEFLY: Duration = Duration::from_secs(30);
/// And one that is settled.
const FOR_LONG: Duration = Duration::from_secs(24 * 3600);
/// What was not asked for again is forgotten so long after it became old.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// What is to be measured.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    pub job: JobId,
    pub bundle: BundleId,
    /// It ended long enough ago that nothing of it is still being archived or compacted.
    pub is_settled: bool,
}

/// Bytes of jobs and of bundles. Any number of threads may call it.
#[derive(Debug, Default)]
pub struct Measured(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    jobs: HashMap<JobId, Entry<Sizes>>,
    bundles: HashMap<BundleId, Entry<u64>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry<T> {
    value: T,
    until: Instant,
}

impl Measured {
    /// Those of which nothing is known, or only what they were a while ago.
    pub fn lacking(&self, subjects: &[Subject], now: Instant) -> Vec<Subject> {
        self.with(|known| {
            known.jobs.retain(|_, it| now < it.until + FORGOTTEN);
            known.bundles.retain(|_, it| now < it.until + FORGOTTEN);
            let lacks = |it: &&Subject| {
                !is_fresh(&known.jobs, &it.job, now) || !is_fresh(&known.bundles, &it.bundle, now)
            };
            subjects.iter().filter(lacks).copied().collect()
        })
    }

    /// What the job was when it was measured last; `None` = it never was.
    pub fn job(&self, id: JobId) -> Option<Sizes> {
        self.with(|known| known.jobs.get(&id).map(|it| it.value))
    }

    /// Files of it were removed.
    pub fn forget(&self, id: JobId) {
        self.with(|known| known.jobs.remove(&id));
    }

    pub fn bundle(&self, id: BundleId) -> Option<u64> {
        self.with(|known| known.bundles.get(&id).map(|it| it.value))
    }

    /// Measures those that nobody has measured meanwhile. One that cannot be measured keeps no other from it. Blocks.
    pub fn measure(
        &self,
        subjects: &[Subject],
        (archive, bundles): (&Archive, &Bundles),
        stop: &dyn Fn() -> bool,
    ) {
        for Subject { job, bundle, is_settled } in subjects {
            if stop() {
                return;
            }
            let now = Instant::now();
            if !self.with(|known| is_fresh(&known.jobs, job, now)) {
                match Sizes::of(&archive.job(*job), stop) {
                    Ok(value) => {
                        let until = now + if *is_settled { FOR_LONG } else { BRIEFLY };
                        self.with(|known| known.jobs.insert(*job, Entry { value, until }));
                    }
                    Err(_) if stop() => return,
                    Err(error) => {
                        tracing::warn!(job.id = %job, "could not measure the files of job {job}: {error}");
                    }
                }
            }
            if !self.with(|known| is_fresh(&known.bundles, bundle, now)) {
                match bundles.bytes(*bundle) {
                    Ok(value) => {
                        let until = now + FOR_LONG;
                        self.with(|known| known.bundles.insert(*bundle, Entry { value, until }));
                    }
                    Err(error) => tracing::warn!("{}", Chain(&error)),
                }
            }
        }
    }

    fn with<T>(&self, what: impl FnOnce(&mut Known) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn is_fresh<K: Hash + Eq, T>(entries: &HashMap<K, Entry<T>>, key: &K, now: Instant) -> bool {
    entries.get(key).is_some_and(|it| now < it.until)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_job_that_is_settled_is_walked_once_and_one_that_goes_on_soon_again() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::new(dir.path().to_owned());
        let bundles = Bundles::open(dir.path(), 1000).unwrap();
        let subject = |number, is_settled| Subject {
            job: JobId::from_random([number; 16]),
            bundle: BundleId::from_sha256([1; 32]),
            is_settled,
        };
        let (old, new) = (subject(1, true), subject(2, false));
        let write = |bytes: usize| {
            for it in [old, new] {
                fs::create_dir_all(archive.job(it.job).join("outputs")).unwrap();
                fs::write(archive.job(it.job).join("outputs/x"), "x".repeat(bytes)).unwrap();
            }
        };
        let measured = Measured::default();
        let both = [old, new];
        let lacking = |measured: &Measured, later: Duration| -> Vec<JobId> {
            let lacking = measured.lacking(&both, Instant::now() + later);
            lacking.into_iter().map(|it| it.job).collect()
        };
        assert_eq!(lacking(&measured, Duration::ZERO), [old.job, new.job]);
        write(10);
        measured.measure(&both, (&archive, &bundles), &|| true);
        assert_eq!(measured.job(old.job), None, "it goes on while the master ends");
        measured.measure(&both, (&archive, &bundles), &|| false);
        write(20);
        // Whoever waited for its turn measures nothing again.
        measured.measure(&both[..1], (&archive, &bundles), &|| false);
        assert_eq!(measured.job(old.job).unwrap().outputs, 10);
        assert_eq!(measured.bundle(old.bundle), Some(0));
        assert_eq!(lacking(&measured, BRIEFLY), [new.job]);
        assert_eq!(lacking(&measured, FOR_LONG), [old.job, new.job]);
        assert_eq!(measured.job(new.job), None, "what nobody asks for is held for ever");
        assert_eq!(measured.job(old.job).unwrap().outputs, 10);
    }
}
