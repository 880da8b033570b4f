//! The command line as a whole.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::commands::{
    clear_queue, completion, delete, diff, export, get_job, get_logs, import, info, init, jobs,
    join_token, log, ls, node, project, queue, rerun, show, stop, submit, sync, tag, up, usage,
    wait,
};
use crate::error::Error;
use crate::exit::Exit;
use crate::say::Say;

/// Run machine-learning jobs on machines you own
#[derive(Debug, Parser)]
#[command(
    name = "atlas",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "First steps:
  atlas up                                   start Atlas on this machine (stays in the foreground)
  atlas init my-project && cd my-project
  atlas submit scheduler . main.py           send this folder, run main.py, follow it to its end
  atlas jobs                                 what ran; `atlas queue` shows what waits, and why
  atlas get job scheduler JOB                everything that is kept of a job

CONFIG names a cluster: scheduler_url in ~/.atlas/config/submission/<CONFIG>.config.yaml.
'scheduler' is this machine and needs no file (`atlas info --env` lists what there is).
JOB is an id, or a unique beginning of 4 digits and more."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Args),
    Up(up::Args),
    Submit(Box<submit::Args>),
    Rerun(rerun::Args),
    /// Fetch a job's files or show its log
    Get(GetArgs),
    Stop(stop::Args),
    /// Delete finished jobs with all that is kept of them
    Delete(delete::Args),
    ClearQueue(clear_queue::Args),
    Jobs(jobs::Args),
    Show(show::Args),
    Diff(diff::Args),
    Tag(tag::Args),
    Rename(tag::RenameArgs),
    Project(project::Args),
    Usage(usage::Args),
    Export(export::Args),
    Import(import::Args),
    Wait(wait::Args),
    Ls(ls::Args),
    Queue(queue::Args),
    Node(node::Args),
    /// The same as `atlas node list`
    Nodes(node::ListArgs),
    Info(info::Args),
    Log(log::Args),
    Sync(sync::Args),
    JoinToken(join_token::Args),
    Completion(completion::Args),
    /// Print the version
    Version,
    /// Runs a program that ends when this one's parent does.
    #[command(hide = true)]
    Child(ChildArgs),
}

#[derive(Debug, clap::Args)]
struct GetArgs {
    #[command(subcommand)]
    what: Get,
}

#[derive(Debug, Subcommand)]
enum Get {
    Job(get_job::Args),
    Logs(get_logs::Args),
}

#[derive(Debug, clap::Args)]
struct ChildArgs {
    parent: u32,
    program: PathBuf,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

impl Cli {
    /// Does what was asked for.
    pub async fn run(self, say: Say) -> Result<Exit, Error> {
        match self.command {
            Command::Init(args) => init::run(&args, say),
            Command::Up(args) => up::run(args, say).await,
            Command::Submit(args) => submit::run(*args, say).await,
            Command::Rerun(args) => rerun::run(args, say).await,
            Command::Get(GetArgs { what: Get::Job(args) }) => get_job::run(args, say).await,
            Command::Get(GetArgs { what: Get::Logs(args) }) => get_logs::run(args, say).await,
            Command::Stop(args) => stop::run(args, say).await,
            Command::Delete(args) => delete::run(args, say).await,
            Command::ClearQueue(args) => clear_queue::run(args, say).await,
            Command::Jobs(args) => jobs::run(args, say).await,
            Command::Show(args) => show::run(args, say).await,
            Command::Diff(args) => diff::run(args, say).await,
            Command::Tag(args) => tag::run(args, say).await,
            Command::Rename(args) => tag::rename(args, say).await,
            Command::Project(args) => project::run(args, say).await,
            Command::Usage(args) => usage::run(args, say).await,
            Command::Wait(args) => wait::run(args, say).await,
            Command::Ls(args) => ls::run(args, say).await,
            Command::Export(args) => export::run(args, say).await,
            Command::Import(args) => import::run(args, say).await,
            Command::Queue(args) => queue::run(args, say).await,
            Command::Node(args) => node::run(args, say).await,
            Command::Nodes(args) => node::list(args, say).await,
            Command::JoinToken(args) => join_token::run(&args, say),
            Command::Info(args) => info::run(args, say).await,
            Command::Log(args) => log::run(args, say),
            Command::Sync(args) => sync::run(&args).await,
            Command::Completion(args) => completion::run(&args),
            Command::Version => version(),
            Command::Child(ChildArgs { parent, program, args }) => {
                Err(crate::up::become_child(parent, &program, &args).into())
            }
        }
    }

    /// Whether a job's own exit code may be the command's.
    pub const fn is_about_a_job(&self) -> bool {
        matches!(self.command, Command::Submit(_) | Command::Rerun(_) | Command::Wait(_))
    }
}

/// Prints the version.
pub fn version() -> Result<Exit, Error> {
    crate::output::line(&format!("atlas {}", env!("CARGO_PKG_VERSION"))).map_err(Error::Output)?;
    Ok(Exit::SUCCESS)
}
