//! `atlas log metric|param|tag|artifact`

use std::path::PathBuf;

use clap::Subcommand;

use crate::error::Error;
use crate::exit::Exit;
use crate::say::Say;
use crate::spool::Spool;

/// Tell the tracker something of the job that this is run in
///
/// It appends a line to the file that ATLAS_SPOOL names, without any network: what was said is there whatever becomes of the job.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples, in a job:
  atlas log metric loss 0.25 --step 3
  atlas log param sizes '[64, 32]'
  atlas log tag best
  atlas log artifact model.pt --key model")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Add a point to a metric
    Metric {
        /// Of the metric
        key: String,
        /// A number, else text
        #[arg(allow_hyphen_values = true)]
        value: String,
        /// From 0 on, in any order [default: how many points there were before it]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
        step: Option<u64>,
    },
    /// Set a parameter; the same key again overwrites
    Param {
        /// Of the parameter
        key: String,
        /// JSON, else text
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Set a tag; the same key again overwrites
    Tag {
        /// Of the tag
        key: String,
        /// Text, if any
        #[arg(default_value = "", hide_default_value = true, allow_hyphen_values = true)]
        value: String,
    },
    /// Keep a copy of a file or folder, as it is now
    Artifact {
        /// A file or folder
        path: PathBuf,
        /// What it is found by [default: its name]
        #[arg(long)]
        key: Option<String>,
    },
}

pub fn run(args: Args, say: Say) -> Result<Exit, Error> {
    let spool = Spool::of_this_job(say)?;
    match args.what {
        What::Metric { key, value, step } => spool.metric(&key, &value, step),
        What::Param { key, value } => spool.param(&key, &value),
        What::Tag { key, value } => spool.tag(&key, &value),
        What::Artifact { path, key } => spool.artifact(&path, key.as_deref()),
    }?;
    Ok(Exit::SUCCESS)
}
