//! `atlas import DIR`

mod job;

use std::path::PathBuf;

use atlas_proto::wire;

use crate::connect::Master;
use crate::error::Error;
use crate::exit::Exit;
use crate::output::counted;
use crate::say::Say;
use crate::target::Target;
use crate::transfer::{About, Layout, Project};
use job::Import;

/// Bring the jobs of an export into this cluster
///
/// With their ids, users, times, outcomes, parameters, metrics, files and logs. None of them is run.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  atlas import --dry-run mnist-2026\n  atlas import --config new-cluster mnist-2026\n\n\
        Run again it goes on where it was: jobs that are there with the same content are passed over, those of the same id and\n\
        another content are refused. Description and notes of the project come where nothing is written of it."
)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Check the export and say what would come, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// The folder that `atlas export` has written
    dir: PathBuf,
}

pub async fn run(args: Args, say: Say) -> Result<Exit, Error> {
    let Args { target, dry_run, dir } = args;
    let layout = Layout::new(dir);
    let about = layout.about()?.ok_or_else(|| {
        Error::usage(format!("{} is no export: it has no export.json", layout.root().display()))
    })?;
    let jobs = layout.jobs()?;
    let master = target.connect(say).await?;
    let import = Import { master: &master, layout: &layout, dry_run, say };
    let (mut brought, mut known, mut exit) = (0, 0, Exit::SUCCESS);
    for id in jobs {
        match import.job(id).await {
            Ok(true) => known += 1,
            Ok(false) => brought += 1,
            Err(error) => {
                say.error(format_args!("job {id}: {}", atlas_runtime::Chain(&error)));
                exit = exit.or(error.exit());
                if matches!(&error, Error::Master(error) if error.passes()) {
                    return Ok(exit);
                }
            }
        }
    }
    let name = about.project.name.clone();
    if !project(&master, about, dry_run).await? {
        say.warn(format_args!("Something else is written of project {name} here, and stays."));
    }
    let known = if known > 0 {
        format!(" {} there.", counted(known, "was", "were"))
    } else {
        String::new()
    };
    say.info(format_args!(
        "{} {} of project {name}.{known}",
        if dry_run { "Would bring" } else { "Brought" },
        counted(brought, "job", "jobs"),
    ));
    Ok(exit)
}

async fn project(master: &Master, about: About, only_check: bool) -> Result<bool, Error> {
    let Project { name, description, notes } = about.project;
    if description.is_empty() && notes.is_empty() {
        return Ok(true);
    }
    let note = |it: crate::transfer::Note| wire::Note {
        id: it.number,
        author: it.author,
        at_ms: it.at,
        text: it.text,
    };
    let notes = notes.into_iter().map(note).collect();
    let request = wire::ImportProjectRequest { project: name, description, notes, only_check };
    Ok(master.import_project(&request).await?)
}
