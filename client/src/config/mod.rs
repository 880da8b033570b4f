//! Where the master is: `<name>.config.yaml` in a folder for submission configurations, as in 2020.

mod environment;
mod file;
mod folders;

use std::fmt;
use std::path::PathBuf;

use atlas_runtime::config::{Secret, nearest};

use environment::Environment;
pub use folders::{Folders, Known, home};

/// The configuration that exists without a file.
pub const DEFAULT: &str = "scheduler";
/// Where `atlas up` listens.
pub const DEFAULT_URL: &str = "http://127.0.0.1:5558";

/// Where one master is.
#[derive(Clone, Debug)]
pub struct Config {
    pub url: String,
    /// What a job shows to its master.
    pub token: Option<Secret<String>>,
    /// Things the user should know about it, a sentence each.
    pub notices: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no configuration named '{name}'{}{}", Meant(name, known), Listed(known))]
    Unknown { name: String, known: Vec<String> },
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: {why}", path.display())]
    Invalid { path: PathBuf, why: String },
    #[error("the environment variable {name} {why}")]
    Variable { name: &'static str, why: String },
}

impl Config {
    /// The configuration called `asked`; without a name that of `ATLAS_CONFIG`, else the master of `ATLAS_URL` (a job finds
    /// it), else the only one, else `scheduler`.
    pub fn find(folders: &Folders, asked: Option<&str>) -> Result<Self, Error> {
        Self::choose(folders, asked, &Environment::of_process())
    }

    fn choose(folders: &Folders, asked: Option<&str>, said: &Environment) -> Result<Self, Error> {
        let known = folders.known()?;
        let named = asked.map(str::to_owned).or_else(|| said.config.clone());
        let name = match (named, known.as_slice()) {
            (Some(name), _) => name,
            (None, _) if said.url.is_some() => return said.master(),
            (None, [only]) => only.name.clone(),
            (None, _) => DEFAULT.to_owned(),
        };
        match known.iter().find(|it| it.name == name) {
            Some(found) => file::read(found),
            None if name == DEFAULT => said.master(),
            None => {
                let mut known: Vec<_> = known.into_iter().map(|it| it.name).collect();
                if !known.iter().any(|it| it == DEFAULT) {
                    known.push(DEFAULT.into());
                }
                Err(Error::Unknown { name, known })
            }
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { url: DEFAULT_URL.into(), token: None, notices: Vec::new() }
    }
}

/// An environment variable that says something.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|it| !it.is_empty())
}

struct Meant<'a>(&'a str, &'a [String]);

impl fmt::Display for Meant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match nearest(self.0, self.1.iter().map(String::as_str)) {
            Some(meant) => write!(f, ", did you mean '{meant}'? Known are "),
            None => f.write_str("; known are "),
        }
    }
}

struct Listed<'a>(&'a [String]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (see `atlas info --env`)", self.0.join(", "))
    }
}

#[cfg(test)]
mod tests;
