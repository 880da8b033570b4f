//! The values of a job's secrets: from the caller's environment or from a file, never from the command line, which everybody on
//! the machine can read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use super::overrides::{read, refused};
use crate::connect;
use crate::error::Error;

/// Longer than any variable may be.
const LONGEST: u64 = 128 << 10;

/// What `--secret` names.
pub(in crate::commands) fn of_flags(
    given: &[String],
    env: &[String],
) -> Result<BTreeMap<String, String>, Error> {
    let plain = |name: &str| env.iter().any(|it| it.split('=').next() == Some(name));
    let pair = |secret: &String| {
        let (name, value) = match secret.split_once('=') {
            Some((name, file)) => (name, of_file(name, file)?),
            None => (secret.as_str(), of_here(secret, "--secret", std::env::var_os(secret))?),
        };
        if name.is_empty() {
            return Err(Error::usage("--secret has no name: write K or K=@FILE"));
        }
        if plain(name) {
            let why = format!("--secret {name} and --env {name} name the same: keep one of them");
            return Err(Error::Usage(why));
        }
        Ok((name.to_owned(), value))
    };
    given.iter().map(pair).collect()
}

/// A job that runs again is given what the caller names and nothing else, whatever the master asks for.
pub(in crate::commands) fn name_each(error: connect::Error) -> Error {
    let connect::Error::SecretsWanted { names, .. } = error else { return refused(error) };
    let flags: Vec<String> = names.iter().map(|it| format!("--secret {it}")).collect();
    Error::Usage(format!(
        "the job had secrets, which nobody keeps: give them again with {} (their values here), or --secret K=@FILE",
        flags.join(" ")
    ))
}

/// What job.config.yaml names, as the master read it. Nothing leaves this machine that the file does not name.
pub(super) fn of_config(names: &[String], config: &str) -> Result<BTreeMap<String, String>, Error> {
    let words = || config.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
    let value = |name: &String| {
        if !words().any(|it| it == name) {
            let why = format!("the master asks for {name}, which job.config.yaml does not name");
            return Err(Error::Usage(why));
        }
        let value = of_here(name, "worker.secrets in job.config.yaml:", std::env::var_os(name))?;
        Ok((name.clone(), value))
    };
    names.iter().map(value).collect()
}

fn of_here(name: &str, asked_by: &str, value: Option<OsString>) -> Result<String, Error> {
    let value = value.ok_or_else(|| {
        Error::Usage(format!(
            "{asked_by} {name}: there is no such variable here; set it, or write --secret {name}=@FILE"
        ))
    })?;
    value
        .into_string()
        .map_err(|_| Error::Usage(format!("{asked_by} {name}: its value here is not UTF-8")))
}

/// Without the line break that editors put at the end.
fn of_file(name: &str, file: &str) -> Result<String, Error> {
    let Some(path) = file.strip_prefix('@') else {
        return Err(Error::Usage(format!(
            "--secret {name}: a value on the command line is no secret on this machine; set it in the environment and write \
             --secret {name}, or write --secret {name}=@FILE"
        )));
    };
    let text = read(Path::new(path), LONGEST);
    let text = text.map_err(|error| {
        Error::Usage(format!("--secret {name}: could not read the file {path}: {error}"))
    })?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(secrets: &[&str], env: &[&str]) -> Result<BTreeMap<String, String>, String> {
        let owned = |it: &[&str]| it.iter().map(ToString::to_string).collect::<Vec<_>>();
        of_flags(&owned(secrets), &owned(env)).map_err(|it| it.to_string())
    }

    #[test]
    fn a_value_comes_from_the_environment_or_a_file_and_from_nowhere_else() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2\n\r\n").unwrap();
        let given = format!("TOKEN=@{}", file.path().display());
        let path = std::env::var("PATH").unwrap();
        let found = flags(&[&given, "PATH"], &["OTHER=1"]).unwrap();
        let expected = [("PATH", path.as_str()), ("TOKEN", "hunter2\n")];
        assert_eq!(found, expected.map(|(name, value)| (name.into(), value.into())).into());
        for (secrets, env, why) in [
            (&["A=hunter2"][..], &[][..], "a value on the command line is no secret"),
            (&["NOT_SET_HERE"], &[], "--secret NOT_SET_HERE: there is no such variable here"),
            (&["A=@/no/where"], &[], "could not read the file /no/where"),
            (&["=@/dev/null"], &[], "has no name"),
            (&["PATH"], &["PATH"], "--secret PATH and --env PATH name the same"),
            (&["PATH"], &["PATH=x"], "--secret PATH and --env PATH name the same"),
        ] {
            let error = flags(secrets, env).unwrap_err();
            assert!(error.contains(why) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_master_gets_nothing_that_the_file_does_not_name() {
        let of = |config: &str, name: &str| {
            of_config(&[name.to_owned()], config).map_err(|it| it.to_string())
        };
        let config = "worker:\n  secrets: [PATH, 'NOT_SET_HERE']";
        assert_eq!(of(config, "PATH").unwrap()["PATH"], std::env::var("PATH").unwrap());
        assert!(of(config, "HOME").unwrap_err().contains("does not name"));
        assert!(of("secrets: [MY_PATH]", "PATH").unwrap_err().contains("does not name"));
        let error = of(config, "NOT_SET_HERE").unwrap_err();
        assert!(
            error.starts_with("worker.secrets in job.config.yaml: NOT_SET_HERE: there is no such"),
            "{error}"
        );
    }
}
