//! `atlas delete job CONFIG JOB…`

use super::for_each;
use crate::error::Error;
use crate::exit::Exit;
use crate::say::Say;
use crate::target::{Target, connect};
use crate::views::JobView;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Delete finished jobs with their files, logs and outputs; queued and running ones are refused
    #[command(
        override_usage = "atlas delete job [OPTIONS] CONFIG JOB...",
        after_help = "Examples:\n  atlas delete job scheduler 4554\n  atlas delete job --yes scheduler 4554 9a3c"
    )]
    Job(JobArgs),
}

#[derive(Debug, clap::Args)]
struct JobArgs {
    #[command(flatten)]
    target: Target,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Configuration of the cluster (left out when --config names it)
    #[arg(value_name = "CONFIG")]
    first: String,
    /// Ids of jobs, or unique beginnings of 4 digits and more
    #[arg(value_name = "JOB")]
    rest: Vec<String>,
}

pub async fn run(args: Args, say: Say) -> Result<Exit, Error> {
    let What::Job(JobArgs { target, yes, first, rest }) = args.what;
    let (config, jobs) = target.split_jobs("delete job", first, rest)?;
    let master = connect(Some(&config), say).await?;
    let delete = async |job: &str| {
        let found = master.job(job).await?;
        let (id, finished) = (found.id.clone(), found.phase == "done");
        // What cannot be deleted is refused without a question.
        if finished && !agreed(&found.into(), yes, say) {
            say.info(format_args!("Job {id} was kept."));
            return Ok(());
        }
        let id = master.delete(&id).await?;
        say.info(format_args!("Job {id} successfully deleted."));
        Ok(())
    };
    Ok(for_each(&jobs, say, delete).await)
}

/// An answer that cannot be read is no agreement.
fn agreed(job: &JobView, yes: bool, say: Say) -> bool {
    let question = format!(
        "Delete job {} ('{}' of {} in project '{}', {} {}) with all its files?",
        job.id,
        job.title(),
        job.user,
        job.project,
        job.status,
        job.age()
    );
    say.agreed(yes, question).unwrap_or(false)
}
