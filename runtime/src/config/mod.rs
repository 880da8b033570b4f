//! Layered configuration: defaults, then a YAML file, then the environment, then flags; the later one wins.
//!
//! A process describes its options once, as a plain struct in which every field is an `Option`. The same struct is
//! the file, the environment (`ATLAS_` and the field's name in capitals) and, with clap, the flags:
//!
//! ```
//! use atlas_runtime::config::{Duration, Layers, Secret};
//!
//! #[derive(Debug, Default, clap::Args, serde::Serialize, serde::Deserialize)]
//! #[serde(deny_unknown_fields, default)]
//! struct Options {
//!     /// Address of the dashboard
//!     #[arg(long)]
//!     http: Option<String>,
//!     /// How long a job may go without its node
//!     #[arg(long)]
//!     lease: Option<Duration>,
//!     /// Register the GPUs (`--gpus`, `--gpus=false`)
//!     #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
//!     gpus: Option<bool>,
//!     #[arg(long)]
//!     redis_password: Option<Secret<String>>,
//! }
//!
//! #[derive(clap::Parser)]
//! struct Cli {
//!     #[arg(long, value_name = "FILE")]
//!     config_file: Option<std::path::PathBuf>,
//!     /// Show what would be used, and where it comes from
//!     #[arg(long)]
//!     print_config: bool,
//!     #[command(flatten)]
//!     options: Options,
//! }
//!
//! # fn main() -> Result<(), atlas_runtime::config::Error> {
//! let cli = <Cli as clap::Parser>::parse_from(["atlas-master", "--lease", "90s", "--print-config"]);
//! let defaults = Options { http: Some("127.0.0.1:5555".into()), ..Options::default() };
//! let effective = Layers::new(&defaults)?
//!     .file(cli.config_file.as_deref())?
//!     .env(|name| std::env::var_os(name))?
//!     .flags(&cli.options)?
//!     .build()?;
//! if cli.print_config {
//!     print!("{effective}"); // lease: "1m30s"  # --lease
//! }
//! let lease = effective.options.lease.expect("it was given above");
//! if lease < Duration::from_secs(10) {
//!     // Names the field and the layer that set it, as every error of this module does.
//!     return Err(effective.invalid("lease", "it is shorter than 10s"));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! `deny_unknown_fields` and flat fields only: no `flatten`, no `skip_serializing_if`, no `alias`. Every type must
//! read back what it writes.

mod fields;
mod file;
mod nearest;
mod secret;
mod text;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

pub use atlas_core::units::{Duration, InvalidUnit, Size};
pub use nearest::nearest;
pub use secret::Secret;

/// The layers laid so far; each call lays the next one over them.
pub struct Layers<T> {
    fields: &'static [&'static str],
    values: Map<String, Value>,
    origins: BTreeMap<&'static str, Origin>,
    options: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Layers<T> {
    /// Starts with the defaults.
    pub fn new(defaults: &T) -> Result<Self, Error> {
        let layers = Self {
            fields: fields::of::<T>(),
            values: Map::new(),
            origins: BTreeMap::new(),
            options: PhantomData,
        };
        layers.lay(defaults, |_| Origin::Default)
    }

    /// Lays a YAML file; `None` is no file. `key:` without a value leaves the key to the layers below.
    pub fn file(self, path: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = path else { return Ok(self) };
        let file::Parsed { options, lines } = file::read::<T>(path, self.fields)?;
        let line = |field: &str| lines.iter().find(|(key, _)| key == field).map_or(1, |it| it.1);
        self.lay(&options, |field| Origin::File { path: path.to_owned(), line: line(field) })
    }

    /// Lays the environment: `ATLAS_HTTP` sets `http`. An empty variable is no variable; a list is separated by
    /// commas.
    pub fn env(mut self, lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        for &field in self.fields {
            let name = variable(field);
            let Some(value) = lookup(&name).filter(|value| !value.is_empty()) else { continue };
            let origin = Origin::Variable(name);
            let Some(text) = value.to_str() else {
                return Err(Error::invalid(field, origin, "it is not UTF-8"));
            };
            let options = text::one_field::<T>(field, text)
                .map_err(|error| Error::invalid(field, origin.clone(), error))?;
            self = self.lay(&options, |_| origin.clone())?;
        }
        Ok(self)
    }

    /// Lays the flags that were given.
    pub fn flags(self, flags: &T) -> Result<Self, Error> {
        self.lay(flags, |field| Origin::Flag(format!("--{}", field.replace('_', "-"))))
    }

    /// The configuration that the layers add up to.
    pub fn build(self) -> Result<Effective<T>, Error> {
        let Self { fields, values, origins, .. } = self;
        let options = serde_json::from_value(Value::Object(values))
            .map_err(|source| Error::NotOptions { what: "read back", source })?;
        Ok(Effective { options, fields, origins })
    }

    fn lay(mut self, options: &T, origin: impl Fn(&str) -> Origin) -> Result<Self, Error> {
        let values = secret::revealed(|| serde_json::to_value(options))
            .map_err(|source| Error::NotOptions { what: "written", source })?;
        for &field in self.fields {
            if let Some(value) = values.get(field).filter(|value| !value.is_null()) {
                self.values.insert(field.to_owned(), value.clone());
                self.origins.insert(field, origin(field));
            }
        }
        Ok(self)
    }
}

