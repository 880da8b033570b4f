//! `atlas queue [list]`

use crate::error::Error;
use crate::exit::Exit;
use crate::output::{self, Format, Output};
use crate::say::Say;
use crate::target::Target;
use crate::views::QueuedView;

/// Show what waits, in order, and why
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Example:\n  atlas queue --output wide"
)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show what waits, in order, and why
    List(ListArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    target: Target,
    /// At most so many, from the head on
    #[arg(long, short, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    #[command(flatten)]
    output: Output,
}

pub async fn run(args: Args, say: Say) -> Result<Exit, Error> {
    let ListArgs { target, limit, output } = match args.what {
        Some(What::List(list)) => list,
        None => args.list,
    };
    let master = target.connect(say).await?;
    let queue = master.queue(limit).await?;
    let (shown, total) = (queue.jobs.len() as u64, queue.total);
    let jobs: Vec<QueuedView> = queue.jobs.into_iter().map(Into::into).collect();
    output::list(output.output, &jobs).map_err(Error::Output)?;
    if shown < total && matches!(output.output, Format::Table | Format::Wide) {
        say.info(format_args!("These are the first {shown} of {total}; --limit shows more."));
    }
    Ok(Exit::SUCCESS)
}
