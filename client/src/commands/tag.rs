//! `atlas tag JOB TAG…`, `atlas rename JOB NAME`

use std::collections::BTreeMap;

use atlas_proto::wire;

use crate::error::Error;
use crate::exit::Exit;
use crate::say::Say;
use crate::target::Target;

/// Set tags of a job, or take them away
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  atlas tag 4554 best stage=production\n  atlas tag 4554 --remove stage"
)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Take this tag away (may be said several times)
    #[arg(long, value_name = "KEY")]
    remove: Vec<String>,
    /// Id of the job, or a unique beginning of 4 digits and more
    job: String,
    /// Tags to set
    #[arg(value_name = "KEY[=VALUE]", required_unless_present = "remove")]
    tags: Vec<String>,
}

/// Give a job another name
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  atlas rename 4554 'larger batches'")]
pub struct RenameArgs {
    #[command(flatten)]
    target: Target,
    /// Id of the job, or a unique beginning of 4 digits and more
    job: String,
    /// What it is called from now on
    name: String,
}

pub async fn run(args: Args, say: Say) -> Result<Exit, Error> {
    let Args { target, remove, job, tags } = args;
    let pair = |it: &String| {
        let (key, value) = it.split_once('=').unwrap_or((it, ""));
        (key.to_owned(), value.to_owned())
    };
    let tags: BTreeMap<String, String> = tags.iter().map(pair).collect();
    if let Some(both) = remove.iter().find(|it| tags.contains_key(*it)) {
        return Err(Error::usage(format!("{both}: a tag is set or removed, not both")));
    }
    let request = wire::LabelJobRequest { job, name: None, tags, remove };
    let job = target.connect(say).await?.label(request).await?;
    let tags = job.spec.unwrap_or_default().tags.into_iter();
    let tags: Vec<_> = tags
        .map(|(key, value)| if value.is_empty() { key } else { format!("{key}={value}") })
        .collect();
    let tags = if tags.is_empty() { "none".to_owned() } else { tags.join(" ") };
    say.info(format_args!("Tags of job {}: {tags}", job.id));
    Ok(Exit::SUCCESS)
}

pub async fn rename(args: RenameArgs, say: Say) -> Result<Exit, Error> {
    let RenameArgs { target, job, name } = args;
    let request = wire::LabelJobRequest { job, name: Some(name), ..Default::default() };
    let job = target.connect(say).await?.label(request).await?;
    let name = job.spec.unwrap_or_default().name.unwrap_or_default();
    say.info(format_args!("Job {} is called '{name}'.", job.id));
    Ok(Exit::SUCCESS)
}
