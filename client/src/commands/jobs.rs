//! `atlas jobs`

use atlas_proto::wire;
use clap::ValueEnum;

use crate::error::Error;
use crate::exit::Exit;
use crate::output::{self, Format, Output};
use crate::say::Say;
use crate::target::Target;
use crate::views::JobView;

/// List jobs, the newest first
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  atlas jobs --status running\n  atlas jobs --filter 'params.lr<=0.01 and metrics.loss.min<0.2' --sort -metrics.acc.max\n  atlas jobs --filter 'tags.best exists and submitted>-7d'\n  atlas jobs --project mnist --limit 500 --output jsonl | jq -r .id"
)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Only of this project
    #[arg(long, short, value_name = "P")]
    project: Option<String>,
    /// Only with this status
    #[arg(long, short, value_name = "S")]
    status: Option<Status>,
    /// Only of this user
    #[arg(long, short, value_name = "U")]
    user: Option<String>,
    /// Only those of which this holds, for example 'status=failed and params.lr<=0.01'
    #[arg(long, short, value_name = "TEXT", default_value = "", hide_default_value = true)]
    filter: String,
    /// What decides the order, the first key first; a minus puts the largest first
    #[arg(
        long,
        value_name = "KEYS",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    sort: String,
    /// Tags, parameters and metrics to show, for example 'params.lr, metrics.acc.max'; '*' = every parameter and metric
    #[arg(long, short, value_name = "KEYS", default_value = "", hide_default_value = true)]
    columns: String,
    /// At most so many
    #[arg(long, short, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Status {
    Queued,
    Running,
    Completed,
    Failed,
}

pub async fn run(args: Args, say: Say) -> Result<Exit, Error> {
    let Args { target, project, status, user, filter, sort, mut columns, limit, output } = args;
    if columns.is_empty() && output.output == Format::Wide {
        columns = "*".into();
    }
    let master = target.connect(say).await?;
    let word =
        |it: Status| it.to_possible_value().expect("no value is hidden").get_name().to_owned();
    let status = status.map(word);
    let cursor = String::new();
    let request =
        wire::ListJobsRequest { project, status, user, limit, cursor, filter, sort, columns };
    let wire::ListJobsReply { jobs, columns, total, .. } = master.jobs(request).await?;
    let jobs: Vec<JobView> = jobs.into_iter().map(Into::into).collect();
    output::list_with(output.output, &jobs, &columns, JobView::column).map_err(Error::Output)?;
    if total > u64::from(limit) && matches!(output.output, Format::Table | Format::Wide) {
        say.info(format_args!("These are {limit} of {total} jobs; --limit shows more."));
    }
    Ok(Exit::SUCCESS)
}