/// The configuration in use. Displays as YAML, each value with its origin, secrets masked (`--print-config`).
#[derive(Debug)]
pub struct Effective<T> {
    /// The values.
    pub options: T,
    fields: &'static [&'static str],
    origins: BTreeMap<&'static str, Origin>,
}

impl<T> Effective<T> {
    /// Where the value of `field` comes from; `None` when nothing set it.
    pub fn origin(&self, field: &str) -> Option<&Origin> {
        self.origins.get(field)
    }

    /// The error for a value that is well formed but cannot be used.
    pub fn invalid(&self, field: &str, reason: impl fmt::Display) -> Error {
        Error::invalid(field, self.origin(field).cloned().unwrap_or(Origin::Default), reason)
    }
}

impl<T: Serialize> fmt::Display for Effective<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // JSON is YAML, on one line and with every string quoted.
        let values = serde_json::to_value(&self.options).map_err(|_| fmt::Error)?;
        for field in self.fields {
            match self.origins.get(field) {
                Some(origin) => writeln!(f, "{field}: {}  # {origin}", values[*field])?,
                None => writeln!(f, "{field}: null  # not set")?,
            }
        }
        Ok(())
    }
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// A line of the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line of the key, from 1.
        line: u64,
    },
    /// An environment variable.
    Variable(String),
    /// A command line flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// What is wrong with a configuration, and in which layer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("could not read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a YAML mapping.
    #[error("{origin}: {reason}")]
    Syntax {
        /// Where.
        origin: Origin,
        /// What the parser said.
        reason: String,
    },
    /// The file has a key that does not exist.
    #[error("{origin}: unknown key `{key}`{}", nearest.map(|it| format!(", did you mean `{it}`?")).unwrap_or_default())]
    UnknownKey {
        /// The key.
        key: String,
        /// Where.
        origin: Origin,
        /// The known key that is most like it.
        nearest: Option<&'static str>,
    },
    /// A value is not what its field takes.
    #[error("`{field}` from {origin}: {reason}")]
    Invalid {
        /// The field.
        field: String,
        /// Who set it.
        origin: Origin,
        /// Why not.
        reason: String,
    },
    /// A value cannot pass between the layers, such as a path that is not UTF-8.
    #[error("an option could not be {what}")]
    NotOptions {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: serde_json::Error,
    },
}

impl Error {
    fn invalid(field: &str, origin: Origin, reason: impl fmt::Display) -> Self {
        Self::Invalid { field: field.to_owned(), origin, reason: reason.to_string() }
    }
}

/// The environment variable that sets `field`.
fn variable(field: &str) -> String {
    format!("ATLAS_{}", field.replace('-', "_").to_ascii_uppercase())
}

#[cfg(test)]
mod tests;
