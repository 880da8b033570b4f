//! Runs outside the scheduler: a script on somebody's own machine is a job that only tells of itself.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use atlas_core::access::{Verb, allow};
use atlas_core::agent::{Exit, ExitKind};
use atlas_core::cluster::Input;
use atlas_core::log_index::{Entry, RECORD};
use atlas_core::spec::Outside;
use atlas_core::{Attempt, Identity, JobId, JobState, Timestamp};
use atlas_proto::wire;
use atlas_runtime::storage::log;
use bytes::Bytes;

use super::incoming::ARTIFACTS;
use super::submit::invalid;
use super::{Error, Service, Submitted};
use crate::archive::tree;
use crate::reactor;
use crate::store::StoredJob;
use crate::submission;
use crate::tracker::{Files, Piece, WANTED};

/// There are no others of such a run.
const ATTEMPT: Attempt = Attempt(1);

/// How far something of a run came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Bytes that are there.
    pub length: u64,
    /// Somebody has asked it to stop.
    pub stop: bool,
}

/// What became of artifacts that were wanted.
#[derive(Clone, Debug, Default)]
pub struct Brought {
    pub kept: Vec<String>,
    /// And why.
    pub missing: Option<(String, String)>,
}

/// How a run ended, as it says itself.
#[derive(Clone, Debug)]
pub struct Ended {
    pub kind: ExitKind,
    /// It was asked to, and passed that on.
    pub stopped: bool,
    pub at: Timestamp,
    pub log_length: u64,
    pub spool_length: u64,
    /// One line for people.
    pub detail: String,
}

impl Service {
    /// A run that has begun. The same id and content again is the same run.
    pub async fn begin_run(
        &self,
        who: &Identity,
        request: wire::SubmitRequest,
        outside: Outside,
    ) -> Result<Submitted, Error> {
        allow(who, Verb::Submit)?;
        let mut built = submission::build(request, who).map_err(invalid)?;
        if !built.spec.worker.secrets.is_empty() {
            let why = "a run outside the scheduler has the environment that it was started in";
            return Err(Error::invalid("secrets", why));
        }
        built.spec.outside = Some(submission::outside(outside).map_err(invalid)?);
        let submitted = self.take(built, None).await?;
        if let JobState::Outside { .. } = submitted.job.status.state {
            // Nobody deletes a run that goes on. Who got no answer begins it again.
            let path = self.archive.job(submitted.job.id);
            let make = move || std::fs::create_dir_all(path);
            self.run_append("make the run's folder", make).await?;
        }
        Ok(submitted)
    }

    /// Appends to the log of a run that has not ended.
    pub async fn append_run_log(
        &self,
        who: &Identity,
        run: &str,
        offset: u64,
        data: Bytes,
    ) -> Result<Heard, Error> {
        let (id, stop) = self.heard(who, run).await?;
        let path = self.archive.log(id, ATTEMPT);
        let append = move || append_with_time(&path, offset, &data);
        let length = self.run_append("append to the log", append).await?;
        self.feed.tell(id);
        Ok(Heard { length, stop })
    }

    /// Takes in a piece of what a run tells of itself, which survives any death then.
    pub async fn append_run_spool(
        &self,
        who: &Identity,
        run: &str,
        offset: u64,
        data: Bytes,
        last: bool,
        brought: Option<Brought>,
    ) -> Result<(Heard, Vec<String>), Error> {
        let (job, stop) = self.heard(who, run).await?;
        let files = match brought {
            Some(brought) => Some(self.files_of_run(job, brought).await?),
            None => None,
        };
        let piece = Piece { job, attempt: ATTEMPT, offset, data, last, files };
        let taken = self.take_in(piece).await?;
        Ok((Heard { length: taken.length, stop }, taken.wanted))
    }

    /// What is there is seen, and not believed.
    async fn files_of_run(&self, job: JobId, brought: Brought) -> Result<Files, Error> {
        let Brought { kept, missing } = brought;
        if kept.len() > WANTED {
            let why = format!("names more than {WANTED} paths");
            return Err(Error::invalid("kept", why));
        }
        let there = self.archive.job(job).join(ARTIFACTS);
        let look = move || {
            let mut found = BTreeSet::new();
            for path in kept {
                match tree::look(&there, Path::new(&path)) {
                    Ok(None) => {}
                    Ok(Some(_)) => drop(found.insert(path)),
                    // Nothing was saved yet, or a path that leads elsewhere was named.
                    Err(error) if is_none(&error) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(found)
        };
        let look = self.storage.looks.run(look).await;
        let look = look.map_err(|it| Error::Unavailable(it.to_string()))?;
        let kept = look.map_err(Error::io("look for the artifacts of the run"))?;
        Ok(Files { kept, missing: missing.into_iter().collect() })
    }

    /// It has ended; what it announces has come before.
    pub async fn end_run(
        &self,
        who: &Identity,
        run: &str,
        ended: Ended,
    ) -> Result<StoredJob, Error> {
        let (id, _) = self.heard(who, run).await?;
        let Ended { kind, stopped, at, log_length, spool_length, detail } = ended;
        let (text, top) = (self.archive.log(id, ATTEMPT), self.archive.jobs());
        let there = self
            .run_append("sync the log", move || {
                if log_length > 0 {
                    log::sync(&top, text.clone(), text.with_extension("idx"))?;
                }
                Ok(std::fs::metadata(&text).map_or(0, |it| it.len()))
            })
            .await?;
        if there != log_length {
            let why = format!("the log has {there} bytes here; send the rest before the end");
            return Err(Error::invalid("log_bytes", why));
        }
        let told = self.store.run(id).await?.map_or(0, |it| it.offset(ATTEMPT));
        if told != spool_length {
            let why = format!("{told} bytes of the spool are here; send the rest before the end");
            return Err(Error::invalid("spool_bytes", why));
        }
        let at = at.min(reactor::now().wall);
        let exit = Exit { kind, stopped, at, started: None, log_length, spool_length, detail };
        self.reactor.ask_for(Input::EndOutside { job: id, exit }).await?;
        self.find(run).await
    }

    /// The run, which is there as of now, and whether it is to stop.
    pub(super) async fn heard(&self, who: &Identity, run: &str) -> Result<(JobId, bool), Error> {
        allow(who, Verb::Change)?;
        let StoredJob { id, status, .. } = self.find(run).await?;
        let JobState::Outside { stop, .. } = status.state else {
            return Err(Error::NotOutside(id));
        };
        self.reactor.ask_for(Input::Heard { job: id }).await?;
        Ok((id, stop.is_some()))
    }

    async fn run_append<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        super::shipping::run(&self.storage.appends, what, work).await
    }
}

fn is_none(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput)
}

/// The bytes that are there then; of those that are new the index says when they came.
fn append_with_time(path: &Path, offset: u64, data: &[u8]) -> std::io::Result<u64> {
    let before = log::append(path, 0, &[])?;
    let there = log::append(path, offset, data)?;
    if there > before {
        let index = path.with_extension("idx");
        let entries = log::append(&index, 0, &[])?;
        let entry = Entry { at_ms: reactor::now().wall.0, offset: before };
        // Half an entry, of a death in between, would shift those behind it.
        log::append(&index, entries - entries % RECORD as u64, &entry.encode())?;
    }
    Ok(there)
}
