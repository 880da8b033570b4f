//! A job as users see it.

use atlas_core::job::{Archive, Imported, JobState, Removal, Remover, Written};
use atlas_core::spec::is_secret_name;
use atlas_core::{JobId, JobSpec, JobStatus, Outcome};

use crate::wire;

/// What stands in place of a value that looks like a secret.
const MASK: &str = "***";

/// The job, with values of environment that look like secrets masked, and of its secrets the names.
pub fn job_view(id: JobId, spec: &JobSpec, status: &JobStatus) -> wire::Job {
    let end = status.state.end();
    let (cause, detail) = match end.map(|it| &it.outcome) {
        Some(Outcome::Failed { cause, detail }) => (Some(cause.into()), detail.clone()),
        Some(Outcome::Completed) | None => (None, String::new()),
    };
    let placement = status.state.placement();
    let (node, left_behind) = match &status.state {
        JobState::Done { node, archive, .. } => (node.as_ref(), left_behind(archive)),
        _ => (placement.map(|it| &it.node), String::new()),
    };
    wire::Job {
        id: id.to_string(),
        spec: Some(masked(spec)),
        status: status.status().word().into(),
        phase: status.phase().word().into(),
        cause,
        detail,
        submitted_ms: status.submitted.0,
        started_ms: status.state.started().map(|it| it.0),
        ended_ms: end.map(|it| it.at.0),
        position: status.position.0,
        attempt: status.attempt.0,
        node: node.map(ToString::to_string),
        gpus: placement
            .map(|it| it.gpus.iter().map(ToString::to_string).collect())
            .unwrap_or_default(),
        log_bytes: end.map(|it| it.log_length),
        left_behind,
        image_digest: status.image.clone(),
        columns: Default::default(),
        removal: removal(&status.state),
        imported: status.imported.as_deref().map(|Imported { from, at, by }| wire::Imported {
            from: from.to_string(),
            at_ms: at.0,
            by: by.clone(),
        }),
        excluded: status
            .state
            .excluded()
            .iter()
            .map(|it| (it.node.to_string(), it.reason.clone()))
            .collect(),
    }
}

fn removal(state: &JobState) -> Option<wire::Removal> {
    let goes_on = matches!(state, JobState::Done { written: Written::Removing(_), .. });
    let Removal { by, at, bytes } = state.removal()?.clone();
    let by = match by {
        Remover::User(name) => wire::removal::By::User(name),
        Remover::Retention(rule) => wire::removal::By::Retention(rule),
    };
    Some(wire::Removal { by: Some(by), at_ms: at.0, bytes, goes_on })
}

fn masked(spec: &JobSpec) -> wire::JobSpec {
    let mut spec = wire::JobSpec::from(spec);
    if let Some(worker) = &mut spec.worker {
        for (_, value) in worker.env.iter_mut().filter(|(name, _)| is_secret_name(name)) {
            *value = MASK.into();
        }
        // A digest is the master's own way to know a value again.
        worker.secrets.values_mut().for_each(|digest| *digest = MASK.into());
    }
    spec
}

fn left_behind(archive: &Archive) -> String {
    match archive {
        Archive::Incomplete { reason } => reason.clone(),
        Archive::BundleOnly | Archive::Complete => String::new(),
    }
}
