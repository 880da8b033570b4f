//! `atlas delete job CONFIG JOB…`, `atlas delete job CONFIG --filter TEXT`

use std::collections::BTreeSet;

use atlas_proto::wire;

use super::for_each;
use crate::connect::Master;
use crate::error::Error;
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::say::Say;
use crate::target::{Target, connect, default_name};
use crate::views::{JobView, OccupiedView, UsageView};

/// More are deleted by saying it again.
const MOST: u32 = 100_000;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Delete finished jobs with their files, logs and outputs; queued and running ones are refused
    #[command(
        override_usage = "atlas delete job [OPTIONS] CONFIG JOB...\n       atlas delete job [OPTIONS] CONFIG --filter TEXT",
        after_help = "Examples:\n  atlas delete job scheduler 4554\n  atlas delete job --yes scheduler 4554 9a3c\n  atlas delete job scheduler --filter 'status=failed and ended<-30d' --dry-run"
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
    /// All finished jobs of which this holds, as in `atlas jobs --filter`
    #[arg(long, short, value_name = "TEXT", conflicts_with = "rest")]
    filter: Option<String>,
    /// With --filter: list what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
    /// Configuration of the cluster (left out when --config names it)
    #[arg(value_name = "CONFIG", required_unless_present = "filter")]
    first: Option<String>,
    /// Ids of jobs, or unique beginnings of 4 digits and more
    #[arg(value_name = "JOB")]
    rest: Vec<String>,
}

pub async fn run(args: Args, say: Say) -> Result<Exit, Error> {
    let What::Job(JobArgs { target, yes, filter, dry_run, first, rest }) = args.what;
    if let Some(filter) = filter {
        let master = match &first {
            Some(config) => connect(Some(config), say).await?,
            None => target.connect(say).await?,
        };
        return those_of(&master, filter, yes, dry_run, say).await;
    }
    // No `requires` of the parser: it gives way to the conflict of JOB and --filter, and jobs would be deleted.
    if dry_run {
        return Err(Error::usage("--dry-run belongs to --filter: it lists what a filter finds"));
    }
    let (config, jobs) =
        target.split_jobs("delete job", first.unwrap_or_else(default_name), rest)?;
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

/// Those that a filter finds, with one question for all of them.
async fn those_of(
    master: &Master,
    filter: String,
    yes: bool,
    dry_run: bool,
    say: Say,
) -> Result<Exit, Error> {
    if filter.trim().is_empty() {
        return Err(Error::usage("--filter is empty, which finds every job: say `submitted>1970`"));
    }
    let request =
        wire::ListJobsRequest { filter: filter.clone(), limit: MOST, ..Default::default() };
    let found = master.jobs(request).await?;
    let jobs: Vec<JobView> = found.jobs.into_iter().map(JobView::from).collect();
    let many = jobs.len();
    let done: Vec<JobView> = jobs.into_iter().filter(|it| it.phase == "done").collect();
    if many > done.len() {
        say.info(format_args!("{} jobs have not ended and are kept.", many - done.len()));
    }
    if done.is_empty() {
        say.info("No finished job is found by this filter.");
        return Ok(Exit::SUCCESS);
    }
    let wanted = wire::UsageRequest { filter, ended: true, limit: 1, ..Default::default() };
    let occupied = UsageView::from(master.usage(wanted).await?).total;
    if dry_run {
        output::list(Format::Table, &done).map_err(Error::Output)?;
        let what = summary(&done, &occupied);
        say.info(format_args!("These would be deleted: {what}."));
        return Ok(Exit::SUCCESS);
    }
    let what = summary(&done, &occupied);
    let question = format!("Delete {what} from {}?", master.url());
    if !say.agreed(yes, question).map_err(Error::io("read the answer"))? {
        say.info("All of them were kept.");
        return Ok(Exit::SUCCESS);
    }
    let mut deleted = 0;
    let ids: Vec<String> = done.into_iter().map(|it| it.id).collect();
    let exit = for_each(&ids, say, async |id: &str| {
        master.delete(id).await?;
        deleted += 1;
        Ok(())
    })
    .await;
    say.info(format_args!("{deleted} jobs successfully deleted."));
    Ok(exit)
}

/// How many, whose, of which projects, and what goes with them. Bundles are left to whoever else needs them.
fn summary(jobs: &[JobView], occupied: &OccupiedView) -> String {
    let failed = jobs.iter().filter(|it| it.status == "failed").count();
    let users: BTreeSet<&str> = jobs.iter().map(|it| it.user.as_str()).collect();
    let projects: BTreeSet<&str> = jobs.iter().map(|it| it.project.as_str()).collect();
    let at_least = if occupied.unmeasured > 0 { "at least " } else { "" };
    format!(
        "{} jobs ({failed} failed) of {} in {}, with {at_least}{} of files and logs",
        jobs.len(),
        few(&users, "users"),
        few(&projects, "projects"),
        output::bytes(occupied.files())
    )
}

fn few(names: &BTreeSet<&str>, what: &str) -> String {
    const NAMED: usize = 5;
    if names.len() > NAMED {
        return format!("{} {what}", names.len());
    }
    names.iter().copied().collect::<Vec<_>>().join(", ")
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
