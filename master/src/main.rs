//! The program `atlas-master`.

use std::process::ExitCode;
use std::time::Duration;

use atlas_master::config::Given;
use atlas_master::migrate;
use atlas_master::start::start;
use atlas_runtime::Chain;
use atlas_runtime::service::Service;
use atlas_runtime::telemetry::TelemetryOptions;
use clap::{Parser, Subcommand};

/// The master of an Atlas cluster: one global queue, its state, and the API in front of it.
///
/// Every setting can also stand in the --config-file (YAML) or in the environment as ATLAS_<NAME>.
#[derive(Parser)]
#[command(name = "atlas-master", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Show the settings that hold, and where each comes from
    #[arg(long)]
    print_config: bool,
    #[command(flatten)]
    given: Given,
}

#[derive(Subcommand)]
enum Command {
    /// Move the cluster's state from the file in the --data folder into the --redis, or back
    ///
    /// Takes the settings of the master whose state it is. Stop that master first. A run that was cut off is begun anew by the next.
    Migrate {
        #[command(flatten)]
        arguments: migrate::Arguments,
        #[command(flatten)]
        given: Given,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let given = match &cli.command {
        Some(Command::Migrate { given, .. }) => given,
        None => &cli.given,
    };
    let (effective, config) = match given.settings() {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("atlas-master: {}", Chain(&error));
            return ExitCode::from(2);
        }
    };
    if let Some(Command::Migrate { arguments, .. }) = &cli.command {
        return migrate::command(arguments, &effective, config);
    }
    if cli.print_config {
        print!("{effective}");
        return ExitCode::SUCCESS;
    }
    let telemetry = TelemetryOptions {
        filter: effective.options.log.clone(),
        format: effective.options.log_format.unwrap_or_default(),
    };
    Service { name: "atlas-master", telemetry, grace: Duration::from_secs(10) }
        .run(async |tasks| start(config, tasks).await)
}
