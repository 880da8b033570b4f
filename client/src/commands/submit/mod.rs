//! `atlas submit CONFIG JOB_DIR COMMAND…`

mod args;
mod changes;
mod dry_run;
mod folder;
mod git;
pub(super) mod overrides;
pub(super) mod secrets;

use std::cell::Cell;
use std::path::{Path, PathBuf};

use atlas_core::JobId;
use atlas_proto::wire;
use atlas_runtime::tasks::signals;

use crate::bundle::{Packed, Tree, pack_to_temp};
use crate::config::DEFAULT;
use crate::connect::{self, Master, upload};
use crate::error::Error;
use crate::exit::Exit;
use crate::say::Say;
use crate::target::connect as connect_to;
use crate::{follow, output};

pub use args::Args;
use args::Words;

/// How far a submission is, for whoever interrupts it.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Preparing,
    /// On its way: the master may have it or not.
    Sent(JobId),
    Submitted(JobId),
}

/// A submission that was looked at on this machine, ready to be sent.
struct Prepared {
    tree: Tree,
    request: wire::SubmitRequest,
}

pub async fn run(args: Args, say: Say) -> Result<Exit, Error> {
    let say = say.quiet(args.quiet);
    let words = args.words()?;
    if args.dry_run {
        let tree = folder::collect(&words.dir, &args, &words.command, say).await?;
        return dry_run::show(&tree).map_err(Error::Output).map(|()| Exit::SUCCESS);
    }
    let signal = signals().map_err(Error::io("listen for signals"))?;
    let stage = Cell::new(Stage::Preparing);
    tokio::select! {
        exit = Box::pin(submit(&args, &words, say, &stage)) => exit,
        signal = signal => {
            interrupted(stage.get(), words.config.as_deref(), say);
            Ok(signal.into())
        }
    }
}

async fn submit(args: &Args, words: &Words, say: Say, stage: &Cell<Stage>) -> Result<Exit, Error> {
    let id = JobId::from_random(*uuid::Uuid::new_v4().as_bytes());
    let overrides = overrides::build(args, &words.command)?;
    let secrets = secrets::of_flags(&args.secret, &args.env)?;
    let job_config_yaml = folder::job_config(&words.dir)?;
    let master = connect_to(words.config.as_deref(), say).await?;
    say.info("Job submission started. Ctrl-C to cancel.");
    let (tree, git) = tokio::join!(
        folder::collect(&words.dir, args, &words.command, say),
        git::describe(&words.dir)
    );
    let tree = tree?;
    let git_diff = match &git {
        Some(it) if it.dirty => changes::describe(&tree).await,
        _ => None,
    };
    let request = wire::SubmitRequest {
        id: id.to_string(),
        bundle: None,
        dir_name: dir_name(&words.dir)?,
        job_config_yaml,
        overrides: Some(overrides),
        git,
        secrets,
        git_diff,
    };
    let reply =
        send(&master, Prepared { tree, request }, say, || stage.set(Stage::Sent(id))).await?;
    stage.set(Stage::Submitted(id));
    follow_up(&master, reply, say, args.quiet, args.streams()).await
}

/// Says what became of a submission, and follows the job to its end where that is wished.
pub(super) async fn follow_up(
    master: &Master,
    reply: wire::SubmitReply,
    say: Say,
    quiet: bool,
    streams: bool,
) -> Result<Exit, Error> {
    let wire::Job { id, spec, .. } = reply.job.unwrap_or_default();
    for notice in &reply.notices {
        say.warn(notice);
    }
    let project = spec.as_ref().map_or("", |it| &it.project);
    say.info(format_args!("Job submitted with ID '{id}' in project '{project}'."));
    if quiet {
        output::line(&id).map_err(Error::Output)?;
    }
    if !streams {
        return Ok(Exit::SUCCESS);
    }
    let ended = follow::to_the_end(master, &id, say, !quiet).await?;
    follow::tell_end(&ended, say);
    Ok(Exit::of(&ended))
}

/// Packs and submits. The master looks at everything else before it asks for the bundle, and most bundles it knows.
async fn send(
    master: &Master,
    prepared: Prepared,
    say: Say,
    sent: impl Fn(),
) -> Result<wire::SubmitReply, Error> {
    let Prepared { tree, mut request } = prepared;
    say.info("Bundling job contents.");
    let bar = say.bar("Bundling", tree.tar_size());
    let progress = bar.clone();
    let packing = tokio::task::spawn_blocking(move || {
        pack_to_temp(&tree, |done| progress.set_position(done))
    });
    let packed = packing.await.map_err(|it| Error::io("pack the job directory")(it.into()))?;
    bar.finish_and_clear();
    let (file, packed) = packed?;
    request.bundle = Some(wire::Bundle::from(&packed.bundle));
    sent();
    let mut first = master.submit(&request).await;
    if let Err(connect::Error::SecretsWanted { names, .. }) = &first {
        let config = request.job_config_yaml.as_deref().unwrap_or_default();
        let found = secrets::of_config(names, config)?;
        say.info(format_args!("Secrets sent from this environment: {}.", names.join(", ")));
        request.secrets.extend(found);
        first = master.submit(&request).await;
    }
    match first {
        Err(connect::Error::Refused { code: tonic::Code::FailedPrecondition, .. }) => {}
        other => return other.map_err(overrides::refused),
    }
    send_bundle(master, file, &packed, say).await?;
    master.submit(&request).await.map_err(overrides::refused)
}

async fn send_bundle(
    master: &Master,
    file: std::fs::File,
    packed: &Packed,
    say: Say,
) -> Result<(), Error> {
    let bar = say.bar("Uploading", packed.size);
    let sent = upload(master, file, packed, &bar).await;
    bar.finish_and_clear();
    tracing::debug!(bytes = packed.size, sent = sent.as_ref().ok(), "the master has the bundle");
    Ok(sent.map(|_| ())?)
}

fn interrupted(stage: Stage, config: Option<&str>, say: Say) {
    let config = config.unwrap_or(DEFAULT);
    match stage {
        Stage::Preparing => say.info("Cancelled; nothing was submitted."),
        Stage::Sent(id) => say.warn(format_args!(
            "Cancelled while the submission was on its way: `atlas show --config {config} {id}` says whether it arrived."
        )),
        Stage::Submitted(id) => say.info(format_args!(
            "Stopped streaming; the job goes on. `atlas get logs --follow {config} {id}` streams again."
        )),
    }
}

/// The project where nothing else names one.
fn dir_name(dir: &Path) -> Result<String, Error> {
    let full = dir.canonicalize().map_err(|_| missing(dir))?;
    let name = full.file_name().map(|it| it.to_string_lossy().into_owned());
    Ok(name.unwrap_or_default())
}

fn missing(dir: &Path) -> Error {
    Error::Usage(format!("the job directory {} does not exist", dir.display()))
}

/// JOB_DIR has to be a directory that can be looked into.
fn job_dir(dir: PathBuf) -> Result<PathBuf, Error> {
    match std::fs::metadata(&dir) {
        Ok(found) if found.is_dir() => Ok(dir),
        Ok(_) => {
            let path = dir.display();
            Err(Error::Usage(format!(
                "the job directory {path} is not a directory: it stands before COMMAND, as in `atlas submit scheduler . {path}`"
            )))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(missing(&dir)),
        Err(error) => Err(Error::Usage(format!(
            "the job directory {} cannot be read: {error}",
            dir.display()
        ))),
    }
}
