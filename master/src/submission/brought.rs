//! A job's spec that comes whole, from another cluster: whether it could have been submitted here. It may be run again.

use std::collections::BTreeMap;

use atlas_core::spec::{Git, GitDiff, Outputs, Worker};
use atlas_core::{Demand, JobSpec};
use atlas_proto::wire;

use super::asked::Asked;
use super::quantity::{LONGEST, MOST_BYTES};
use super::{BUNDLE_FILES, Given, Invalid, asked, git, params, secrets, text, volume, words};

/// Every field, named as in the JSON of the spec.
pub fn check(spec: &JobSpec) -> Result<(), Invalid> {
    let JobSpec { project: _, user, name, tags, note, bundle, command, entrypoint, .. } = spec;
    text::name(&given("spec.user", user))?;
    name.iter().try_for_each(|it| text::name(&given("spec.name", it)).map(drop))?;
    text::note(&given("spec.note", note))?;
    for tag in pairs("spec.tags", tags) {
        text::tag(&tag)?;
    }
    if tags.len() > asked::TAGS {
        return Err(Invalid::new("spec.tags", format!("are more than {}", asked::TAGS)));
    }
    if bundle.files > BUNDLE_FILES {
        return Err(Invalid::new("spec.bundle.files", format!("are more than {BUNDLE_FILES}")));
    }
    // A run outside the scheduler has no command that is Atlas's to run.
    words::check(&Given::new("spec.command", command.clone()))?;
    if let Some(entrypoint) = entrypoint {
        words::check(&Given::new("spec.entrypoint", entrypoint.clone()))?;
    }
    if let Some(params) = &spec.params {
        same("spec.params", params, params::check)?;
    }
    quantities(spec)?;
    worker(&spec.worker)?;
    outputs(&spec.outputs)?;
    if let Some(outside) = &spec.outside {
        text::name(&given("spec.outside.host", &outside.host))?;
    }
    spec.git.as_ref().map_or(Ok(()), repository)
}

/// Sums of them have to fit wherever they are made.
fn quantities(spec: &JobSpec) -> Result<(), Invalid> {
    let Demand { gpus: _, cpu_milli, memory } = spec.demand;
    for (field, number, most) in [
        ("spec.demand.cpu_milli", cpu_milli, MOST_BYTES),
        ("spec.demand.memory", memory, MOST_BYTES),
        ("spec.shm", spec.shm.unwrap_or_default(), MOST_BYTES),
        ("spec.outputs.max_bytes", spec.outputs.max_bytes.unwrap_or_default(), MOST_BYTES),
        ("spec.time_limit", spec.time_limit.map_or(0, |it| it.0), LONGEST.0),
    ] {
        if number > most {
            return Err(Invalid::new(field, format!("is {number}; {most} is the most")));
        }
    }
    Ok(())
}

fn worker(worker: &Worker) -> Result<(), Invalid> {
    let Worker { image, pull: _, env, volumes, python, working_dir, secrets: names } = worker;
    if let Some(image) = image {
        same("spec.worker.image", image, text::image)?;
    }
    if let Some(python) = python {
        text::bounded(&given("spec.worker.python", python), 4095)?;
    }
    if let Some(path) = working_dir {
        same("spec.worker.working_dir", path, volume::path)?;
    }
    let env = pairs("spec.worker.env", env);
    let of_secrets: Vec<_> = names.keys().map(|it| given("spec.worker.secrets", it)).collect();
    secrets::names(&of_secrets, &env)?;
    // What a submission says of them goes the way of a submission, that its limits hold.
    let asked = volumes.iter().map(|it| {
        let mode = it.read_only.then(|| "ro".to_owned());
        let (host, bind) = (it.host.clone(), it.bind.clone());
        Given::new("spec.worker.volumes", volume::Asked { host, bind, mode })
    });
    let asked = Asked { env, volumes: asked.collect(), ..Asked::default() };
    let built = asked.worker()?;
    if built.volumes == *volumes {
        Ok(())
    } else {
        Err(Invalid::new("spec.worker.volumes", "are no plain paths"))
    }
}

fn outputs(outputs: &Outputs) -> Result<(), Invalid> {
    let exclude = outputs.exclude.iter().map(|it| given("spec.outputs.exclude", it)).collect();
    Asked { exclude, ..Asked::default() }.outputs().map(drop)
}

fn repository(of: &Git) -> Result<(), Invalid> {
    let Git { commit, branch, dirty, diff } = of.clone();
    if let Some(GitDiff { sha256, .. }) = &diff
        && sha256.parse::<atlas_core::BundleId>().is_err()
    {
        return Err(Invalid::new("spec.git.diff.sha256", "is not 64 lower-case hex digits"));
    }
    let checked = git(wire::Git { commit, branch, dirty, diff: None });
    checked.map(drop).map_err(|Invalid { field, why }| Invalid::new(format!("spec.{field}"), why))
}

fn given(field: &str, text: &str) -> Given<String> {
    Given::new(field, text.to_owned())
}

/// A text that is kept in its plain form has to have it.
fn same(
    field: &str,
    text: &str,
    check: fn(&Given<String>) -> Result<String, Invalid>,
) -> Result<(), Invalid> {
    if check(&given(field, text))? == text {
        Ok(())
    } else {
        Err(Invalid::new(field, "is not in its plain form"))
    }
}

fn pairs(field: &str, map: &BTreeMap<String, String>) -> Vec<Given<(String, String)>> {
    map.iter().map(|(key, value)| Given::new(field, (key.clone(), value.clone()))).collect()
}
