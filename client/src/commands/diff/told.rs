//! What of a job is compared, as texts by name.

use std::collections::BTreeMap;

use atlas_core::run::Value;

use crate::output;
use crate::views::{JobView, RunView, value_text, within};

type Texts = BTreeMap<String, String>;

/// What was asked for, where it ran and how it ended.
pub fn of_job(job: &JobView, run: &RunView) -> Texts {
    let git = job.git.as_ref();
    let named = [
        ("project", Some(job.project.clone())),
        ("name", job.name.clone()),
        ("user", Some(job.user.clone())),
        ("status", Some(job.status.clone())),
        ("cause", job.cause.clone()),
        ("command", Some(job.command.join(" "))),
        ("entrypoint", job.entrypoint.as_ref().map(|it| it.join(" "))),
        ("image", job.image.clone()),
        ("image digest", job.image_digest.clone()),
        ("GPUs", Some(job.num_gpus.to_string())),
        ("GPU models", run.gpu_models()),
        ("GPU driver", within(run.facts.as_ref(), &["machine", "driver"]).map(value_text)),
        ("CPUs", job.cpus.map(|it| it.to_string())),
        ("memory", job.ram_bytes.map(output::bytes)),
        ("time limit", job.time_limit()),
        ("node", job.node.clone().or_else(|| job.host.clone())),
        ("git commit", git.map(|it| it.commit.clone())),
        ("git branch", git.and_then(|it| it.branch.clone())),
        ("git dirty", git.map(|it| it.dirty.to_string())),
        ("git.diff", git.and_then(|it| it.diff.as_ref()).map(ToString::to_string)),
        ("note", job.note.clone()),
    ];
    let named = named.into_iter().filter_map(|(name, it)| Some((name.to_owned(), it?)));
    named.chain(job.env.iter().map(|(name, it)| (format!("env.{name}"), it.clone()))).collect()
}

/// Those that it was given and those that it logged, which win.
pub fn params(job: &JobView, run: &RunView) -> Texts {
    let given = job.params.as_ref().and_then(|it| serde_json::from_str::<Value>(it.get()).ok());
    let mut texts = Texts::new();
    if let Some(Value::Map(given)) = given {
        for (name, value) in &given {
            flatten(name.clone(), value, &mut texts);
        }
    }
    for (name, value) in &run.params {
        flatten(name.clone(), value, &mut texts);
    }
    texts
}

/// As `foundations.flatten_parameter_dictionary` names what lies in lists and dictionaries.
fn flatten(name: String, value: &Value, texts: &mut Texts) {
    match value {
        Value::Map(items) if !items.is_empty() => {
            items.iter().for_each(|(key, it)| flatten(format!("{name}_{key}"), it, texts));
        }
        Value::List(items) if !items.is_empty() => {
            items
                .iter()
                .enumerate()
                .for_each(|(at, it)| flatten(format!("{name}_{at}"), it, texts));
        }
        leaf => drop(texts.insert(name, value_text(leaf))),
    }
}

/// And Python itself.
pub fn packages(run: &RunView) -> Texts {
    let facts = run.facts.as_ref();
    let text = |(name, it): (&String, &Value)| (name.clone(), value_text(it));
    let mut texts: Texts = match within(facts, &["packages"]) {
        Some(Value::Map(packages)) => packages.iter().map(text).collect(),
        _ => Texts::new(),
    };
    texts.extend(within(facts, &["python"]).map(|it| ("python".to_owned(), value_text(it))));
    texts
}

/// The last value of each.
pub fn metrics(run: &RunView) -> Texts {
    run.metrics.iter().map(|(key, it)| (key.clone(), it.last.to_string())).collect()
}

pub fn tags(job: &JobView, run: &RunView) -> Texts {
    job.tags.iter().chain(&run.tags).map(|(name, it)| (name.clone(), it.clone())).collect()
}
