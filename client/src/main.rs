//! The program `atlas`, also called `foundations` and `atlas-server`.

use std::process::ExitCode;

fn main() -> ExitCode {
    atlas_cli::run(std::env::args_os().collect())
}
