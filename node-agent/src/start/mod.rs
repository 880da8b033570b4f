//! The way from an assignment to a running job: folders, bundle, parameters, requirements, environment, supervisor.

pub mod bundle;
mod checkpoints;
mod environment;
mod error;
mod files;
mod machine;
mod rule;
mod volumes;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use atlas_proto::convert::Entrusted;

use crate::driver::Kept;
use crate::executor::{Base, Supervised};
use crate::leases::{Deadline, Held};
use crate::logs::{LogState, Prelude};
use crate::node::Node;
use crate::paths::{AttemptId, JobDir};
use crate::spare;
use crate::storage;
use crate::supervisor::{Command, Limits, RunFile, UNLIMITED, User};
use crate::venv::{Requirements, Venv, Want};
use atlas_runtime::Chain;
use atlas_runtime::backoff::{Backoff, Policy};
use atlas_runtime::clock;
use atlas_runtime::config::Secret;
use atlas_runtime::telemetry::TraceParent;

pub use bundle::Bundles;
use bundle::Located;
pub use environment::{DEFAULT_PATH, Places, from_lines};
pub use error::Error;
pub use files::Files;
pub use machine::Machine;

use environment::Facts;
use rule::Plan;

/// Between SIGTERM and SIGKILL when nobody says otherwise.
const GRACE_MS: u64 = 10_000;
/// For a share that is not there. Longer than it takes until a node has noticed it (`conditions::share`).
const WAIT_FOR_SHARE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Policy =
    Policy { first: Duration::from_millis(500), max: Duration::from_secs(5), attempts: None };
const OPEN_FILES: u64 = 1_048_576;
const STACK: u64 = 64 << 20;

/// One attempt on its way.
pub struct Start {
    pub node: Arc<Node>,
    pub id: AttemptId,
    pub dir: JobDir,
    pub kept: Kept,
    /// What is for the job alone.
    pub entrusted: Secret<Entrusted>,
    pub log: watch::Sender<LogState>,
    /// The job is not wanted any more.
    pub cancel: CancellationToken,
    /// Cancelled when the executor is about to have it: from then on there may be a process, and it ends or is there.
    pub launching: CancellationToken,
}

impl Start {
    /// Goes all the way. When it fails, nothing of the job runs.
    pub async fn run(self) -> Result<Running, Error> {
        self.begin().await?;
        let mut log = self.lay_out().await?;
        self.has_all_secrets()?;
        let (files, base) = tokio::try_join!(self.files(), async {
            let base = self.node.executor.base(&self.kept.spec, &mut log, &self.cancel).await?;
            Ok((base, log))
        })?;
        // The bundle stays until the job is started: requirements may refer to files in it.
        let ((files, _bundle), (base, mut log)) = (files, base);
        let plan = self.plan(&base)?;
        let wanted = files.requirements.as_ref().filter(|_| plan.requirements);
        log.write(rule::banner(&plan, wanted.is_some()).as_bytes())?;
        let venv = match wanted {
            Some(requirements) => Some(self.venv(&base, requirements, &mut log).await?),
            None => None,
        };
        let places = self.node.executor.places(&self.node.data, &self.dir, &files, venv.as_ref());
        let lease = self.describe(plan, &base, places).await?;
        let launched = self.launch(&files, &base, venv.as_ref()).await;
        if launched.is_err() {
            self.erase().await;
        }
        Ok(Running { supervised: Some(launched?), lease, venv })
    }

    async fn launch(
        &self,
        files: &Files,
        base: &Base,
        venv: Option<&Venv>,
    ) -> Result<Supervised, Error> {
        self.launching.cancel(); // before the look: who gives up now knows which of both came first
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let Self { id, dir, kept, .. } = self;
        let launch = Launch { id: *id, dir, kept, files, base, venv };
        Ok(self.node.executor.launch(launch).await?)
    }

