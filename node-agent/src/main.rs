//! `atlas-node`: runs jobs on this machine for a master. The agent is [`atlas_node::run`].

use std::process::ExitCode;

fn main() -> ExitCode {
    atlas_node::cli::main()
}
