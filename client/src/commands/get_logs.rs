//! `atlas get logs CONFIG JOB…`

use std::time::Duration;

use atlas_proto::wire::ReadLogRequest;
use atlas_runtime::Chain;
use atlas_runtime::clock::Wall;
use futures::StreamExt;
use futures::stream::select_all;

use crate::connect::{Master, log};
use crate::error::Error;
use crate::exit::Exit;
use crate::logs::{LogWriter, Marks};
use crate::say::Say;
use crate::target::{Target, connect};
use crate::time::Since;

/// Show what jobs wrote to stdout and stderr, byte for byte
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "atlas get logs [OPTIONS] CONFIG JOB...",
    after_help = "Examples:\n  atlas get logs scheduler 4554\n  atlas get logs --follow --tail 20 scheduler 4554\n  \
        atlas get logs --since 10m --timestamps scheduler 4554 9a3c"
)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Go on until the jobs have ended, and wait for them to begin
    #[arg(long, short)]
    follow: bool,
    /// Only from here on: bytes (4096), a time ago (10m) or a time (2026-11-20T10:00)
    #[arg(long, value_name = "OFFSET|TIME", conflicts_with = "tail")]
    since: Option<Since>,
    /// Only the last lines
    #[arg(long, short = 'n', value_name = "N")]
    tail: Option<u64>,
    /// Put the time in front of each line
    #[arg(long, short)]
    timestamps: bool,
    /// Configuration of the cluster (left out when --config names it)
    #[arg(value_name = "CONFIG")]
    first: String,
    /// Ids of jobs, or unique beginnings of 4 digits and more
    #[arg(value_name = "JOB")]
    rest: Vec<String>,
}

/// Logs that are followed at the same time over one connection.
const AT_ONCE: usize = 100;

pub async fn run(args: Args, say: Say) -> Result<Exit, Error> {
    let Args { target, follow, since, tail, timestamps, first, rest } = args;
    let (config, jobs) = target.split_jobs("get logs", first, rest)?;
    if follow && jobs.len() > AT_ONCE {
        return Err(Error::Usage(format!(
            "{AT_ONCE} jobs at most can be followed, {} are named",
            jobs.len()
        )));
    }
    let (since_offset, since_ms) = match since {
        None => (None, None),
        Some(Since::Offset(offset)) => (Some(offset), None),
        Some(Since::Ago(ago)) => (None, Some(before(Wall::now(), ago))),
        Some(Since::At(ms)) => (None, Some(ms)),
    };
    let of = |job: String| ReadLogRequest {
        job,
        follow,
        since_offset,
        since_ms,
        tail_lines: tail,
        timestamps,
        attempt: 0,
    };
    let master = connect(Some(&config), say).await?;
    let mut writer = LogWriter::new(Marks { ids: jobs.len() > 1, times: timestamps });
    // Together, so that all that happens is seen when it happens; or one after the other, so that each can be read.
    let exit = if follow {
        write_all(&master, jobs, &of, &mut writer, say).await?
    } else {
        let mut exit = Exit::SUCCESS;
        for job in jobs {
            exit = exit.or(write_all(&master, vec![job], &of, &mut writer, say).await?);
        }
        exit
    };
    Ok(exit)
}

async fn write_all(
    master: &Master,
    jobs: Vec<String>,
    of: &impl Fn(String) -> ReadLogRequest,
    writer: &mut LogWriter,
    say: Say,
) -> Result<Exit, Error> {
    let mut exit = Exit::SUCCESS;
    let named =
        jobs.into_iter().map(|job| log(master, of(job.clone())).map(move |it| (job.clone(), it)));
    let mut pieces = select_all(named.map(StreamExt::boxed));
    while let Some((job, piece)) = pieces.next().await {
        match piece {
            Ok(piece) => writer.write(&job, &piece).await.map_err(Error::Output)?,
            Err(error) => {
                let error = Error::from(error);
                say.error(Chain(&error));
                exit = exit.or(error.exit());
            }
        }
    }
    writer.finish().await.map_err(Error::Output)?;
    Ok(exit)
}

fn before(now_ms: u64, ago: Duration) -> u64 {
    now_ms.saturating_sub(u64::try_from(ago.as_millis()).unwrap_or(u64::MAX))
}
