//! `atlas up`

use std::path::PathBuf;

use crate::error::Error;
use crate::exit::Exit;
use crate::say::Say;
use crate::up::{self, Executor, Listen, Settings, Workers};

/// Start Atlas on this machine, in the foreground until Ctrl-C
///
/// It is master, node and dashboard in one.
/// Jobs that run when it stops go on under their supervisors, and the next `atlas up` finds them again.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  atlas up\n  atlas up --workers 4 --executor process\n  atlas up --gpus\n  \
        atlas up --http 0 --grpc 0 --node 0 --data /tmp/try    (ports are picked, printed, and in /tmp/try/endpoints.json)"
)]
pub struct Args {
    /// Jobs at the same time [default: 1]; 0 = only the master
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1024), conflicts_with = "gpus")]
    workers: Option<u32>,
    /// Use this machine's NVIDIA GPUs, a worker for each
    #[arg(long)]
    gpus: bool,
    /// Folder for state, logs and results, on a local disk [default: ~/.atlas/data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// What jobs run in [default: docker if an engine answers and has the worker image, else process]
    #[arg(long)]
    executor: Option<Executor>,
    /// When Atlas stops, stop its jobs too, queued ones included
    #[arg(long)]
    stop_jobs: bool,
    /// Where dashboard and REST are; 0 picks a port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5555")]
    http: Listen,
    /// Where commands are answered; 0 picks a port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5558")]
    grpc: Listen,
    /// Where the node answers its master; 0 picks a port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5000")]
    node: Listen,
    /// Whom jobs run as when root starts Atlas [default: who called sudo, else root]
    #[arg(long, value_name = "UID:GID[,GROUPS]")]
    job_user: Option<String>,
    /// Listen on addresses that other machines reach, although anyone there may then do anything
    #[arg(long)]
    insecure_no_accounts: bool,
}

pub async fn run(args: Args, say: Say) -> Result<Exit, Error> {
    Ok(up::run(args.settings(say), say).await?)
}

impl Args {
    fn settings(self, say: Say) -> Settings {
        let workers = match (self.gpus, self.workers) {
            (true, _) => Some(Workers::PerGpu),
            (false, Some(0)) => None,
            (false, workers) => Some(Workers::Number(workers.unwrap_or(1))),
        };
        Settings {
            data: self.data.unwrap_or_else(up::default_data),
            workers,
            executor: self.executor,
            stop_jobs: self.stop_jobs,
            http: self.http,
            grpc: self.grpc,
            node: self.node,
            // Without workers no job runs here.
            job_user: self.job_user.or_else(|| workers.and_then(|_| up::job_user(say))),
            insecure_no_accounts: self.insecure_no_accounts,
        }
    }
}
