//! `atlas-supervisor`: holds a job's process for the node agent and outlives it. Everything is in [`atlas_node::supervisor`].

fn main() -> std::process::ExitCode {
    atlas_node::supervisor::main(std::env::args_os())
}
