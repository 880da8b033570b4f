//! `atlas-server start | stop | version`, as the server was called in 2020.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config::variable;
use crate::error::Error;
use crate::exit::Exit;
use crate::say::Say;
use crate::up::{self, Listen, Settings, Workers};

/// Start and stop Atlas on this machine (the same as `atlas up`)
#[derive(Debug, Parser)]
#[command(
    name = "atlas-server",
    version,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Server {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start Atlas; NUM_WORKERS says how many jobs run at the same time [default: 1]
    Start(Start),
    /// Stop the Atlas that runs; its jobs go on
    Stop(Stop),
    /// Print the version
    Version,
}

#[derive(Debug, clap::Args)]
struct Start {
    /// Use this machine's NVIDIA GPUs, a worker for each
    #[arg(short = 'g', long)]
    enable_gpu: bool,
    /// Port of the dashboard
    #[arg(short, long, value_name = "PORT", default_value = "5555")]
    dashboard_port: Listen,
    /// Folder for state, logs and results [default: ~/.atlas/data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Stop {
    /// Folder of the Atlas to stop [default: ~/.atlas/data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Server {
    pub async fn run(self, say: Say) -> Result<Exit, Error> {
        match self.command {
            Command::Start(start) => Ok(up::run(start.settings(say)?, say).await?),
            Command::Stop(Stop { data }) => {
                Ok(up::stop_running(&data.unwrap_or_else(up::default_data), say).await?)
            }
            Command::Version => crate::cli::version(),
        }
    }
}

impl Start {
    fn settings(self, say: Say) -> Result<Settings, Error> {
        for name in ["HOST_ADDRESS", "REDIS_ADDRESS"] {
            if variable(name).is_some() {
                say.warn(format_args!(
                    "{name} is set, but this starts Atlas for one machine alone; docs/using/from-2020.md says what takes its place."
                ));
            }
        }
        let workers = workers(self.enable_gpu, variable("NUM_WORKERS").as_deref())?;
        Ok(Settings {
            data: self.data.unwrap_or_else(up::default_data),
            workers,
            executor: None,
            stop_jobs: false,
            http: self.dashboard_port,
            grpc: Listen::local(5558),
            node: Listen::local(5000),
            // Without workers no job runs here.
            job_user: workers.and_then(|_| up::job_user(say)),
            insecure_no_accounts: false,
        })
    }
}

/// GPUs count, as in 2020, whatever the variable says.
fn workers(gpus: bool, number: Option<&str>) -> Result<Option<Workers>, Error> {
    if gpus {
        return Ok(Some(Workers::PerGpu));
    }
    let number = number.unwrap_or("1");
    match number.trim().parse::<u32>() {
        Ok(0) => Ok(None),
        Ok(number) if number <= 1024 => Ok(Some(Workers::Number(number))),
        _ => Err(Error::Usage(format!(
            "NUM_WORKERS is {number:?}, which is no number from 0 to 1024"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_a_number_or_the_gpus() {
        assert_eq!(workers(false, None).unwrap(), Some(Workers::Number(1)));
        assert_eq!(workers(false, Some("4")).unwrap(), Some(Workers::Number(4)));
        assert_eq!(workers(false, Some("0")).unwrap(), None);
        assert_eq!(workers(true, Some("nonsense")).unwrap(), Some(Workers::PerGpu));
        for wrong in ["many", "-1", "1.5", "99999"] {
            assert!(
                workers(false, Some(wrong)).unwrap_err().to_string().contains("NUM_WORKERS"),
                "{wrong}"
            );
        }
    }
}
