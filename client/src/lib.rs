//! The `atlas` command, as a library so that its parts can be tested on their own. One file per verb: `commands/`.

pub mod bundle;
mod cli;
mod commands;
mod config;
mod connect;
mod error;
mod exit;
mod fetch;
mod follow;
mod logs;
mod output;
mod say;
mod server;
mod spool;
mod target;
mod time;
mod transfer;
mod up;
mod views;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use atlas_runtime::Chain;
use atlas_runtime::telemetry::{self, LogFormat, TelemetryOptions};
use clap::Parser;
use tracing::Instrument;

use crate::error::Error;
use crate::exit::Exit;
use crate::say::{Program, Say};

/// The last spans get this long.
const FLUSH: Duration = Duration::from_secs(1);

/// Runs the command that `args` are, the program's name first.
pub fn run(args: Vec<OsString>) -> ExitCode {
    let program = called_as(args.first());
    let say = Say::new(program);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say.error(format_args!("could not start: {error}"));
            return Exit::UNABLE.into();
        }
    };
    let exit = runtime.block_on(with_telemetry(say, async {
        let (done, exit_of) = match program {
            Program::AtlasServer => {
                (server::Server::parse_from(args).run(say).await, Error::exit as fn(&Error) -> Exit)
            }
            Program::Atlas | Program::Foundations => {
                let cli = cli::Cli::parse_from(args);
                let exit_of =
                    if cli.is_about_a_job() { Error::exit_of_job_command } else { Error::exit };
                (cli.run(say).await, exit_of as fn(&Error) -> Exit)
            }
        };
        done.unwrap_or_else(|error| {
            let exit = exit_of(&error);
            if exit != Exit::BROKEN_PIPE {
                say.error(Chain(&error));
            }
            exit
        })
    }));
    // A thread that still packs or writes is left to the end of the process.
    runtime.shutdown_background();
    exit.into()
}

async fn with_telemetry(say: Say, command: impl Future<Output = Exit>) -> Exit {
    let filter = std::env::var("ATLAS_LOG")
        .ok()
        .filter(|it| !it.is_empty())
        .unwrap_or_else(|| "warn".into());
    let options = TelemetryOptions { filter: Some(filter), format: LogFormat::Text };
    let telemetry = match telemetry::init("atlas", options) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            say.error(Chain(&error));
            return Exit::USAGE;
        }
    };
    let exit = command.instrument(tracing::info_span!("atlas")).await;
    telemetry.shutdown(FLUSH).await;
    exit
}

/// The names of 2020 do the same; `foundations` and `atlas-server` are links to `atlas`.
fn called_as(name: Option<&OsString>) -> Program {
    let name = name
        .and_then(|it| Path::new(it).file_name())
        .and_then(|it| it.to_str())
        .unwrap_or_default();
    match name {
        "foundations" => Program::Foundations,
        "atlas-server" => Program::AtlasServer,
        _ => Program::Atlas,
    }
}