    /// No supervisor will read what it was to run, and that holds secrets.
    async fn erase(&self) {
        let control = self.dir.control();
        if let Err(error) = blocking(move || Ok(RunFile::erase(&control)?)).await {
            tracing::warn!(job = %self.id, "{}", Chain(&error));
        }
    }

    /// Makes the job's folder on the shared storage. Where that is not there it may come back at once; else this node has said by
    /// the end that it lacks it, and the job waits elsewhere.
    async fn begin(&self) -> Result<(), Error> {
        let (mut backoff, began) = (Backoff::new(LOOK_AGAIN), Instant::now());
        loop {
            let (node, id, cancel) = (self.node.clone(), self.id, self.cancel.clone());
            let error = match blocking(move || checkpoints::begin(&node, id, &cancel)).await {
                Err(error @ Error::Storage(storage::Error::NotThere { .. })) => error,
                done => return done,
            };
            let pause = backoff.next().filter(|_| began.elapsed() < WAIT_FOR_SHARE);
            let Some(pause) = pause else { return Err(error) };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.cancel.cancelled() => return Err(Error::Cancelled),
            }
        }
    }

    /// The attempt's folders and the beginning of its log.
    async fn lay_out(&self) -> Result<Prelude, Error> {
        let (dir, kept, state) = (self.dir.clone(), self.kept.clone(), self.log.clone());
        let node = self.node.clone();
        blocking(move || {
            if !node.spares.take(dir.path()) {
                spare::lay_out(dir.path(), &node.settings.job_user)
                    .map_err(|(path, source)| Error::Disk { path, source })?;
            }
            let (spool, user) = (dir.spool().join("events"), &node.settings.job_user);
            node.machine
                .tell(&kept.gpus, &spool, user)
                .map_err(|source| Error::Disk { path: spool, source })?;
            kept.write(&dir.assignment())?;
            Ok(Prelude::create(&dir, state)?)
        })
        .await
    }

    /// A job is not started without one that it names: the master has sent all that it could open.
    fn has_all_secrets(&self) -> Result<(), Error> {
        let secrets = &self.entrusted.expose().secrets;
        match self.kept.spec.worker.secrets.keys().find(|it| !secrets.contains_key(*it)) {
            Some(name) => Err(Error::Secret { name: name.clone() }),
            None => Ok(()),
        }
    }

    /// Everything that the job finds on a disk, and the bundle that it comes from.
    async fn files(&self) -> Result<(Files, Located), Error> {
        let bundle = self.node.bundles.locate(self.kept.spec.bundle.id, &self.cancel).await?;
        let (node, id, dir) = (self.node.clone(), self.id, self.dir.clone());
        let cancel = self.cancel.clone();
        let resumed = self.kept.spec.resumes();
        let (checkpoints, resume) = blocking(move || {
            let checkpoints = checkpoints::provide(&node, id, &dir, &cancel)?;
            let resume = resumed.map(|of| checkpoints::resumed(&node, id, of, &dir, &cancel));
            Ok::<_, Error>((checkpoints, resume.transpose()?))
        })
        .await?;
        let task = files::Task {
            node: self.node.clone(),
            dir: self.dir.clone(),
            spec: self.kept.spec.clone(),
            bundle,
            checkpoints,
            resume,
            cancel: self.cancel.clone(),
        };
        blocking(move || Ok((task.run()?, task.bundle))).await
    }

    fn plan(&self, base: &Base) -> Result<Plan, Error> {
        let spec = &self.kept.spec;
        let plan = |python: &str| {
            rule::plan(spec.entrypoint.as_deref(), &base.entrypoint, &spec.command, python)
        };
        match &base.python {
            Some(python) => Ok(plan(python)?),
            None if rule::wants_python(&spec.command)
                && plan("")?.argv.first().is_some_and(String::is_empty) =>
            {
                Err(Error::NoPython)
            }
            None => Ok(plan("")?),
        }
    }

    async fn venv(
        &self,
        base: &Base,
        requirements: &Requirements,
        log: &mut Prelude,
    ) -> Result<Venv, Error> {
        let venv = self.node.venvs.provide(Want {
            node: &self.node,
            base,
            requirements,
            fresh: self.kept.spec.fresh_requirements,
            log,
            cancel: &self.cancel,
        });
        let venv = venv.await?;
        // So that an agent that starts again knows who uses it.
        let (path, folder) = (self.dir.venv(), venv.folder().to_owned());
        blocking(move || symlink(folder, &path).map_err(|source| Error::Disk { path, source }))
            .await?;
        Ok(venv)
    }

    /// Writes what the supervisor needs to know.
    async fn describe(&self, plan: Plan, base: &Base, places: Places) -> Result<Held, Error> {
        let settings = &self.node.settings;
        let cwd = cwd(&places.work, self.kept.spec.worker.working_dir.as_deref());
        let env = environment::environment(&Facts {
            id: self.id,
            spec: &self.kept.spec,
            entrusted: &self.entrusted,
            gpus: &self.kept.gpus,
            base: &base.env,
            of_node: &settings.job_env,
            places,
            trace: TraceParent::current()
                .map(|it| it.to_string())
                .or_else(|| self.kept.spec.traceparent.clone()),
        });
        let run = RunFile {
            command: Command { argv: plan.argv, env, cwd },
            prepare: Vec::new(),
            grace_ms: grace(self.node.leases.deadline()),
            time_limit_ms: self.kept.spec.time_limit.map(|it| it.0),
            user: Some(User {
                uid: settings.job_user.uid,
                gid: settings.job_user.gid,
                groups: settings.job_user.groups.clone(),
            }),
            limits: Limits {
                nofile: Some(OPEN_FILES),
                memlock: Some(UNLIMITED),
                stack: Some(STACK),
                nproc: None,
            },
            api: Some(self.node.executor.api(&self.node.data)),
        };
        let (control, leases) = (self.dir.control(), self.node.leases.clone());
        let (image, path) = (base.digest().map(str::to_owned), self.dir.image());
        blocking(move || {
            if let Some(digest) = image {
                std::fs::write(&path, digest).map_err(|source| Error::Disk { path, source })?;
            }
            let held = leases.begin(&control)?;
            run.write(&control)?;
            Ok(held)
        })
        .await
    }
}

