//! What jobs occupy on the shared storage, by project, by user, or by job.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use atlas_core::{JobState, JobStatus, Phase, Timestamp};

use super::{Error, Listing, Service};
use crate::archive::sizes::Sizes;
use crate::reactor::now;
use crate::runs::index::Columns;
use crate::store::StoredJob;
use crate::usage::{Measured, Subject};

/// How long an answer waits for what has to be measured first. The rest is measured all the same, for whoever asks next.
const PATIENCE: Duration = Duration::from_secs(10);
/// So long after its end nothing of a job is still being compacted.
const SETTLED: u64 = 10 * 60 * 1000;
/// Jobs that are read from the store at a time.
const BATCH: usize = 500;
/// The most groups of an answer, and how many it has if nobody says.
const MOST: usize = 1000;
const USUAL: usize = 100;

/// What jobs are summed up by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    #[default]
    Project,
    User,
    Job,
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub by: By,
    /// As in [`Listing`].
    pub filter: String,
    /// Of jobs alone that have ended.
    pub ended: bool,
    /// 0 = the usual number of groups.
    pub limit: usize,
}

#[derive(Debug)]
pub struct Usage {
    /// The largest first.
    pub groups: Vec<Group>,
    /// So many are left out, but not of the total.
    pub more: usize,
    pub total: Group,
}

/// Jobs, and what they occupy together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Of the project or the user, or the job's id; empty = all of them.
    pub name: String,
    pub jobs: u64,
    /// Of so many jobs it is not known yet, and nothing of them is in the sums.
    pub unmeasured: u64,
    pub files: Sizes,
    /// Compressed; one that several of these jobs were submitted with counts once.
    pub bundles: u64,
}

/// A job, and the group that it is in.
#[derive(Clone, Copy)]
struct Member {
    group: usize,
    subject: Subject,
}

/// The jobs that were found, and the names of their groups.
#[derive(Default)]
struct Members {
    names: Vec<String>,
    all: Vec<Member>,
}

impl By {
    /// Of the words that people use.
    pub fn parse(word: &str) -> Result<Self, Error> {
        match word {
            "" | "project" => Ok(Self::Project),
            "user" => Ok(Self::User),
            "job" => Ok(Self::Job),
            _ => Err(Error::invalid("by", format!("{word:?} is none of project, user, job"))),
        }
    }

    fn name(self, job: &StoredJob) -> String {
        match self {
            Self::Project => job.spec.project.to_string(),
            Self::User => job.spec.user.to_string(),
            Self::Job => job.id.to_string(),
        }
    }
}

impl Service {
    /// Waits for a while for what was not measured lately, and says of how many jobs it did not wait any longer.
    pub async fn usage(&self, wanted: &Wanted) -> Result<Usage, Error> {
        let members = self.members(wanted).await?;
        let subjects: Vec<Subject> = members.all.iter().map(|it| it.subject).collect();
        self.measure_lacking(&subjects).await?;
        let limit = if wanted.limit == 0 { USUAL } else { wanted.limit.min(MOST) };
        Ok(members.sum(&self.measured, limit))
    }

    async fn members(&self, wanted: &Wanted) -> Result<Members, Error> {
        let Wanted { by, filter, ended, limit: _ } = wanted;
        let query = Listing { filter: filter.clone(), ..Listing::default() }.query()?;
        let none = Columns::These(Vec::new());
        let wall = now().wall;
        let (found, _) = self.runs.find(query, None, usize::MAX, wall, none).await?;
        let (mut members, mut groups) = (Members::default(), HashMap::new());
        for ids in found.ids.chunks(BATCH) {
            for job in self.store.jobs_of(ids).await? {
                if *ended && job.status.phase() != Phase::Done {
                    continue;
                }
                let name = by.name(&job);
                let group = *groups.entry(name).or_insert_with_key(|name| {
                    members.names.push(name.clone());
                    members.names.len() - 1
                });
                members.all.push(Member { group, subject: Subject::of(&job, wall) });
            }
        }
        Ok(members)
    }

    pub(super) async fn measure_lacking(&self, subjects: &[Subject]) -> Result<(), Error> {
        let lacking = self.measured.lacking(subjects, Instant::now());
        if lacking.is_empty() {
            return Ok(());
        }
        let (measured, archive) = (self.measured.clone(), self.archive.clone());
        let (bundles, token) = (self.bundles.clone(), self.tasks.token().clone());
        let work = self.storage.measuring.run(move || {
            measured.measure(&lacking, (&archive, &bundles), &|| token.is_cancelled());
        });
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(done) => done.map_err(|it| Error::Unavailable(it.to_string())),
            // It goes on, or somebody else's does.
            Err(_) => Ok(()),
        }
    }
}

impl Subject {
    pub(super) fn of(job: &StoredJob, now: Timestamp) -> Self {
        let (bundle, is_settled) = (job.spec.bundle.id, is_settled(&job.status, now));
        Self { job: job.id, bundle, is_settled }
    }
}

fn is_settled(status: &JobStatus, now: Timestamp) -> bool {
    matches!(&status.state, JobState::Done { end, .. } if end.at.0.saturating_add(SETTLED) < now.0)
}

impl Members {
    fn sum(mut self, measured: &Measured, limit: usize) -> Usage {
        let mut groups: Vec<Group> =
            self.names.into_iter().map(|name| Group { name, ..Group::default() }).collect();
        let mut total = Group::default();
        // Equal bundles of a group stand beside each other.
        self.all.sort_unstable_by_key(|it| (it.group, it.subject.bundle));
        let (mut last, mut seen) = (None, HashSet::new());
        for Member { group: number, subject } in self.all {
            let Subject { job, bundle, is_settled: _ } = subject;
            let group = &mut groups[number];
            let files = measured.job(job);
            group.take(files);
            total.take(files);
            let bytes = measured.bundle(bundle).unwrap_or_default();
            if last.replace((number, bundle)) != Some((number, bundle)) {
                group.bundles = group.bundles.saturating_add(bytes);
            }
            if seen.insert(bundle) {
                total.bundles = total.bundles.saturating_add(bytes);
            }
        }
        groups.sort_by(|one, other| {
            other.bytes().cmp(&one.bytes()).then_with(|| one.name.cmp(&other.name))
        });
        let more = groups.len().saturating_sub(limit);
        groups.truncate(limit);
        Usage { groups, more, total }
    }
}

impl Group {
    /// Everything together.
    pub fn bytes(&self) -> u64 {
        self.files.total().saturating_add(self.bundles)
    }

    fn take(&mut self, files: Option<Sizes>) {
        self.jobs += 1;
        match files {
            Some(files) => self.files.add(&files),
            None => self.unmeasured += 1,
        }
    }
}
