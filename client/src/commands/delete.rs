//! `atlas delete job CONFIG JOB…`, `atlas delete job CONFIG --filter TEXT`

use std::collections::BTreeSet;

use atlas_proto::wire;

use super::for_each;
use crate::connect::{self, Master};
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
        after_help = "Examples:\n  atlas delete job scheduler 4554\n  atlas delete job --yes scheduler 4554 9a3c\n  atlas delete job scheduler --filter 'status=failed and ended<-30d' --dry-run\n  atlas delete job scheduler --filter 'ended<-30d and tags.keep not exists' --outputs-only"
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
    /// Only what they wrote: outputs, artifacts, checkpoints, synced folders and TensorBoard files. The jobs stay, with log,
    /// parameters, metrics and source
    #[arg(long)]
    outputs_only: bool,
    /// List what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
    /// Configuration of the cluster (left out when --config names it)
    #[arg(value_name = "CONFIG", required_unless_present = "filter")]
    first: Option<String>,
    /// Ids of jobs, or unique beginnings of 4 digits and more
    #[arg(value_name = "JOB")]
    rest: Vec<String>,
}

/// What is asked for, and how.
struct Deletion<'a> {
    master: &'a Master,
    part: Part,
    yes: bool,
    dry_run: bool,
    say: Say,
}

/// How much of a job goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    Outputs,
}

pub async fn run(args: Args, say: Say) -> Result<Exit, Error> {
    let What::Job(JobArgs { target, yes, filter, outputs_only, dry_run, first, rest }) = args.what;
    let part = if outputs_only { Part::Outputs } else { Part::Whole };
    if let Some(filter) = filter {
        let master = match &first {
            Some(config) => connect(Some(config), say).await?,
            None => target.connect(say).await?,
        };
        return Deletion { master: &master, part, yes, dry_run, say }.those_of(filter).await;
    }
    let (config, jobs) =
        target.split_jobs("delete job", first.unwrap_or_else(default_name), rest)?;
    let master = connect(Some(&config), say).await?;
    let deletion = Deletion { master: &master, part, yes, dry_run, say };
    Ok(for_each(&jobs, say, async |job: &str| deletion.one(job).await).await)
}