/// A job that a supervisor has, and its lease.
pub struct Running {
    /// `None` = started by an agent before this one; its supervisor is yet to be heard.
    pub supervised: Option<Supervised>,
    pub lease: Held,
    /// Held, so that it stays.
    pub venv: Option<Venv>,
}

/// What an executor needs to start a job.
pub struct Launch<'a> {
    pub id: AttemptId,
    pub dir: &'a JobDir,
    pub kept: &'a Kept,
    pub files: &'a Files,
    pub base: &'a Base,
    pub venv: Option<&'a Venv>,
}

/// The grace must be shorter than the lease.
fn grace(deadline: Deadline) -> u64 {
    match deadline {
        Deadline::At(until) => GRACE_MS.min(until.0.saturating_sub(clock::Boottime::now()) / 4),
        Deadline::Never | Deadline::Unknown => GRACE_MS,
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    // Only a panic, which is logged, or the end of the agent keeps it from coming back.
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Cancelled))
}

/// Where the command runs. `/job` is the bundle's folder, wherever that lies on this node.
fn cwd(work: &Path, asked: Option<&str>) -> PathBuf {
    let asked = Path::new(asked.unwrap_or_default());
    match asked.strip_prefix("/job") {
        Ok(below) => work.join(below),
        Err(_) => work.join(asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_the_job_is_where_its_files_are() {
        let at = |asked| cwd(Path::new("/data/files"), asked).display().to_string();
        assert_eq!(at(None), "/data/files/");
        assert_eq!(at(Some("/job/src")), "/data/files/src");
        assert_eq!(at(Some("/elsewhere")), "/elsewhere");
    }
}
