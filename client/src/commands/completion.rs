//! `atlas completion SHELL`

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::error::Error;
use crate::exit::Exit;

/// Print a script that completes commands and options in a shell
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  source <(atlas completion bash)\n  atlas completion zsh > ~/.zfunc/_atlas\n  atlas completion fish > ~/.config/fish/completions/atlas.fish"
)]
pub struct Args {
    shell: Shell,
}

pub fn run(args: &Args) -> Result<Exit, Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "atlas", &mut script);
    io::stdout().write_all(&script).map_err(Error::Output)?;
    Ok(Exit::SUCCESS)
}
