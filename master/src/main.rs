//! The program `atlas-master`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use atlas_master::config::{Config, Options};
use atlas_master::start::start;
use atlas_runtime::Chain;
use atlas_runtime::config::{Effective, Error, Layers};
use atlas_runtime::service::Service;
use atlas_runtime::telemetry::TelemetryOptions;
use clap::Parser;

/// The master of an Atlas cluster: one global queue, its state, and the API in front of it.
///
/// Every setting can also stand in the --config-file (YAML) or in the environment as ATLAS_<NAME>.
#[derive(Parser)]
#[command(name = "atlas-master", version)]
struct Cli {
    /// File with settings (YAML); the environment and flags win over it
    #[arg(long, value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// Show the settings that hold, and where each comes from
    #[arg(long)]
    print_config: bool,
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let (effective, config) = match settings(&cli) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("atlas-master: {}", Chain(&error));
            return ExitCode::from(2);
        }
    };
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

fn settings(cli: &Cli) -> Result<(Effective<Options>, Config), Error> {
    let effective = Layers::new(&Options::defaults())?
        .file(cli.config_file.as_deref())?
        .env(|name| std::env::var_os(name))?
        .flags(&cli.options)?
        .build()?;
    let config = Config::build(&effective)?;
    Ok((effective, config))
}
