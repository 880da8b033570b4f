//! `atlas project [list | show | describe | note | retention]`

use std::io::{IsTerminal, Read};

use atlas_proto::wire;

use crate::error::Error;
use crate::exit::Exit;
use crate::output::{self, Format, Output};
use crate::say::Say;
use crate::target::Target;
use crate::views::{ProjectDetails, ProjectView, UsageView};

/// List projects, show one, or say something of it
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  atlas project\n  atlas project show mnist\n  atlas project describe mnist < README.md\n  atlas project note mnist 'lr above 0.1 diverges'\n  atlas project retention mnist 'outputs 30d'"
)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List the projects that have jobs
    List(ListArgs),
    /// Show what is said of a project, and its metrics over all jobs
    Show(ShowArgs),
    /// Describe a project, in Markdown
    Describe(DescribeArgs),
    /// Note something about a project, or remove a note
    Note(NoteArgs),
    /// Remove what jobs of a project wrote so long after their end, or stop that
    #[command(
        after_help = "Examples:\n  atlas project retention mnist 'outputs 30d'\n  atlas project retention mnist off\n\n\
            Outputs, artifacts, checkpoints, synced folders and TensorBoard files go; the jobs stay with log, parameters, metrics\n\
            and source. The tag keep keeps all of a job: `atlas tag JOB keep`."
    )]
    Retention(RetentionArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    #[command(flatten)]
    target: Target,
    /// Name of the project
    project: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct DescribeArgs {
    #[command(flatten)]
    target: Target,
    /// Name of the project
    project: String,
    /// The description; left out, what comes on stdin
    text: Option<String>,
}

#[derive(Debug, clap::Args)]
struct NoteArgs {
    #[command(flatten)]
    target: Target,
    /// Name of the project
    project: String,
    /// What there is to say
    #[arg(required_unless_present = "remove", conflicts_with = "remove")]
    text: Option<String>,
    /// Remove the note of this number, as `atlas project show` shows it
    #[arg(long, value_name = "NUMBER")]
    remove: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct RetentionArgs {
    #[command(flatten)]
    target: Target,
    project: String,
    /// `outputs 30d` (also s, m, h), or `off`
    #[arg(required = true, num_args = 1..)]
    rule: Vec<String>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub async fn run(args: Args, say: Say) -> Result<Exit, Error> {
    match args.what {
        None => list(args.list, say).await,
        Some(What::List(args)) => list(args, say).await,
        Some(What::Show(args)) => show(args, say).await,
        Some(What::Describe(args)) => describe(args, say).await,
        Some(What::Note(args)) => note(args, say).await,
        Some(What::Retention(args)) => retention(args, say).await,
    }
}

async fn list(args: ListArgs, say: Say) -> Result<Exit, Error> {
    let projects = args.target.connect(say).await?.projects().await?;
    let projects: Vec<ProjectView> = projects.into_iter().map(Into::into).collect();
    output::list(args.output.output, &projects).map_err(Error::Output)?;
    Ok(Exit::SUCCESS)
}

async fn show(args: ShowArgs, say: Say) -> Result<Exit, Error> {
    let ShowArgs { target, project, output } = args;
    let project = target.connect(say).await?.project(&project).await?;
    let project = ProjectDetails::from(project);
    let shown = match output.output {
        Format::Json | Format::Jsonl => output::object(output.output, &project),
        Format::Table | Format::Wide => output::text(&project.lines()),
    };
    shown.map_err(Error::Output)?;
    Ok(Exit::SUCCESS)
}

async fn describe(args: DescribeArgs, say: Say) -> Result<Exit, Error> {
    let DescribeArgs { target, project, text } = args;
    let text = match text {
        Some(text) => text,
        None if std::io::stdin().is_terminal() => {
            return Err(Error::usage(format!(
                "the description is missing: `atlas project describe {project} TEXT`, or from a file: `… {project} < README.md`"
            )));
        }
        None => {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.map_err(Error::io("read the description from stdin"))?;
            if text.is_empty() {
                let how = format!("`atlas project describe {project} ''` removes the description");
                return Err(Error::usage(format!("nothing came on stdin; {how}")));
            }
            text
        }
    };
    let request = wire::ChangeProjectRequest {
        project: project.clone(),
        description: Some(text),
        ..Default::default()
    };
    target.connect(say).await?.change_project(request).await?;
    say.info(format_args!("Described project {project}."));
    Ok(Exit::SUCCESS)
}

async fn note(args: NoteArgs, say: Say) -> Result<Exit, Error> {
    let NoteArgs { target, project, text: add_note, remove: remove_note } = args;
    let request = wire::ChangeProjectRequest {
        project: project.clone(),
        description: None,
        add_note,
        remove_note,
        retention: None,
    };
    let changed = target.connect(say).await?.change_project(request).await?;
    match (remove_note, changed.notes.last()) {
        (None, Some(last)) => say.info(format_args!("Noted as {} of project {project}.", last.id)),
        _ => say.info(format_args!(
            "Project {project} has {}.",
            output::counted(changed.notes.len(), "note", "notes")
        )),
    }
    Ok(Exit::SUCCESS)
}

/// Asks where something goes at once.
async fn retention(args: RetentionArgs, say: Say) -> Result<Exit, Error> {
    let RetentionArgs { target, project, rule, yes } = args;
    let rule = rule.join(" ");
    let master = target.connect(say).await?;
    if let Some(wire::Outliving { jobs: jobs @ 1.., filter }) =
        master.outliving(&project, &rule).await?
    {
        let wanted = wire::UsageRequest { filter, ended: true, limit: 1, ..Default::default() };
        let occupied = UsageView::from(master.usage(wanted).await?).total;
        let at_least = if occupied.unmeasured > 0 { "at least " } else { "" };
        let bytes = output::bytes(occupied.written());
        let jobs = output::counted(jobs, "job", "jobs");
        let what = format!("what {jobs} of project {project} wrote, {at_least}{bytes}");
        let question = format!("Delete {what}, from {} now, and later ones in time?", master.url());
        if !say.agreed(yes, question).map_err(Error::io("read the answer"))? {
            say.info(format_args!("The retention of project {project} stays as it was."));
            return Ok(Exit::SUCCESS);
        }
        say.info(format_args!("This is deleted now: {what}."));
    }
    let request = wire::ChangeProjectRequest {
        project: project.clone(),
        retention: Some(rule),
        ..Default::default()
    };
    let changed = master.change_project(request).await?;
    say.info(format_args!("The retention of project {project} is {}.", changed.retention));
    Ok(Exit::SUCCESS)
}
