//! `atlas wait JOB… [--any]`

use std::pin::pin;

use atlas_proto::wire;
use atlas_runtime::Chain;
use atlas_runtime::tasks::signals;
use futures::{StreamExt, stream};

use crate::connect::{Master, watch};
use crate::error::Error;
use crate::exit::Exit;
use crate::output;
use crate::say::Say;
use crate::target::Target;
use crate::views::cause_text;

/// Wait until jobs have ended, and end with the code of the first that failed
///
/// Each that ends is a line on stdout: its id, its status and its cause.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  atlas wait 4554 && echo done\n  atlas wait --any 4554 9a3c\n\nExit codes: 0 all completed, a \
                  job's own code, 128+N signal N, 124 time limit, 125 failed without a code, 126 Atlas could not tell."
)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Wait for the first that ends
    #[arg(long)]
    any: bool,
    /// Ids of jobs, or unique beginnings of 4 digits and more
    #[arg(required = true, value_name = "JOB")]
    jobs: Vec<String>,
}

/// Jobs that are watched at the same time over one connection.
const AT_ONCE: usize = 100;

pub async fn run(args: Args, say: Say) -> Result<Exit, Error> {
    let Args { target, any, jobs } = args;
    if any && jobs.len() > AT_ONCE {
        return Err(Error::Usage(format!(
            "--any watches {AT_ONCE} jobs at most, {} are named",
            jobs.len()
        )));
    }
    let signal = signals().map_err(Error::io("listen for signals"))?;
    let waiting = async {
        let master = target.connect(say).await?;
        wait(&master, any, &jobs, say).await
    };
    tokio::select! {
        exit = waiting => exit,
        signal = signal => {
            say.info("Stopped waiting; the jobs go on.");
            Ok(signal.into())
        }
    }
}

async fn wait(master: &Master, any: bool, jobs: &[String], say: Say) -> Result<Exit, Error> {
    let ends = jobs.iter().enumerate().map(async |(index, job)| (index, end_of(master, job).await));
    let mut ends = pin!(stream::iter(ends).buffer_unordered(AT_ONCE));
    let mut exits = vec![Exit::SUCCESS; jobs.len()];
    while let Some((index, end)) = ends.next().await {
        match end {
            Ok(job) => {
                let cause = job.cause.as_ref().map(|it| format!(" {}", cause_text(it)));
                let line = format!("{} {}{}", job.id, job.status, cause.unwrap_or_default());
                output::line(&crate::say::clean(&line)).map_err(Error::Output)?;
                exits[index] = Exit::of(&job);
            }
            Err(error) => {
                say.error(Chain(&error));
                exits[index] = error.exit_of_job_command();
            }
        }
        if any {
            return Ok(exits[index]);
        }
    }
    Ok(exits.into_iter().fold(Exit::SUCCESS, Exit::or))
}

/// The job once it has ended; what is archived afterwards changes no outcome.
async fn end_of(master: &Master, job: &str) -> Result<wire::Job, Error> {
    let mut states = watch(master, job);
    while let Some(now) = states.next().await {
        let now = now?;
        if now.ended_ms.is_some() {
            return Ok(now);
        }
    }
    unreachable!("a watch ends only behind the job's end")
}