impl Deletion<'_> {
    async fn one(&self, job: &str) -> Result<(), connect::Error> {
        let Self { master, part, yes, dry_run, say } = *self;
        let job = JobView::from(master.job(job).await?);
        let id = &job.id;
        if let (Part::Outputs, Some(removal)) = (part, &job.removal)
            && !removal.goes_on
        {
            say.info(format_args!("What job {id} wrote was {removal}."));
            return Ok(());
        }
        // What cannot be deleted is refused without a question.
        if job.phase == "done" {
            let what = self.of_one(&job).await?;
            if dry_run {
                say.info(format_args!("This would be deleted: {what}."));
                return Ok(());
            }
            // An answer that cannot be read is no agreement.
            if !say.agreed(yes, format!("Delete {what}?")).unwrap_or(false) {
                say.info(format_args!("Job {id} was kept."));
                return Ok(());
            }
        } else if dry_run {
            say.info(format_args!("Job {id} is {} and is kept.", job.phase));
            return Ok(());
        }
        self.delete(id).await?;
        match part {
            Part::Whole => say.info(format_args!("Job {id} successfully deleted.")),
            Part::Outputs => {
                say.info(format_args!("What job {id} wrote was successfully deleted."));
            }
        }
        Ok(())
    }

    async fn delete(&self, id: &str) -> Result<(), connect::Error> {
        match self.part {
            Part::Whole => self.master.delete(id).await.map(drop),
            Part::Outputs => self.master.remove_outputs(id).await.map(drop),
        }
    }

    async fn of_one(&self, job: &JobView) -> Result<String, connect::Error> {
        let called = format!(
            "'{}' of {} in project '{}', {} {}",
            job.title(),
            job.user,
            job.project,
            job.status,
            job.age()
        );
        Ok(match self.part {
            Part::Whole => format!("job {} ({called}) with all its files", job.id),
            Part::Outputs => {
                let occupied = self.occupied(format!("id={}", job.id)).await?;
                let bytes = self.part.bytes(&occupied);
                format!("what job {} ({called}{}) wrote, {bytes}", job.id, kept(&[job]))
            }
        })
    }

    async fn occupied(&self, filter: String) -> Result<OccupiedView, connect::Error> {
        let wanted = wire::UsageRequest { filter, ended: true, limit: 1, ..Default::default() };
        Ok(UsageView::from(self.master.usage(wanted).await?).total)
    }

    /// Those that a filter finds, with one question for all of them.
    async fn those_of(&self, filter: String) -> Result<Exit, Error> {
        let Self { master, part, yes, dry_run, say } = *self;
        if filter.trim().is_empty() {
            let why = "--filter is empty, which finds every job: say `submitted>1970`";
            return Err(Error::usage(why));
        }
        let request =
            wire::ListJobsRequest { filter: filter.clone(), limit: MOST, ..Default::default() };
        let found = master.jobs(request).await?;
        let found: Vec<JobView> = found.jobs.into_iter().map(JobView::from).collect();
        let (done, live): (Vec<_>, Vec<_>) = found.into_iter().partition(|it| it.phase == "done");
        if !live.is_empty() {
            let some = output::counted(live.len(), "job has", "jobs have");
            say.info(format_args!("{some} not ended and nothing of it is removed."));
        }
        let gone = |it: &JobView| it.removal.as_ref().is_some_and(|it| !it.goes_on);
        let (gone, done): (Vec<_>, Vec<_>) =
            done.into_iter().partition(|it| part == Part::Outputs && gone(it));
        if !gone.is_empty() {
            let some = output::counted(gone.len(), "job", "jobs");
            say.info(format_args!("What {some} wrote was removed before."));
        }
        if done.is_empty() {
            say.info("No finished job is found by this filter.");
            return Ok(Exit::SUCCESS);
        }
        let what = part.summary(&done, &self.occupied(filter).await?);
        if dry_run {
            output::list(Format::Table, &done).map_err(Error::Output)?;
            say.info(format_args!("These would be deleted: {what}."));
            return Ok(Exit::SUCCESS);
        }
        let question = format!("Delete {what} from {}?", master.url());
        if !say.agreed(yes, question).map_err(Error::io("read the answer"))? {
            say.info("All of them were kept.");
            return Ok(Exit::SUCCESS);
        }
        let mut deleted = 0_usize;
        let ids: Vec<String> = done.into_iter().map(|it| it.id).collect();
        let exit = for_each(&ids, say, async |id: &str| {
            self.delete(id).await?;
            deleted += 1;
            Ok(())
        })
        .await;
        let deleted = output::counted(deleted, "job", "jobs");
        match part {
            Part::Whole => say.info(format_args!("{deleted} successfully deleted.")),
            Part::Outputs => {
                say.info(format_args!("What {deleted} wrote was successfully deleted."));
            }
        }
        Ok(exit)
    }
}

impl Part {
    /// How many, whose, of which projects, and what goes with them. Bundles are left to whoever else needs them.
    fn summary(self, jobs: &[JobView], occupied: &OccupiedView) -> String {
        let failed = jobs.iter().filter(|it| it.status == "failed").count();
        let users: BTreeSet<&str> = jobs.iter().map(|it| it.user.as_str()).collect();
        let projects: BTreeSet<&str> = jobs.iter().map(|it| it.project.as_str()).collect();
        let (users, projects) = (few(&users, "users"), few(&projects, "projects"));
        let many = output::counted(jobs.len(), "job", "jobs");
        let bytes = self.bytes(occupied);
        match self {
            Self::Whole => {
                format!(
                    "{many} ({failed} failed) of {users} in {projects}, with {bytes} of files and logs"
                )
            }
            Self::Outputs => {
                let kept = kept(&jobs.iter().collect::<Vec<_>>());
                format!(
                    "what {many} ({failed} failed{kept}) of {users} in {projects} wrote, {bytes}"
                )
            }
        }
    }

    fn bytes(self, occupied: &OccupiedView) -> String {
        let at_least = if occupied.unmeasured > 0 { "at least " } else { "" };
        let bytes = match self {
            Self::Whole => occupied.files(),
            Self::Outputs => occupied.written(),
        };
        format!("{at_least}{}", output::bytes(bytes))
    }
}

/// Retention leaves these alone, so that whoever deletes them should know.
fn kept(jobs: &[&JobView]) -> String {
    match jobs.iter().filter(|it| it.tags.contains_key("keep")).count() {
        0 => String::new(),
        _ if jobs.len() == 1 => ", tagged keep".into(),
        many => format!(", {many} tagged keep"),
    }
}

fn few(names: &BTreeSet<&str>, what: &str) -> String {
    const NAMED: usize = 5;
    if names.len() > NAMED {
        return format!("{} {what}", names.len());
    }
    names.iter().copied().collect::<Vec<_>>().join(", ")
}
