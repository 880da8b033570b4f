//! `atlas export PROJECT DIR`

mod bundle;
mod job;

use std::path::PathBuf;

use atlas_core::JobId;
use atlas_proto::wire;
use atlas_runtime::clock::Wall;

use crate::connect::Master;
use crate::error::Error;
use crate::exit::Exit;
use crate::output::counted;
use crate::say::Say;
use crate::target::Target;
use crate::transfer::{self, About, FORMAT, Layout, Note, Project};

/// Write the jobs of a project that have ended into a folder: what is recorded, points as Parquet, and files
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  atlas export mnist mnist-2026\n  atlas export --filter 'tags.paper exists' mnist for-the-paper\n\n\
        Run again it goes on where it was, and brings what is new. `atlas import DIR` brings it into another cluster;\n\
        what is where stands in docs/using/export-format.md. Jobs that wait or run are left out. Values of secrets are never in it."
)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Only jobs of which this holds, for example 'status=completed and tags.best exists'
    #[arg(long, short, value_name = "TEXT", default_value = "", hide_default_value = true)]
    filter: String,
    /// The project
    project: String,
    /// Where to: a new folder, an empty one, or an export of this project
    dir: PathBuf,
}

/// Jobs of one export.
const MOST: u32 = 1_000_000;

/// What was done.
#[derive(Default)]
struct Done {
    written: usize,
    known: usize,
    unfinished: Vec<String>,
}

pub async fn run(args: Args, say: Say) -> Result<Exit, Error> {
    let Args { target, filter, project, dir } = args;
    let layout = Layout::new(dir);
    let master = target.connect(say).await?;
    let about = about(&master, &project, &filter).await?;
    begin(&layout, &about)?;
    let request = wire::ListJobsRequest {
        project: Some(project.clone()),
        filter,
        limit: MOST,
        ..Default::default()
    };
    let jobs = master.jobs(request).await?.jobs;
    let mut done = Done::default();
    let mut exit = Exit::SUCCESS;
    for job in jobs {
        if job.phase != "done" {
            done.unfinished.push(job.id);
            continue;
        }
        match one(&master, &layout, &job, say).await {
            Ok(true) => done.written += 1,
            Ok(false) => done.known += 1,
            Err(error @ Error::Transfer(transfer::Error::Write { .. })) => return Err(error),
            Err(error) => {
                say.error(format_args!("job {}: {}", job.id, atlas_runtime::Chain(&error)));
                exit = exit.or(error.exit());
            }
        }
    }
    done.say(&project, &layout, say);
    Ok(exit)
}

/// Whether anything was written.
async fn one(master: &Master, layout: &Layout, job: &wire::Job, say: Say) -> Result<bool, Error> {
    let id: JobId = job.id.parse().map_err(|why| Error::usage(format!("{why}")))?;
    bundle::fetch(master, layout, job, say).await?;
    job::fetch(master, layout, id, say).await
}

async fn about(master: &Master, name: &str, filter: &str) -> Result<About, Error> {
    let wire::GetProjectReply { description, notes, .. } = master.project(name).await?;
    let note =
        |wire::Note { id: number, author, at_ms: at, text }| Note { number, author, at, text };
    let notes = notes.into_iter().map(note).collect();
    Ok(About {
        format: FORMAT,
        atlas: env!("CARGO_PKG_VERSION").into(),
        cluster: master.info().cluster_id.clone(),
        exported: Wall::now(),
        filter: filter.into(),
        project: Project { name: name.into(), description, notes },
    })
}

/// Nothing of anybody else is written over.
fn begin(layout: &Layout, about: &About) -> Result<(), Error> {
    let root = layout.root();
    let shown = root.display();
    match layout.about()? {
        Some(there)
            if (&there.cluster, &there.project.name) != (&about.cluster, &about.project.name) =>
        {
            let why = format!(
                "{shown} is an export of project {:?} of cluster {}; choose another folder",
                there.project.name, there.cluster
            );
            return Err(Error::usage(why));
        }
        Some(_) => {}
        None => {
            let is_empty = std::fs::read_dir(root).map_or(true, |mut it| it.next().is_none());
            if !is_empty {
                return Err(Error::usage(format!(
                    "{shown} holds something else; choose another folder"
                )));
            }
            std::fs::create_dir_all(root.join("jobs")).map_err(transfer::Error::write(root))?;
            std::fs::create_dir_all(root.join("bundles")).map_err(transfer::Error::write(root))?;
        }
    }
    Ok(layout.write_about(about)?)
}

impl Done {
    fn say(&self, project: &str, layout: &Layout, say: Say) {
        let Self { written, known, unfinished } = self;
        for job in unfinished {
            say.warn(format_args!("Job {job} has not ended and was left out."));
        }
        let known = if *known > 0 {
            format!(" {} there.", counted(*known, "was", "were"))
        } else {
            String::new()
        };
        say.info(format_args!(
            "Wrote {} of project {project} into {}.{known}",
            counted(*written, "job", "jobs"),
            layout.root().display()
        ));
    }
}
