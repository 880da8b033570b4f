//! `atlas sync`

use std::path::PathBuf;

use tokio::process::Command;

use crate::error::Error;
use crate::exit::Exit;

/// Send the runs of this machine that found no master while they went on
///
/// A script that imports `foundations` is a run wherever it is started. What its master was not there to hear lies in ~/.atlas/runs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  atlas sync --python .venv/bin/python")]
pub struct Args {
    /// The Python that has the SDK
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: PathBuf,
}

/// The SDK knows what it keeps: this only starts it.
pub async fn run(args: &Args) -> Result<Exit, Error> {
    let python = args.python.display();
    let mut command = Command::new(&args.python);
    command.args(["-m", "foundations", "sync"]);
    let status = command.status().await.map_err(Error::io(format!("start {python}")))?;
    match status.code() {
        Some(0) => Ok(Exit::SUCCESS),
        // Python's own, when there is no such module.
        Some(1) => Err(Error::usage(format!(
            "{python} has no SDK: install it with `pip install ./client/python`, or name the Python that has it by --python"
        ))),
        _ => Ok(Exit::UNABLE),
    }
}
