//! `atlas show JOB`

use serde::Serialize;

use crate::error::Error;
use crate::exit::Exit;
use crate::output::{self, Cell, Column, Format, Output, Table};
use crate::say::Say;
use crate::target::Target;
use crate::time::span;
use crate::views::{JobView, RunView, value_text, within};

/// Show everything about one job
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  atlas show 4554\n  atlas show 4554 --output json | jq -r .cause"
)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Id of the job, or a unique beginning of 4 digits and more
    job: String,
    #[command(flatten)]
    output: Output,
}

pub async fn run(args: Args, say: Say) -> Result<Exit, Error> {
    let Args { target, job, output } = args;
    let master = target.connect(say).await?;
    let job = JobView::from(master.job(&job).await?);
    let run = RunView::from(master.run(&job.id).await?);
    let shown = match output.output {
        Format::Json | Format::Jsonl => {
            output::object(output.output, &Everything { job: &job, run: &run })
        }
        Format::Table | Format::Wide => output::text(&lines(&job, &run)),
    };
    shown.map_err(Error::Output)?;
    Ok(Exit::SUCCESS)
}

#[derive(Serialize)]
struct Everything<'a> {
    #[serde(flatten)]
    job: &'a JobView,
    run: &'a RunView,
}

/// A line for everything that there is to say.
fn lines(job: &JobView, run: &RunView) -> String {
    let mut table = Table::new(vec![Column::left(""), Column::left("")]);
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|it| !it.is_empty()) {
            table.push(vec![Cell::new(name), Cell::new(value)]);
        }
    };
    line("id", Some(job.id.clone()));
    line("project", Some(job.project.clone()));
    line("name", job.name.clone());
    line("user", Some(job.user.clone()));
    line("status", Some(format!("{} ({})", job.status, job.phase)));
    line("cause", job.cause.clone());
    line("detail", job.detail.clone());
    let checkpoints = |resume| if resume { " (with its checkpoints)" } else { "" };
    line("rerun of", job.rerun.as_ref().map(|it| format!("{}{}", it.of, checkpoints(it.resume))));
    line("command", Some(job.command.join(" ")));
    line("entrypoint", job.entrypoint.as_ref().map(|it| it.join(" ")));
    line("submitted", Some(format!("{} ({})", job.submitted_at, job.age())));
    line("started", job.started_at.clone());
    line("ended", job.ended_at.clone());
    line("duration", job.duration_ms.map(span));
    line("node", job.node.clone());
    line("host", job.host.as_ref().map(|it| format!("{it} (outside the scheduler)")));
    line("imported", job.imported.as_ref().map(ToString::to_string));
    line("attempt", (job.attempt > 1).then(|| job.attempt.to_string()));
    line("GPUs", (job.num_gpus > 0).then(|| format!("{} {}", job.num_gpus, job.gpus.join(" "))));
    line("CPUs", job.cpus.map(|it| it.to_string()));
    line("memory", job.ram_bytes.map(output::bytes));
    line("/dev/shm", job.shm_bytes.map(output::bytes));
    line("time limit", job.time_limit());
    line("image", job.image.clone());
    for (name, value) in &job.env {
        line("env", Some(format!("{name}={value}")));
    }
    for it in &job.volumes {
        line(
            "volume",
            Some(format!("{}:{}{}", it.host, it.bind, if it.read_only { ":ro" } else { "" })),
        );
    }
    line("params", job.params.as_ref().map(|it| it.get().to_owned()));
    for (name, value) in &job.tags {
        line("tag", Some(if value.is_empty() { name.clone() } else { format!("{name}={value}") }));
    }
    line("note", job.note.clone());
    told(job, run, &mut line);
    line("git", job.git.as_ref().map(ToString::to_string));
    line("git.diff", job.diff_is_fetched_by());
    let bundle = job.bundle.as_ref();
    line(
        "bundle",
        bundle
            .map(|it| (it, output::counted(it.files, "entry", "entries")))
            .map(|(it, files)| format!("{} ({files}, {})", it.id, output::bytes(it.tar_bytes))),
    );
    line("log", job.log_bytes.map(output::bytes));
    line("left behind", job.left_behind.clone());
    line("outputs", job.removal.as_ref().map(ToString::to_string));
    for (node, reason) in &job.excluded {
        line("not on", Some(format!("{node}: {reason}")));
    }
    table.render_rows()
}

/// What the job has told of itself.
fn told(job: &JobView, run: &RunView, line: &mut impl FnMut(&str, Option<String>)) {
    // A master of today shows jobs as they are called now.
    line("own name", run.name.clone().filter(|it| job.name.as_ref() != Some(it)));
    for (key, value) in run.tags.iter().filter(|(key, _)| !job.tags.contains_key(*key)) {
        line(
            "own tag",
            Some(if value.is_empty() { key.clone() } else { format!("{key}={value}") }),
        );
    }
    for (key, value) in &run.params {
        line("param", Some(format!("{key}={}", value_text(value))));
    }
    for (key, it) in &run.metrics {
        let points = output::counted(it.count, "point", "points");
        let mut text = format!("{key}={} (step {}, {points}", it.last, it.last_step);
        if let (Some(min), Some(max)) = (&it.min, &it.max) {
            text.push_str(&format!(", min {}, max {}", min.value, max.value));
        }
        line("metric", Some(text + ")"));
    }
    for it in &run.artifacts {
        line("artifact", Some(format!("{} ({}, {})", it.key, it.path, output::bytes(it.bytes))));
    }
    for it in &run.synced {
        let holds =
            format!("{}, {}", output::counted(it.files, "file", "files"), output::bytes(it.bytes));
        line("folder", Some(format!("{} ({}, {holds})", it.key, it.path)));
    }
    line("python", within(run.facts.as_ref(), &["python"]).map(value_text));
    line("GPU models", run.gpu_models());
    line("GPU driver", within(run.facts.as_ref(), &["machine", "driver"]).map(value_text));
    let left = run.unreadable + run.over_limit;
    let why = || format!("{} unreadable, {} beyond a limit", run.unreadable, run.over_limit);
    line("events left out", (left > 0).then(why));
}
