//! A job again: everything that was said of it, but for what the caller changes.

use atlas_core::spec::{Digest, JobSpec, Rerun, Worker};
use atlas_core::{Identity, JobId};
use atlas_proto::wire;
use atlas_runtime::config::Secret;

use super::{Built, Given, Invalid, params, parse, quantity, secrets, text};

/// Checks everything but whether the values of all secrets came, and whether what it needs of the job is there: its `git.diff` too.
pub fn rerun(
    of: JobId,
    spec: &JobSpec,
    request: wire::RerunRequest,
    who: &Identity,
) -> Result<Built, Invalid> {
    let wire::RerunRequest { id, job: _, params_json, secrets, resume, time_limit } = request;
    secrets::check(&secrets)?;
    if let Some(name) = secrets.keys().find(|it| !spec.worker.secrets.contains_key(*it)) {
        let shown = super::given::shown(name);
        return Err(Invalid::new("secrets", format!("job {of} has no secret {shown}")));
    }
    let names = spec.worker.secrets.keys();
    let worker = Worker {
        secrets: names.map(|it| (it.clone(), Digest::default())).collect(),
        ..spec.worker.clone()
    };
    let params = match params_json {
        Some(given) => Some(params::over(spec.params.as_deref(), &Given::new("params", given))?),
        None => spec.params.clone(),
    };
    let time_limit = match time_limit {
        Some(given) => Some(quantity::time_limit(&Given::new("time_limit", given))?),
        None => spec.time_limit,
    };
    let spec = JobSpec {
        user: text::name(&Given::new("user", who.user.clone()))?,
        worker,
        params,
        time_limit,
        rerun: Some(Rerun { of, resume }),
        traceparent: None,
        ..spec.clone()
    };
    let id = parse(&Given::new("id", id))?;
    Ok(Built { id, spec, secrets: Secret::new(secrets), diff: None, notices: Vec::new() })
}
