//! `atlas node [list | remove NAME]`, and `atlas nodes`

use crate::error::Error;
use crate::exit::Exit;
use crate::output::{self, Output};
use crate::say::Say;
use crate::target::Target;
use crate::views::NodeView;

/// List the machines of the cluster, or remove one
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  atlas node --output wide\n  atlas node remove gpu-7"
)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List the machines of the cluster
    List(ListArgs),
    /// Forget a machine that is away and will not come back
    Remove(RemoveArgs),
}

#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct RemoveArgs {
    #[command(flatten)]
    target: Target,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// The node's name, as `atlas node list` shows it
    name: String,
}

pub async fn run(args: Args, say: Say) -> Result<Exit, Error> {
    match args.what {
        None => list(args.list, say).await,
        Some(What::List(args)) => list(args, say).await,
        Some(What::Remove(args)) => remove(args, say).await,
    }
}

pub async fn list(args: ListArgs, say: Say) -> Result<Exit, Error> {
    let master = args.target.connect(say).await?;
    let nodes: Vec<NodeView> = master.nodes().await?.into_iter().map(Into::into).collect();
    output::list(args.output.output, &nodes).map_err(Error::Output)?;
    Ok(Exit::SUCCESS)
}

async fn remove(args: RemoveArgs, say: Say) -> Result<Exit, Error> {
    let RemoveArgs { target, yes, name } = args;
    let master = target.connect(say).await?;
    let node = master.nodes().await?.into_iter().find(|it| it.name == name);
    if let Some(node) = node {
        let question = format!(
            "Remove node {name} ({}, {}, {}) from {}?",
            node.state,
            output::counted(node.gpus.len(), "GPU", "GPUs"),
            output::counted(node.jobs.len(), "job", "jobs"),
            master.url()
        );
        if !say.agreed(yes, question).map_err(Error::io("read the answer"))? {
            say.info(format_args!("Node {name} was kept."));
            return Ok(Exit::SUCCESS);
        }
    }
    master.remove_node(&name).await?;
    say.info(format_args!("Removed node {name}."));
    Ok(Exit::SUCCESS)
}
