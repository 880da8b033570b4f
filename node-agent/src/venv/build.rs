//! Building an environment: a job of its own, under a supervisor of its own, in the same image or with the same interpreter and
//! as the same user as the jobs that will use it. What it says goes into the log of the job that waits for it.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;

use super::{Error, Want, cache, own};
use crate::executor::{self, Build, BuildPlaces, Supervised};
use crate::logs::Prelude;
use crate::options::JobUser;
use crate::slot::Event;
use crate::supervisor::{Cause, Command, End, ExitFile, Limits, RunFile, Step, User};
use crate::unpack::{self, Owner};

/// Between SIGTERM and SIGKILL.
const GRACE_MS: u64 = 5_000;
const PIECE: u64 = 256 * 1024;

/// Makes `folder` with the environment in it; what cannot be finished is removed.
pub(super) async fn build(want: &mut Want<'_>, folder: &Path) -> Result<(), Error> {
    let done = try_build(want, folder).await;
    if done.is_err() {
        crate::trash::throw(want.node, folder).await;
    }
    done
}

async fn try_build(want: &mut Want<'_>, folder: &Path) -> Result<(), Error> {
    let python = want.base.python.clone().ok_or(Error::NoPython)?;
    lay_out(want, folder).await?;
    let build = Build { folder, base: want.base };
    let places = want.node.executor.build_places(&build);
    let run = run_file(want, &places, &python);
    let control = folder.join(CONTROL);
    blocking(move || Ok(run.write(&control)?)).await?;
    let mut supervised = want.node.executor.build(&build).await?;
    let exit = watch(want, folder, &mut supervised).await;
    want.node.executor.end_build(supervised, &build).await;
    let exit = exit?;
    if want.cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    match exit.end {
        End::Code { code: 0 } => {}
        End::FailedToStart { cause: Cause::Internal, message } => {
            return Err(executor::Error::Refused(message).into());
        }
        end => return Err(Error::Failed(end.to_string())),
    }
    let (folder, user) = (folder.to_owned(), want.node.settings.job_user.clone());
    blocking(move || {
        let failed = |source| Error::Disk { path: folder.clone(), source };
        if !user.is_this_process() {
            own::take_over(&folder.join(cache::VENV)).map_err(failed)?;
        }
        for name in [HOME, TMP, SOURCE] {
            crate::trash::discard(&folder.join(name));
        }
        cache::finish(&folder).map_err(failed)
    })
    .await
}

/// Folders of a build, beside the environment itself.
pub const CONTROL: &str = "control";
pub const HOME: &str = "home";
pub const TMP: &str = "tmp";
/// What requirements.txt lies in.
pub const SOURCE: &str = "source";

async fn lay_out(want: &Want<'_>, folder: &Path) -> Result<(), Error> {
    let (folder, requirements) = (folder.to_owned(), want.requirements.clone());
    let user = want.node.settings.job_user.clone();
    blocking(move || {
        make(&folder, 0o711, None)?;
        make(&folder.join(CONTROL), 0o711, None)?;
        for name in [cache::VENV, HOME, TMP] {
            make(&folder.join(name), 0o755, Some(&user))?;
        }
        let source = folder.join(SOURCE);
        if let Some((path, bundle)) = &requirements.bundle {
            let failed = |source| Error::Disk { path: path.clone(), source };
            let file = fs::File::open(path).map_err(failed)?;
            let owner = Owner { uid: user.uid, gid: user.gid };
            let owner = (!user.is_this_process()).then_some(owner);
            unpack::unpack(file, bundle, &source, owner).map_err(Error::Unpack)?;
            return Ok(());
        }
        // Written before the folder is the user's: nobody else can put a link there.
        make(&source, 0o755, None)?;
        let path = source.join(LIST);
        let disk = |source| Error::Disk { path: path.clone(), source };
        fs::write(&path, &requirements.text).map_err(disk)?;
        give(&source, &user).map_err(disk)
    })
    .await
}

const LIST: &str = "requirements.txt";

fn make(path: &Path, mode: u32, owner: Option<&JobUser>) -> Result<(), Error> {
    let made = DirBuilder::new().mode(mode).create(path).and_then(|()| {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        owner.map_or(Ok(()), |user| give(path, user))
    });
    made.map_err(|source| Error::Disk { path: path.to_owned(), source })
}

fn give(path: &Path, user: &JobUser) -> io::Result<()> {
    if user.is_this_process() { Ok(()) } else { lchown(path, Some(user.uid), Some(user.gid)) }
}

fn run_file(want: &Want<'_>, places: &BuildPlaces, python: &str) -> RunFile {
    let JobUser { uid, gid, groups } = want.node.settings.job_user.clone();
    let mut env: BTreeMap<String, String> = want.base.env.clone();
    env.extend(want.node.settings.job_env.clone());
    env.extend([
        ("HOME".to_owned(), places.home.clone()),
        ("TMPDIR".to_owned(), places.tmp.clone()),
        ("PYTHONUNBUFFERED".to_owned(), "1".to_owned()),
    ]);
    let cwd = PathBuf::from(&places.source);
    let words = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect();
    let make = words(&[python, "-m", "venv", "--system-site-packages", &places.venv]);
    let interpreter = format!("{}/bin/python", places.venv);
    let install = words(&[
        &interpreter,
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--no-cache-dir",
        "--requirement",
        LIST,
    ]);
    let command = Command { argv: make, env: env.clone(), cwd: cwd.clone() };
    RunFile {
        prepare: vec![Step { command, cause: Cause::Requirements }],
        command: Command { argv: install, env, cwd },
        grace_ms: GRACE_MS,
        time_limit_ms: None,
        user: Some(User { uid, gid, groups }),
        limits: Limits::default(),
        api: None,
    }
}

/// Follows the build to its end, which comes soon when nobody wants it any more.
async fn watch(
    want: &mut Want<'_>,
    folder: &Path,
    supervised: &mut Supervised,
) -> Result<ExitFile, Error> {
    let (mut told, mut killed) = (0, false);
    loop {
        tokio::select! {
            event = supervised.next() => match event {
                Event::Started(_) => {}
                Event::LogGrew { length } => told = tell(folder, told, length, want.log).await?,
                Event::Exited(exit) => {
                    tell(folder, told, exit.log_length, want.log).await?;
                    return Ok(exit);
                }
                // Not what the requirements ask for: the node could not do its part.
                Event::Refused { message } => return Err(executor::Error::Refused(message).into()),
                Event::Lost => return Err(executor::Error::Gone.into()),
            },
            () = want.cancel.cancelled(), if !killed => {
                killed = true;
                supervised.kill().await;
            }
        }
    }
}

/// Passes on what the build said since.
async fn tell(folder: &Path, from: u64, to: u64, log: &mut Prelude) -> Result<u64, Error> {
    let mut at = from;
    while at < to {
        let (path, length) = (folder.join(CONTROL).join("log"), (to - at).min(PIECE));
        let piece = blocking(move || {
            let mut piece = vec![0; usize::try_from(length).expect("a piece is small")];
            let read = fs::File::open(&path).and_then(|file| file.read_exact_at(&mut piece, at));
            read.map_err(|source| Error::Disk { path, source })?;
            Ok(piece)
        });
        log.write(&piece.await?)?;
        at += length;
    }
    Ok(to)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    // Only the end of the agent keeps it from coming back.
    spawn_blocking(work).await.unwrap_or(Err(Error::Cancelled))
}
