//! `atlas usage`

use atlas_proto::wire;
use clap::ValueEnum;

use crate::error::Error;
use crate::exit::Exit;
use crate::output::{self, Format, Output};
use crate::say::Say;
use crate::target::Target;
use crate::views::UsageView;

/// Show what jobs occupy on the shared storage
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  atlas usage\n  atlas usage --by user\n  atlas usage --by job --filter 'project=mnist and ended<-30d' --limit 10\n\n\
    A bundle that several jobs were submitted with counts once, compressed; one that several lines share is in each of them."
)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// What is summed up
    #[arg(long, value_name = "WHAT", default_value = "project")]
    by: By,
    /// Only of those jobs of which this holds, as in `atlas jobs --filter`
    #[arg(long, short, value_name = "TEXT", default_value = "", hide_default_value = true)]
    filter: String,
    /// At most so many lines, the largest
    #[arg(long, short, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    Project,
    User,
    Job,
}

pub async fn run(args: Args, say: Say) -> Result<Exit, Error> {
    let Args { target, by, filter, limit, output } = args;
    let by = match by {
        By::Project => "project",
        By::User => "user",
        By::Job => "job",
    };
    let request = wire::UsageRequest { by: by.into(), filter, ended: false, limit };
    let usage: UsageView = target.connect(say).await?.usage(request).await?.into();
    let total = &usage.total;
    match output.output {
        Format::Json | Format::Jsonl => output::object(output.output, &usage),
        format => output::list(format, &usage.groups),
    }
    .map_err(Error::Output)?;
    if matches!(output.output, Format::Table | Format::Wide) {
        let bytes = output::bytes(total.total_bytes);
        let jobs = output::counted(total.jobs, "job occupies", "jobs occupy");
        say.info(format_args!("{jobs} {bytes} together."));
        if usage.more > 0 {
            let more = output::counted(usage.more, "smaller line is", "smaller lines are");
            say.info(format_args!("{more} not shown; --limit shows more."));
        }
    }
    if total.unmeasured > 0 {
        let left = output::counted(total.unmeasured, "job is", "jobs are");
        say.warn(format_args!(
            "{left} not in these sums: the master is still measuring, or its log says why it could not. Ask again later."
        ));
    }
    Ok(Exit::SUCCESS)
}
