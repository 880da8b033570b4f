//! The command line of `atlas-node`: the agent, and the check of what it needs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use atlas_runtime::Chain;
use atlas_runtime::tasks::{Tasks, signals};
use atlas_runtime::telemetry::{self, LogFormat, TelemetryOptions};
use clap::{Args, Parser, Subcommand};

use crate::check::{Output, State, print};
use crate::options::{Options, Settings};

/// Runs jobs on this machine for an Atlas master.
#[derive(Parser)]
#[command(name = "atlas-node", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// A YAML file with the same options
    #[arg(long, value_name = "FILE", env = "ATLAS_CONFIG_FILE")]
    config_file: Option<PathBuf>,
    /// Show what would be used, and where it comes from
    #[arg(long)]
    print_config: bool,
    /// auto, text or json
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    log_format: LogFormat,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Command {
    /// Look at what this machine needs to be a node, with the same options; exit code 1 when something is missing
    Check(Check),
}

#[derive(Args)]
struct Check {
    /// A YAML file with the agent's options
    #[arg(long, value_name = "FILE", env = "ATLAS_CONFIG_FILE")]
    config_file: Option<PathBuf>,
    /// table or json
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: Output,
    #[command(flatten)]
    options: Options,
}

/// How long tasks may take to end; the jobs go on in any case.
const GRACE: Duration = Duration::from_secs(5);
const LAST_TRACES: Duration = Duration::from_secs(2);

/// Does what the arguments of this process say.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new().expect("a machine can start threads");
    let code = runtime.block_on(async {
        match arguments.command {
            Some(Command::Check(arguments)) => check(arguments).await,
            None => agent(arguments).await,
        }
    });
    // A thread that hangs in a storage that is away must not keep the agent.
    runtime.shutdown_timeout(Duration::from_millis(100));
    code
}

async fn agent(arguments: Arguments) -> ExitCode {
    let effective = match arguments.options.effective(arguments.config_file.as_deref()) {
        Ok(effective) if arguments.print_config => {
            print!("{effective}");
            return ExitCode::SUCCESS;
        }
        other => other,
    };
    let settings = match effective.and_then(|effective| Settings::build(&effective)) {
        Ok(settings) => settings,
        Err(error) => return failed(&error, 2),
    };
    let options = TelemetryOptions { filter: None, format: arguments.log_format };
    let telemetry = match telemetry::init("atlas-node", options) {
        Ok(telemetry) => telemetry,
        Err(error) => return failed(&error, 2),
    };
    let code = match serve(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(error.as_ref(), 126),
    };
    telemetry.shutdown(LAST_TRACES).await;
    code
}

async fn check(arguments: Check) -> ExitCode {
    let Check { config_file, output, options } = arguments;
    let effective = options.effective(config_file.as_deref());
    let settings = match effective.and_then(|effective| Settings::build(&effective)) {
        Ok(settings) => settings,
        Err(error) => return failed(&error, 2),
    };
    let findings = crate::check::check(&settings).await;
    if let Err(error) = print(&findings, output, &mut std::io::stdout().lock()) {
        return failed(&error, 126);
    }
    let all = findings.iter().all(|it| it.state != State::Failed);
    ExitCode::from(u8::from(!all))
}

async fn serve(settings: Settings) -> Result<(), Box<dyn std::error::Error>> {
    let (signal, tasks) = (signals()?, Tasks::new());
    tokio::select! {
        ended = crate::run(settings, tasks.clone()) => ended?,
        signal = signal => tracing::info!("{signal} received: running jobs are left to their supervisors"),
    }
    Ok(tasks.shutdown(GRACE).await?)
}

fn failed(error: &(dyn std::error::Error + 'static), code: u8) -> ExitCode {
    eprintln!("atlas-node: {}", Chain(error));
    ExitCode::from(code)
}
