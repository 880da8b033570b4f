//! Which master a command talks to.

use crate::config::{self, Config, Folders};
use crate::connect::Master;
use crate::error::Error;
use crate::say::Say;

/// `--config`, as every command has it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Target {
    /// Configuration of the cluster [default: ATLAS_CONFIG, else the master of ATLAS_URL, else the only one, else scheduler]
    #[arg(long, value_name = "NAME")]
    config: Option<String>,
}

impl Target {
    pub async fn connect(&self, say: Say) -> Result<Master, Error> {
        connect(self.config.as_deref(), say).await
    }

    /// For the commands of 2020, whose first word is the configuration unless `--config` names it: that, and the other words.
    pub fn split(&self, first: String, rest: Vec<String>) -> (Option<String>, Vec<String>) {
        match &self.config {
            Some(config) => (Some(config.clone()), [first].into_iter().chain(rest).collect()),
            None => (Some(first), rest),
        }
    }

    /// The same where at least one job has to follow.
    pub fn split_jobs(
        &self,
        command: &str,
        first: String,
        rest: Vec<String>,
    ) -> Result<(String, Vec<String>), Error> {
        let (config, jobs) = self.split(first, rest);
        let config = config.unwrap_or_else(|| config::DEFAULT.into());
        if !jobs.is_empty() {
            return Ok((config, jobs));
        }
        Err(Error::Usage(if is_a_job(&config) {
            let default = default_name();
            format!("CONFIG is missing: `atlas {command} {default} {config}`")
        } else {
            format!("JOB is missing: `atlas {command} {config} JOB` (`atlas jobs` lists them)")
        }))
    }
}

/// The configuration to suggest where none is named.
pub fn default_name() -> String {
    config::variable("ATLAS_CONFIG").unwrap_or_else(|| config::DEFAULT.into())
}

/// Whether the word is a job's id or the beginning of one, rather than a name.
fn is_a_job(word: &str) -> bool {
    word.len() >= 4 && word.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-')
}

/// Connects to the master of a configuration.
pub async fn connect(config: Option<&str>, say: Say) -> Result<Master, Error> {
    let config = Config::find(&Folders::of_user(), config)?;
    Ok(Master::connect(&config, say).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(config: Option<&str>, words: &[&str]) -> Result<(String, Vec<String>), String> {
        let target = Target { config: config.map(Into::into) };
        let (first, rest) = words.split_first().unwrap();
        let rest = rest.iter().map(ToString::to_string).collect();
        target.split_jobs("stop", (*first).into(), rest).map_err(|it| it.to_string())
    }

    #[test]
    fn the_first_word_is_the_configuration_unless_an_option_names_it() {
        assert_eq!(split(None, &["lab", "4554"]), Ok(("lab".into(), vec!["4554".into()])));
        assert_eq!(
            split(Some("lab"), &["4554", "9"]),
            Ok(("lab".into(), vec!["4554".into(), "9".into()]))
        );
    }

    #[test]
    fn a_job_alone_is_told_how_to_say_it() {
        let error = split(None, &["4554"]).unwrap_err();
        assert!(error.ends_with("CONFIG is missing: `atlas stop scheduler 4554`"), "{error}");
    }

    #[test]
    fn a_configuration_alone_is_told_that_the_job_is_missing() {
        let error = split(None, &["lab"]).unwrap_err();
        assert!(error.contains("JOB is missing: `atlas stop lab JOB`"), "{error}");
    }
}
