//! What the command line says about a job; numbers and names are the master's to check, so that the SDK gets the same errors.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use atlas_proto::wire::JobOverrides;
use serde::de::IgnoredAny;

use super::Args;
use crate::connect;
use crate::error::Error;

/// How the fields of a submission are called on the command line.
const OPTIONS: [(&str, &str); 18] = [
    ("command", "COMMAND"),
    ("project", "--project-name"),
    ("name", "--name"),
    ("tags", "--tag"),
    ("note", "--note"),
    ("entrypoint", "--entrypoint"),
    ("num_gpus", "--num-gpus"),
    ("cpus", "--cpus"),
    ("ram_gb", "--ram"),
    ("shm_gb", "--shm"),
    ("time_limit", "--time-limit"),
    ("image", "--image"),
    ("env", "--env"),
    ("secrets", "--secret"),
    ("volumes", "--volume"),
    ("params", "--params"),
    ("resume", "--resume"),
    ("wait_for_capacity", "--wait-for-capacity"),
];

/// A refusal in the words of the command line.
pub(in crate::commands) fn refused(error: connect::Error) -> Error {
    error.in_options(&OPTIONS).into()
}

/// Parameters are numbers and names; what is longer is data.
const LONGEST_PARAMS: u64 = 4 << 20;

pub(super) fn build(args: &Args, command: &[String]) -> Result<JobOverrides, Error> {
    Ok(JobOverrides {
        command: command.to_vec(),
        project: args.project_name.clone(),
        name: args.name.clone(),
        tags: tags(&args.tag)?,
        note: args.note.clone(),
        entrypoint: args.entrypoint.clone(),
        num_gpus: args.num_gpus.clone(),
        cpus: args.cpus.clone(),
        ram_gb: args.ram.clone(),
        shm_gb: args.shm.clone(),
        image: args.image.clone(),
        env: env(&args.env, |name| std::env::var_os(name))?,
        volumes: args.volume.clone(),
        params_json: args.params.as_deref().map(params).transpose()?,
        wait_for_capacity: args.wait_for_capacity,
        fresh_requirements: args.fresh_requirements,
        time_limit: args.time_limit.clone(),
    })
}

fn tags(given: &[String]) -> Result<BTreeMap<String, String>, Error> {
    given
        .iter()
        .map(|tag| {
            let (key, value) = tag.split_once('=').unwrap_or((tag, ""));
            if key.is_empty() {
                return Err(Error::Usage(format!("--tag {tag:?} has no name: write K or K=V")));
            }
            Ok((key.to_owned(), value.to_owned()))
        })
        .collect()
}

fn env(
    given: &[String],
    here: impl Fn(&str) -> Option<std::ffi::OsString>,
) -> Result<BTreeMap<String, String>, Error> {
    given
        .iter()
        .map(|variable| {
            let (name, value) = match variable.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => (variable.as_str(), of_here(variable, here(variable))?),
            };
            if name.is_empty() {
                return Err(Error::Usage(format!(
                    "--env {variable:?} has no name: write K or K=V"
                )));
            }
            Ok((name.to_owned(), value))
        })
        .collect()
}

fn of_here(name: &str, value: Option<std::ffi::OsString>) -> Result<String, Error> {
    let value = value.ok_or_else(|| {
        Error::Usage(format!(
            "--env {name}: there is no such variable here; set it, or write --env {name}=VALUE"
        ))
    })?;
    value
        .into_string()
        .map_err(|_| Error::Usage(format!("--env {name}: its value here is not UTF-8")))
}

/// A JSON object, or the file that holds one. The text travels as it is: numbers may be larger than ours.
pub(in crate::commands) fn params(given: &str) -> Result<String, Error> {
    let (text, from) = if given.trim_start().starts_with('{') {
        (given.to_owned(), "--params".to_owned())
    } else {
        let read = read(Path::new(given), LONGEST_PARAMS);
        let text = read.map_err(|it| {
            Error::Usage(format!("--params: could not read the file {given}: {it}"))
        })?;
        (text, format!("--params {given}"))
    };
    let object: Result<BTreeMap<String, IgnoredAny>, _> = serde_json::from_str(&text);
    match object {
        Ok(_) => Ok(text),
        Err(error) => Err(Error::Usage(format!("{from} is not a JSON object: {error}"))),
    }
}

/// A whole file of at most so many bytes.
pub(super) fn read(path: &Path, most: u64) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most {
        let why = format!("it is larger than {} KiB", most >> 10);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_tag_has_a_name_and_perhaps_a_value() {
        let tags = tags(&given(&["a", "b=1=2", "c="])).unwrap();
        assert_eq!(
            tags,
            [("a", ""), ("b", "1=2"), ("c", "")].map(|(k, v)| (k.into(), v.into())).into()
        );
        assert!(super::tags(&given(&["=x"])).unwrap_err().to_string().contains("has no name"));
    }

    #[test]
    fn a_variable_without_a_value_takes_the_one_that_is_here() {
        let here = |name: &str| (name == "HERE").then(|| "v".into());
        let found = env(&given(&["A=b", "HERE", "EMPTY="]), here).unwrap();
        assert_eq!(
            found,
            [("A", "b"), ("HERE", "v"), ("EMPTY", "")].map(|(k, v)| (k.into(), v.into())).into()
        );
        let error = env(&given(&["GONE"]), here).unwrap_err().to_string();
        assert_eq!(
            error,
            "--env GONE: there is no such variable here; set it, or write --env GONE=VALUE"
        );
        assert!(env(&given(&["=x"]), here).is_err());
    }

    #[test]
    fn params_are_an_object_here_or_in_a_file() {
        let big = r#" {"n": 8888888888888888888888888}"#;
        assert_eq!(params(big).unwrap(), big);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{}").unwrap();
        let path = file.path().to_str().unwrap();
        assert_eq!(params(path).unwrap(), "{}");
        std::fs::write(file.path(), "[1]").unwrap();
        for (wrong, why) in [
            (path, "is not a JSON object"),
            ("{\"a\": }", "--params is not a JSON object"),
            ("/no/where", "could not read"),
        ] {
            let error = params(wrong).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
