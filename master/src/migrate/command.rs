//! What `atlas-master migrate` is told, and what it says.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use atlas_runtime::Chain;
use atlas_runtime::config::Effective;
use atlas_runtime::process::InstanceLock;
use clap::ValueEnum;

use super::{Outcome, Side, Summary, migrate};
use crate::config::{Config, Options};
use crate::start;
use crate::store::{Embedded, Error as StoreError, Movable, Redis};

/// Said after each so many jobs.
const SAID_EVERY: u64 = 50_000;

#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The store that the cluster's state goes to; it comes from the other one
    #[arg(long, value_name = "STORE")]
    pub to: Kind,
}

/// The two stores of a master: the file in its --data folder, and its --redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    Redis,
    Embedded,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Setting(#[from] atlas_runtime::config::Error),
    #[error("could not start threads")]
    Threads(#[source] std::io::Error),
    #[error(transparent)]
    Data(#[from] start::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Move(#[from] super::Error),
}

/// The whole command. Exit code 2: a setting is wrong, and nothing was begun; 126: it could not be done.
pub fn command(arguments: &Arguments, effective: &Effective<Options>, config: Config) -> ExitCode {
    let moved = tokio::runtime::Runtime::new()
        .map_err(Error::Threads)
        .and_then(|runtime| runtime.block_on(run(arguments, effective, config)));
    match moved {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&Chain(&error));
            ExitCode::from(if matches!(error, Error::Setting(_)) { 2 } else { 126 })
        }
    }
}

fn say(what: &dyn fmt::Display) {
    eprintln!("atlas-master: {what}");
}

/// Moves the state of a master with these settings, and returns what there is to say at the end.
async fn run(
    arguments: &Arguments,
    effective: &Effective<Options>,
    config: Config,
) -> Result<String, Error> {
    let Some(access) = &config.redis else {
        let why = "it is missing: name the Redis that the cluster's state goes to or comes from";
        return Err(effective.invalid("redis", why).into());
    };
    let (file, _lock) = embedded(arguments.to, effective, &config.data)?;
    let (redis, warnings) = Redis::open(access).await?;
    for warning in warnings {
        say(&format_args!("warning: Redis at {}: {warning}", redis.place()));
    }
    let names = [file.place(), format!("Redis at {}", redis.place())];
    let file = Side { store: &file, name: &names[0] };
    let redis = Side { store: &redis, name: &names[1] };
    let (from, to) = match arguments.to {
        Kind::Redis => (file, redis),
        Kind::Embedded => (redis, file),
    };
    let mut said = 0;
    let mut progress = |done: u64, of: u64| {
        if done == of || done - said >= SAID_EVERY {
            said = done;
            say(&format_args!("copied {done} of {of} jobs"));
        }
    };
    let outcome = migrate(from, to, &mut progress).await?;
    Ok(report(outcome, to.name))
}

/// The file in the data folder, and that no master uses the folder. A source must be there; a target is made.
fn embedded(
    to: Kind,
    effective: &Effective<Options>,
    data: &Path,
) -> Result<(Embedded, InstanceLock), Error> {
    let why = "there is no store in this folder that could be moved";
    if to == Kind::Redis && !Embedded::is_in(data)? {
        return Err(effective.invalid("data", why).into());
    }
    let lock = start::take(data)?;
    Ok((Embedded::open(data)?, lock))
}

fn report(outcome: Outcome, to: &str) -> String {
    let (how, Summary { counts, nodes }) = match outcome {
        Outcome::Moved(summary) => ("moved to", summary),
        Outcome::MovedBefore(summary) => {
            ("nothing to do: an earlier run moved the cluster to", summary)
        }
    };
    format!(
        "{how} {to}: {} jobs ({} of them live, {} waiting) and {nodes} nodes",
        counts.jobs, counts.live, counts.queued
    )
}
