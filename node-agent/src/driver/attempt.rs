//! The task of one attempt: starts or adopts it, watches it to its end, archives it, removes it.
//!
//! It may be dropped at any moment, when the agent shuts down: everything it knows stands on the disk, and its job is its
//! supervisor's.

use std::sync::Arc;
use std::time::Duration;

use atlas_core::Timestamp;
use atlas_core::agent::{Assignment, Report};
use atlas_core::time::Millis;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::kept::Kept;
use super::{Handle, Wishes, exit};
use crate::executor::Supervised;
use crate::logs::{self, LogState};
use crate::node::Node;
use crate::paths::{AttemptId, JobDir};
use crate::slot::Event;
use crate::start::Running;
use crate::supervisor::{ExitFile, StartedFile};
use crate::{archive, start};

pub(super) struct Attempt {
    pub node: Arc<Node>,
    pub driver: Handle,
    pub id: AttemptId,
    pub dir: JobDir,
    pub wishes: watch::Receiver<Wishes>,
    pub log: watch::Sender<LogState>,
}

/// Where an attempt's task begins.
pub(super) enum Origin {
    Assigned(Assignment),
    Found(State),
}

/// What was found of an attempt when the agent started.
pub enum State {
    /// It is running; adopted.
    Running { kept: Kept, running: Box<Running> },
    /// It has ended and may have to be archived.
    Exited { kept: Kept },
    /// There is nothing to do but to remove it when the master says so.
    Over,
}

impl Attempt {
    pub(super) async fn run(mut self, origin: Origin) {
        let (kept, ended) = match origin {
            Origin::Assigned(assignment) => {
                let kept = self.kept(&assignment);
                let copier = self.copy_log();
                (Some(kept.clone()), self.start_and_watch(kept).await.then_some(copier))
            }
            Origin::Found(State::Running { kept, running }) => {
                let copier = self.copy_log();
                (Some(kept), self.watch(*running).await.then_some(copier))
            }
            Origin::Found(State::Exited { kept }) => {
                let copier = self.copy_log();
                let exit = exit_file(&self.dir).await;
                self.end_log(exit.map_or(0, |it| it.log_length));
                (Some(kept), Some(copier))
            }
            Origin::Found(State::Over) => (None, None),
        };
        self.keep_until_released(kept, ended).await;
        self.remove().await;
    }

    fn kept(&self, assignment: &Assignment) -> Kept {
        Kept::new(assignment, &self.node.identity.boot_id, *self.node.epoch.borrow())
    }

    /// True when there is a log to keep.
    async fn start_and_watch(&mut self, kept: Kept) -> bool {
        match self.start(kept).await {
            Ok(running) => self.watch(running).await,
            Err(error) => {
                let length = self.log.borrow().length;
                self.end_log(length);
                let report = error.report(length);
                tracing::warn!(job = %self.id, "not started: {}", atlas_runtime::Chain(&error));
                let kept = matches!(report, Report::Exited(_));
                self.driver.report(self.id, report).await;
                kept
            }
        }
    }

    /// The start is never dropped half way: it is asked to give up, and says when it has.
    async fn start(&mut self, kept: Kept) -> Result<Running, start::Error> {
        let cancel = CancellationToken::new();
        let task = start::Start {
            node: self.node.clone(),
            id: self.id,
            dir: self.dir.clone(),
            kept,
            log: self.log.clone(),
            cancel: cancel.clone(),
        };
        let mut start = Box::pin(task.run());
        loop {
            tokio::select! {
                done = &mut start => return done,
                Wishes { stop, kill, remove, .. } = next(&mut self.wishes) => {
                    if stop.is_some() || kill || remove {
                        cancel.cancel();
                    }
                }
            }
        }
    }

