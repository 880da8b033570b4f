//! Submission: valid, allowed, its bundle there, and only then a job.

use std::sync::Arc;

use atlas_core::access::{Verb, allow};
use atlas_core::cluster::{Input, NodeView};
use atlas_core::node::ExecutorKind;
use atlas_core::spec::{Bundle, Sealed};
use atlas_core::{Identity, JobId, JobSpec, Phase, Record};
use atlas_proto::wire;
use futures::future::{self, Either};
use futures::stream::{self, StreamExt};

use super::{Error, Service};
use crate::bundles::Measure;
use crate::store::StoredJob;
use crate::submission::diff::Changes;
use crate::submission::{self, Built, Invalid};

/// Jobs of a batch that are looked up in the store at once.
const LOOKED_UP: usize = 32;
/// And those whose `git.diff` is kept at once: more take a turn of the storage for long.
const KEPT: usize = 1000;

/// A job that is in the queue or further.
pub struct Submitted {
    pub job: StoredJob,
    /// False: it was there already, with the same content.
    pub created: bool,
    pub notices: Vec<String>,
}

/// A request that holds.
enum Checked {
    Known(Box<Submitted>),
    New { id: JobId, spec: Arc<JobSpec>, sealed: Sealed, notices: Vec<String> },
}

impl Checked {
    /// The job that is to enter the queue.
    fn new_job(&self) -> Option<JobId> {
        match self {
            Self::Known(_) => None,
            Self::New { id, .. } => Some(*id),
        }
    }
}

impl Service {
    pub async fn submit(
        &self,
        who: &Identity,
        request: wire::SubmitRequest,
        traceparent: Option<String>,
    ) -> Result<Submitted, Error> {
        allow(who, Verb::Submit)?;
        let built = submission::build(request, who);
        self.take(built.map_err(invalid)?, traceparent).await
    }

    /// One after the other into the queue, in this order; what is wrong with one keeps no other. `git_diff` is of all of them.
    pub async fn submit_all(
        &self,
        who: &Identity,
        requests: impl Iterator<Item = wire::SubmitRequest> + Send,
        git_diff: Option<String>,
        traceparent: Option<&str>,
    ) -> Result<Vec<Result<Submitted, Error>>, Error> {
        allow(who, Verb::Submit)?;
        let changes = git_diff.map(Changes::read).transpose().map_err(invalid)?.flatten();
        let check = async |request| {
            let mut built = submission::build(request, who).map_err(invalid)?;
            if let Some(changes) = &changes {
                changes.belong_to(&mut built.spec).map_err(invalid)?;
            }
            self.check(built, traceparent.map(ToOwned::to_owned)).await
        };
        let at_once = if changes.is_some() { KEPT } else { 1 };
        let checks = stream::iter(requests).map(check).buffered(LOOKED_UP).chunks(at_once);
        let mut checks = std::pin::pin!(checks);
        let mut entered = Vec::new();
        while let Some(some) = checks.next().await {
            let kept = match &changes {
                Some(changes) => self.keep_for_all(&some, changes).await,
                None => Ok(()),
            };
            for checked in some {
                entered.push(match (checked, &kept) {
                    (Ok(Checked::New { .. }), Err(why)) => Err(Error::Unavailable(why.clone())),
                    (Ok(checked), _) => self.enter(checked).await,
                    (Err(error), _) => Err(error),
                });
            }
        }
        let mut fates = Vec::with_capacity(entered.len());
        for answer in entered {
            fates.push(match answer {
                Ok(answer) => answer.await,
                Err(error) => Err(error),
            });
        }
        Ok(fates)
    }

    /// A job again, as a new one.
    pub async fn rerun(
        &self,
        who: &Identity,
        request: wire::RerunRequest,
        traceparent: Option<String>,
    ) -> Result<Submitted, Error> {
        allow(who, Verb::Submit)?;
        let job = self.find(&request.job).await?;
        if request.resume {
            self.refuse_without_checkpoints(&job).await?;
        }
        let mut built = submission::rerun(job.id, &job.spec, request, who).map_err(invalid)?;
        if let Some(git) = &mut built.spec.git
            && let Some(diff) = git.diff.take()
        {
            built.diff = self.kept_changes(job.id, diff.clone()).await?;
            git.diff = built.diff.is_some().then_some(diff);
        }
        match self.take(built, traceparent).await {
            Err(Error::NoBundle(_)) => Err(Error::BundleGone(job.id)),
            taken => taken,
        }
    }

    /// Nothing else would be different from a run without `--resume`.
    async fn refuse_without_checkpoints(&self, job: &StoredJob) -> Result<(), Error> {
        let (id, phase) = (job.id, job.status.phase());
        if phase != Phase::Done {
            let why = format!(
                "job {id} is {}: its checkpoints are all there when it is done; wait for that, or stop it",
                phase.word()
            );
            return Err(Error::invalid("resume", why));
        }
        if let Some(removal) = job.status.state.removal() {
            let why = format!("{}: rerun it without", Error::removed(id, removal));
            return Err(Error::invalid("--resume", why));
        }
        if self.kept_checkpoints(id).await?.1.is_empty() {
            return Err(Error::invalid("resume", format!("job {id} kept no checkpoints")));
        }
        Ok(())
    }

    pub(super) async fn take(
        &self,
        mut built: Built,
        traceparent: Option<String>,
    ) -> Result<Submitted, Error> {
        let diff = built.diff.take();
        let checked = self.check(built, traceparent).await?;
        if let Some(text) = diff
            && let Some(job) = checked.new_job()
        {
            self.keep_changes(&[job], text).await?;
        }
        self.enter(checked).await?.await
    }

