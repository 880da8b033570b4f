//! `atlas-supervisor`: holds a job's process for the node agent and outlives it. Everything is in the library.

fn main() -> std::process::ExitCode {
    atlas_supervisor::main(std::env::args_os())
}