    /// Watches a job to its end. True when there is a log to keep.
    async fn watch(&mut self, running: Running) -> bool {
        let Running { mut supervised, lease, venv } = running;
        let mut followed = Wishes::default();
        self.wishes.mark_changed(); // some may have come during the start
        let report = loop {
            tokio::select! {
                event = supervised.next() => match event {
                    Event::Started(StartedFile { at_ms, .. }) => {
                        let at = Timestamp(at_ms);
                        self.driver.report(self.id, Report::Started { at }).await;
                    }
                    Event::LogGrew { length } => self.grow_log(length),
                    Event::Exited(file) => break self.exited(supervised, file).await,
                    Event::Refused { message } => tracing::error!(job = %self.id, "{message}"),
                    Event::Lost => break self.lost().await,
                },
                wishes = next(&mut self.wishes) => {
                    follow(&mut supervised, &mut followed, wishes).await;
                }
            }
        };
        drop((lease, venv));
        let exited = matches!(report, Report::Exited(_) | Report::Lost { .. });
        self.driver.report(self.id, report).await;
        exited
    }

    async fn exited(&self, supervised: Supervised, file: ExitFile) -> Report {
        let out_of_memory = self.node.executor.ended(self.id, supervised, &file).await;
        self.end_log(file.log_length);
        exit::report(&file, started(&self.dir).await, out_of_memory)
    }

    /// The supervisor is gone. If it finished its work before, that counts.
    async fn lost(&self) -> Report {
        let fate = self.node.executor.abandoned(self.id, &self.dir).await;
        let report = match exit_file(&self.dir).await {
            Some(file) => {
                self.end_log(file.log_length);
                return exit::report(&file, started(&self.dir).await, fate.out_of_memory);
            }
            None => Report::Lost { message: fate.message },
        };
        let length = self.log.borrow().length;
        self.end_log(length);
        report
    }

    fn grow_log(&self, length: u64) {
        self.log.send_modify(|it| it.length = it.length.max(length));
    }

    fn end_log(&self, length: u64) {
        self.log.send_replace(LogState { length, ended: true });
    }

    fn copy_log(&self) -> oneshot::Receiver<()> {
        logs::copy(&self.node, self.id, &self.dir, self.log.subscribe())
    }

    /// Archives when that is wished, and waits for the release.
    async fn keep_until_released(
        &mut self,
        kept: Option<Kept>,
        log: Option<oneshot::Receiver<()>>,
    ) {
        let mut job = kept.zip(log);
        self.wishes.mark_changed();
        loop {
            let wishes = next(&mut self.wishes).await;
            if wishes.remove {
                return;
            }
            if let Some((kept, log)) = job.take_if(|_| wishes.archive) {
                let cancel = CancellationToken::new();
                let archive = archive::Archive {
                    node: self.node.clone(),
                    id: self.id,
                    dir: self.dir.clone(),
                    kept,
                    cancel: cancel.clone(),
                };
                let _stop = cancel.drop_guard();
                tokio::select! {
                    left_behind = archive.run(log) => {
                        let report = Report::Archived { left_behind };
                        self.driver.report(self.id, report).await;
                    }
                    () = removal(self.wishes.clone()) => {}
                }
                self.wishes.mark_changed();
            }
        }
    }

    /// Nothing of it is needed any more.
    async fn remove(&self) {
        self.node.executor.forget(self.id).await;
        crate::trash::throw(&self.node, self.dir.path()).await;
    }
}

/// The next change of what is wished. Without a driver, when the agent shuts down, none comes any more.
async fn next(wishes: &mut watch::Receiver<Wishes>) -> Wishes {
    match wishes.changed().await {
        Ok(()) => *wishes.borrow_and_update(),
        Err(_) => std::future::pending().await,
    }
}

async fn removal(mut wishes: watch::Receiver<Wishes>) {
    if wishes.wait_for(|it| it.remove).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Passes on what was wished since.
async fn follow(supervised: &mut Supervised, followed: &mut Wishes, wishes: Wishes) {
    if let (Some(Millis(grace)), true) = (wishes.stop, followed.stop != wishes.stop) {
        supervised.stop(Duration::from_millis(grace)).await;
    }
    if wishes.kill && !followed.kill {
        supervised.kill().await;
    }
    *followed = wishes;
}

async fn exit_file(dir: &JobDir) -> Option<ExitFile> {
    let control = dir.control();
    blocking(move || ExitFile::read(&control).ok().flatten()).await.flatten()
}

async fn started(dir: &JobDir) -> Option<Timestamp> {
    let control = dir.control();
    let file = blocking(move || StartedFile::read(&control).ok().flatten()).await.flatten()?;
    Some(Timestamp(file.at_ms))
}

/// `None` = the agent shuts down.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}