    /// Or says why not.
    async fn keep_for_all(
        &self,
        checked: &[Result<Checked, Error>],
        changes: &Changes,
    ) -> Result<(), String> {
        let jobs: Vec<JobId> = checked.iter().flatten().filter_map(Checked::new_job).collect();
        if jobs.is_empty() {
            return Ok(());
        }
        let kept = self.keep_changes(&jobs, changes.text().to_owned()).await;
        kept.map_err(|it| it.to_string())
    }

    /// What of its `git.diff` the spec says is kept by the caller.
    async fn check(&self, built: Built, traceparent: Option<String>) -> Result<Checked, Error> {
        let Built { id, mut spec, secrets, diff: _, mut notices } = built;
        spec.traceparent = traceparent;
        let wanted: Vec<&String> =
            spec.worker.secrets.keys().filter(|it| !secrets.expose().contains_key(*it)).collect();
        if !wanted.is_empty() {
            return Err(Error::SecretsWanted(wanted.into_iter().cloned().collect()));
        }
        let (digests, sealed) = self.keys.seals.seal(id, secrets.expose());
        spec.worker.secrets = digests;
        notices.extend(self.image_in_vain(&spec).await?);
        if let Some(job) = self.store.job(id).await.map_err(Error::unchanged)? {
            return same(job, &spec, notices).map(|it| Checked::Known(Box::new(it)));
        }
        let spec = Arc::new(spec);
        let Some(measure) = self.measure(spec.bundle.id).await? else {
            // Gigabytes may be about to travel.
            if spec.outside.is_none() {
                self.reactor.could_run(spec.clone()).await?;
            }
            return Err(Error::NoBundle(spec.bundle.id));
        };
        is_as_declared(&spec.bundle, measure)?;
        Ok(Checked::New { id, spec, sealed, notices })
    }

    /// Into the queue, behind what entered before; then its answer.
    async fn enter(
        &self,
        checked: Checked,
    ) -> Result<impl Future<Output = Result<Submitted, Error>>, Error> {
        match checked {
            Checked::Known(submitted) => Ok(Either::Left(future::ready(Ok(*submitted)))),
            Checked::New { id, spec, sealed, notices } => {
                let has_diff = spec.git.as_ref().is_some_and(|it| it.diff.is_some());
                let input = match spec.outside {
                    None => Input::Submit { id, spec: spec.clone(), sealed },
                    Some(_) => Input::Begin { id, spec: spec.clone() },
                };
                let answer = match self.reactor.hand_in(input).await {
                    Ok(answer) => answer,
                    Err(error) => return Err(self.refused(id, has_diff, error.into()).await),
                };
                Ok(Either::Right(async move {
                    match answer.await {
                        Ok(records) => self.entered(id, spec, notices, &records).await,
                        Err(error) => Err(self.refused(id, has_diff, error.into()).await),
                    }
                }))
            }
        }
    }

    /// Takes back what was kept for a job that was surely not taken.
    async fn refused(&self, id: JobId, has_diff: bool, error: Error) -> Error {
        if has_diff && matches!(error, Error::Rejected(_) | Error::StoreAway(_)) {
            self.forget_changes(id).await;
        }
        error
    }

    async fn entered(
        &self,
        id: JobId,
        spec: Arc<JobSpec>,
        notices: Vec<String>,
        records: &[Record],
    ) -> Result<Submitted, Error> {
        match last_status(records, id) {
            Some(status) => Ok(Submitted {
                job: StoredJob { id, spec, status: status.clone() },
                created: true,
                notices,
            }),
            // Sent twice at the same time: the other one made it.
            None => {
                let job = self.store.job(id).await?.ok_or_else(|| Error::NoJob(id.to_string()))?;
                same(job, &spec, notices)
            }
        }
    }
}

/// Nodes unpack no more than was declared, so it has to be the truth.
pub(super) fn is_as_declared(bundle: &Bundle, measure: Measure) -> Result<(), Error> {
    let Bundle { id: _, tar_size, files } = bundle;
    for (field, declared, measured) in [
        ("bundle.tar_bytes", *tar_size, measure.tar_bytes),
        ("bundle.files", *files, measure.files),
    ] {
        if declared != measured {
            let why =
                format!("it says {declared}, but the bundle that was uploaded has {measured}");
            return Err(Error::invalid(field, why));
        }
    }
    Ok(())
}

impl Service {
    /// An image means nothing where every node runs jobs as processes. Each says so in the job's log too.
    async fn image_in_vain(&self, spec: &JobSpec) -> Result<Option<String>, Error> {
        let Some(image) = &spec.worker.image else { return Ok(None) };
        let nodes = self.reactor.nodes().await?;
        let docker = |it: &NodeView| it.record.spec.executor == ExecutorKind::Docker;
        let in_vain = !nodes.is_empty() && !nodes.iter().any(docker);
        Ok(in_vain.then(|| {
            format!(
                "image {image} will not be used: no node of this cluster runs jobs in containers"
            )
        }))
    }
}

/// The same id again: the same job, if it is the same content.
fn same(job: StoredJob, spec: &JobSpec, notices: Vec<String>) -> Result<Submitted, Error> {
    if !job.spec.same_job(spec) {
        return Err(Error::SpecDiffers(job.id));
    }
    Ok(Submitted { job, created: false, notices })
}

pub(super) fn invalid(invalid: Invalid) -> Error {
    Error::invalid(invalid.field, invalid.why)
}

fn last_status(records: &[Record], id: JobId) -> Option<&atlas_core::JobStatus> {
    records.iter().rev().find_map(|record| match record {
        Record::JobQueued { id: of, status, .. } | Record::JobChanged { id: of, status, .. }
            if *of == id =>
        {
            Some(status)
        }
        _ => None,
    })
}
