//! `atlas clear-queue CONFIG`

use std::collections::BTreeMap;

use atlas_proto::wire;

use crate::connect::Master;
use crate::error::Error;
use crate::exit::Exit;
use crate::output;
use crate::say::Say;
use crate::target::{Target, connect};

/// End all queued jobs, of all projects and users
///
/// Running ones go on and nothing is deleted.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "atlas clear-queue [OPTIONS] CONFIG",
    after_help = "Example:\n  atlas clear-queue scheduler"
)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Configuration of the cluster (left out when --config names it)
    #[arg(value_name = "CONFIG", required_unless_present = "config", conflicts_with = "config")]
    name: Option<String>,
}

/// Queued jobs that are looked at to say whose they are.
const LOOKED_AT: u32 = 500;

pub async fn run(args: Args, say: Say) -> Result<Exit, Error> {
    let Args { target, yes, name } = args;
    let master = match name {
        Some(name) => connect(Some(&name), say).await?,
        None => target.connect(say).await?,
    };
    if !agreed(&master, yes, say).await? {
        say.info("The queue was kept.");
        return Ok(Exit::SUCCESS);
    }
    let ended = master.clear_queue().await?;
    say.info(format_args!("Removed {ended} job(s) from queue."));
    Ok(Exit::SUCCESS)
}

async fn agreed(master: &Master, yes: bool, say: Say) -> Result<bool, Error> {
    if yes {
        return Ok(true);
    }
    let queue = master.queue(LOOKED_AT).await?;
    if queue.total == 0 {
        return Ok(true);
    }
    let question = format!(
        "End {} on {}: {}?",
        output::counted(queue.total, "queued job", "queued jobs"),
        master.url(),
        whose(&queue)
    );
    say.agreed(yes, question).map_err(Error::io("read the answer"))
}

/// `3 of ada, 2 of bob`
fn whose(queue: &wire::ListQueueReply) -> String {
    let mut users: BTreeMap<&str, usize> = BTreeMap::new();
    for job in &queue.jobs {
        let spec = job.job.as_ref().and_then(|it| it.spec.as_ref());
        *users.entry(spec.map_or("?", |it| &it.user)).or_default() += 1;
    }
    let mut parts: Vec<_> =
        users.iter().map(|(user, count)| format!("{count} of {user}")).collect();
    if queue.total > queue.jobs.len() as u64 {
        parts.push("and more".into());
    }
    parts.join(", ")
}
