//! What job.config.yaml asks for.

use super::Invalid;
use super::asked::Asked;
use super::given::Given;
use super::yaml::{self, Node, Value};
use super::{params, volume, words};

const KEYS: [&str; 16] = [
    "project_name",
    "name",
    "tags",
    "note",
    "log_level",
    "entrypoint",
    "params",
    "num_gpus",
    "cpus",
    "ram",
    "shm",
    "time_limit",
    "wait_for_capacity",
    "fresh_requirements",
    "output",
    "worker",
];
const OUTPUT_KEYS: [&str; 2] = ["exclude", "max_gb"];
const WORKER_KEYS: [&str; 10] = [
    "image",
    "pull",
    "command",
    "args",
    "entrypoint",
    "working_dir",
    "python",
    "environment",
    "volumes",
    "secrets",
];
const VOLUME_KEYS: [&str; 2] = ["bind", "mode"];
/// For a key that stands where it does not belong.
const BELOW: [&str; 11] = [
    "output.exclude",
    "output.max_gb",
    "worker.image",
    "worker.pull",
    "worker.command",
    "worker.args",
    "worker.working_dir",
    "worker.python",
    "worker.environment",
    "worker.volumes",
    "worker.secrets",
];

#[cfg(test)]
pub fn every_key() -> Vec<String> {
    let top = KEYS.iter().filter(|it| !["output", "worker"].contains(it)).map(ToString::to_string);
    let output = OUTPUT_KEYS.iter().map(|it| format!("output.{it}"));
    let worker = WORKER_KEYS.iter().map(|it| format!("worker.{it}"));
    let volume = VOLUME_KEYS.iter().map(ToString::to_string);
    top.chain(output).chain(worker).chain(volume).collect()
}

/// Reads the text of the file; what it asks for is checked with the rest.
pub fn read(yaml: &str, notices: &mut Vec<String>) -> Result<Asked, Invalid> {
    let document = yaml::read(yaml)?;
    let top = document.with_keys(&KEYS, &BELOW)?;
    let text = |key| top.get(key).map(Node::text).transpose();
    let number = |key| top.get(key).map(Node::number).transpose();
    let flag = |key| top.get(key).map_or(Ok(false), Node::bool);
    let mut asked = Asked {
        project: text("project_name")?,
        name: text("name")?,
        note: text("note")?,
        tags: top.get("tags").map_or(Ok(Vec::new()), tags)?,
        log_level: text("log_level")?,
        entrypoint: top.get("entrypoint").map(list_of_words).transpose()?,
        num_gpus: number("num_gpus")?,
        cpus: number("cpus")?,
        ram: number("ram")?,
        shm: number("shm")?,
        time_limit: text("time_limit")?,
        wait_for_capacity: flag("wait_for_capacity")?,
        fresh_requirements: flag("fresh_requirements")?,
        params: top.get("params").map(|it| params::from_yaml(it, notices)).transpose()?,
        ..Asked::default()
    };
    if let Some(output) = top.get("output") {
        let output = output.with_keys(&OUTPUT_KEYS, &[])?;
        let patterns = output.get("exclude").map_or(Ok(&[][..]), Node::list)?;
        asked.exclude = patterns.iter().map(Node::text).collect::<Result<_, _>>()?;
        asked.max_gb = output.get("max_gb").map(Node::number).transpose()?;
    }
    match top.get("worker") {
        Some(section) => worker(section, asked),
        None => Ok(asked),
    }
}

fn worker(section: &Node<'_>, asked: Asked) -> Result<Asked, Invalid> {
    let section = section.with_keys(&WORKER_KEYS, &KEYS)?;
    let text = |key| section.get(key).map(Node::text).transpose();
    let words = |key| section.get(key).map(list_of_words).transpose();
    let entrypoint =
        one_of([("entrypoint", asked.entrypoint), ("worker.entrypoint", words("entrypoint")?)])?;
    let command = one_of([("worker.command", words("command")?), ("worker.args", words("args")?)])?;
    Ok(Asked {
        entrypoint,
        command,
        image: text("image")?,
        pull: text("pull")?,
        python: text("python")?,
        working_dir: text("working_dir")?,
        env: section.get("environment").map_or(Ok(Vec::new()), environment)?,
        volumes: section.get("volumes").map_or(Ok(Vec::new()), volumes)?,
        secrets: section.get("secrets").map_or(Ok(Vec::new()), secrets)?,
        ..asked
    })
}

/// Two keys that mean the same.
fn one_of<T>(both: [(&str, Option<Given<T>>); 2]) -> Result<Option<Given<T>>, Invalid> {
    match both {
        [(first, Some(_)), (_, Some(second))] => {
            Err(second.refuse(format!("says the same as {first}; keep one of them")))
        }
        [(_, first), (_, second)] => Ok(first.or(second)),
    }
}

fn list_of_words(node: &Node<'_>) -> Result<Given<Vec<String>>, Invalid> {
    match &node.value {
        Value::List(items) => {
            let words: Result<_, _> = items.iter().map(|it| Ok(it.text()?.value)).collect();
            Ok(node.given(words?))
        }
        Value::Map(_) => Err(node.expected("a text or a list of words")),
        _ => words::split(&node.text()?),
    }
}

/// A mapping of names to values, or a list of names.
fn tags(node: &Node<'_>) -> Result<Vec<Given<(String, String)>>, Invalid> {
    if let Value::List(items) = &node.value {
        let split = |it: &Node<'_>| {
            let Given { field, value } = it.text()?;
            let (key, value) = value.split_once('=').unwrap_or((&value, ""));
            Ok(Given::new(field, (key.to_owned(), value.to_owned())))
        };
        return items.iter().map(split).collect();
    }
    let tag = |(key, value): &(String, Node<'_>)| match &value.value {
        Value::Nothing => Ok(value.given((key.clone(), String::new()))),
        _ => Ok(value.given((key.clone(), value.text()?.value))),
    };
    match &node.value {
        Value::Map(entries) => entries.iter().map(tag).collect(),
        _ => Err(node.expected("a list or a mapping of tags")),
    }
}

/// Names alone: the values are nobody's to read in a file that travels.
fn secrets(node: &Node<'_>) -> Result<Vec<Given<String>>, Invalid> {
    match &node.value {
        Value::List(names) => names.iter().map(Node::text).collect(),
        _ => Err(node
            .expected("a list of names; their values stay in the environment of whoever submits")),
    }
}

fn environment(node: &Node<'_>) -> Result<Vec<Given<(String, String)>>, Invalid> {
    let variable = |(name, value): &(String, Node<'_>)| match &value.value {
        Value::Nothing => Err(value.given(()).refuse("has no value; write \"\" for an empty one")),
        _ => Ok(value.given((name.clone(), value.text()?.value))),
    };
    node.map()?.iter().map(variable).collect()
}

fn volumes(node: &Node<'_>) -> Result<Vec<Given<volume::Asked>>, Invalid> {
    let volume = |(host, place): &(String, Node<'_>)| {
        if !matches!(place.value, Value::Map(_)) {
            return Err(place.expected("a mapping with bind and mode"));
        }
        let place = place.with_keys(&VOLUME_KEYS, &[])?;
        let text = |key| place.get(key).map(Node::text).transpose();
        let Some(bind) = text("bind")? else {
            return Err(place.given(()).refuse("has no bind, the path inside the job"));
        };
        let mode = text("mode")?.map(|it| it.value);
        Ok(place.given(volume::Asked { host: host.clone(), bind: bind.value, mode }))
    };
    node.map()?.iter().map(volume).collect()
}
