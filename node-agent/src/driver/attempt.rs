//! The task of one attempt: starts or adopts it, watches it to its end, archives it, removes it.
//!
//! It may be dropped at any moment, when the agent shuts down: everything it knows stands on the disk, and its job is its
//! supervisor's.

use std::sync::Arc;
use std::time::Duration;

use atlas_core::Timestamp;
use atlas_core::agent::{Exit, Report, Work};
use atlas_core::time::Millis;
use atlas_runtime::clock::Wall;
use atlas_runtime::telemetry::TraceParent;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{Instrument, Span};

use super::kept::Kept;
use super::{ForJob, Handle, Wishes, exit, left};
use crate::archive::Tails;
use crate::executor::{Fate, Standing, Supervised};
use crate::insist::Insist;
use crate::logs::{self, LogState};
use crate::node::Node;
use crate::paths::{AttemptId, JobDir};
use crate::slot::Event;
use crate::spool;
use crate::start;
use crate::start::Running;
use crate::supervisor::{ExitFile, StartedFile};

/// A start that was asked to end, or a job that was killed, is not waited for any longer than this.
const GIVE_UP: Duration = Duration::from_secs(20);
/// A supervisor that ends every connection must not keep its agent busy.
const AGAIN: Duration = Duration::from_millis(100);

pub(super) struct Attempt {
    pub node: Arc<Node>,
    pub driver: Handle,
    pub id: AttemptId,
    pub dir: JobDir,
    pub wishes: watch::Receiver<Wishes>,
    pub log: watch::Sender<LogState>,
    /// How long the spool is, once it grows no more.
    pub spool: watch::Sender<Option<u64>>,
    /// An earlier attempt of the same job, which must be gone before this one begins.
    pub before: Option<CancellationToken>,
    /// Cancelled when no process of this attempt is left.
    pub gone: Option<DropGuard>,
}

/// Where an attempt's task begins.
pub(super) enum Origin {
    Assigned(Work, ForJob),
    Found(State),
}

/// What was found of an attempt when the agent started.
pub enum State {
    /// It is running, as far as is known.
    Running { kept: Kept, running: Box<Running> },
    /// It has ended and may have to be archived.
    Exited { kept: Kept },
    /// There is nothing to do but to remove it when the master says so.
    Over,
}

/// How listening to a supervisor ended.
enum Heard {
    End(Report),
    /// The connection is over.
    Nothing,
    /// It did not do what it was told.
    NoUse,
}

impl Attempt {
    pub(super) async fn run(mut self, origin: Origin) {
        if let Some(before) = self.before.take() {
            before.cancelled().await;
        }
        let ended = match origin {
            Origin::Assigned(work, entrusted) => {
                let kept = self.kept(&work);
                let tails = self.tails();
                let span = span(self.id, &kept);
                let watched = self.start_and_watch(&kept, entrusted).instrument(span).await;
                watched.then_some((kept, tails))
            }
            Origin::Found(State::Running { kept, running }) => {
                let tails = self.tails();
                self.grow_log(left::log_length(&self.dir));
                self.watch(*running, &kept).await.then_some((kept, tails))
            }
            Origin::Found(State::Exited { kept }) => {
                let tails = self.tails();
                match left::exit_file(&self.dir).await {
                    Some(file) => self.end(file.log_length, file.spool_length),
                    None => self.end(left::log_length(&self.dir), left::spool_length(&self.dir)),
                }
                Some((kept, tails))
            }
            Origin::Found(State::Over) => None,
        };
        drop(self.gone.take());
        self.keep_until_released(ended).await;
        self.remove().await;
    }

    fn kept(&self, work: &Work) -> Kept {
        Kept::new(work, &self.node.identity.boot_id, *self.node.epoch.borrow())
    }

    /// True when there is a log to keep.
    async fn start_and_watch(&mut self, kept: &Kept, entrusted: ForJob) -> bool {
        match self.start(kept.clone(), entrusted).await {
            Ok(running) => self.watch(running, kept).await,
            Err(error) => {
                let length = self.log.borrow().length;
                self.end(length, 0);
                let report = error.report(length);
                tracing::warn!(job = %self.id, "not started: {}", atlas_runtime::Chain(&error));
                let kept = matches!(report, Report::Exited(_));
                self.driver.report(self.id, report).await;
                kept
            }
        }
    }

    /// The start is not dropped half way, but asked to give up; one that hangs, in a storage that is away, is left to itself as
    /// long as it has not come to an executor: it cannot get there any more.
    async fn start(&mut self, kept: Kept, entrusted: ForJob) -> Result<Running, start::Error> {
        let (cancel, launching) = (CancellationToken::new(), CancellationToken::new());
        let task = start::Start {
            node: self.node.clone(),
            id: self.id,
            dir: self.dir.clone(),
            kept,
            entrusted,
            log: self.log.clone(),
            cancel: cancel.clone(),
            launching: launching.clone(),
        };
        let (done, mut result) = oneshot::channel();
        let tasks = self.node.tasks.clone();
        let start = async move {
            if let Some(started) = tasks.token().run_until_cancelled(Box::pin(task.run())).await {
                let _ = done.send(started); // nobody listens to one that was given up
            }
        };
        self.node.tasks.spawn(&format!("start {}", self.id), start.in_current_span());
        loop {
            tokio::select! {
                done = &mut result => return done.unwrap_or(Err(start::Error::Cancelled)),
                () = given_up(&cancel), if !launching.is_cancelled() => {
                    // Looked at once more: it may have got there meanwhile.
                    if !launching.is_cancelled() {
                        return Err(start::Error::Cancelled);
                    }
                }
                Wishes { stop, kill, remove, .. } = next(&mut self.wishes) => {
                    if stop.is_some() || kill || remove {
                        cancel.cancel();
                    }
                }
            }
        }
    }

    /// Watches a job to its end. True when there is a log to keep.
    async fn watch(&mut self, running: Running, kept: &Kept) -> bool {
        let Running { mut supervised, lease, venv } = running;
        self.wishes.mark_changed(); // some may have come during the start
        let report = loop {
            let fate = match supervised.take() {
                Some(watched) => match self.listen(watched).await {
                    Heard::End(report) => break report,
                    Heard::Nothing => self.settle(false).await,
                    Heard::NoUse => self.settle(true).await,
                },
                None => self.settle(false).await,
            };
            match fate {
                Standing::Runs(again) => {
                    tokio::time::sleep(AGAIN).await;
                    self.wishes.mark_changed(); // it has not heard them
                    supervised = Some(*again);
                }
                Standing::Gone(fate) => break self.gone(fate).await,
            }
        };
        drop((lease, venv));
        let exited = matches!(report, Report::Exited(_) | Report::Lost { .. });
        if let Report::Exited(Exit { started: Some(at), .. }) = report
            && let Some(image) = left::image(&self.dir)
        {
            // It may have been over before anybody heard of its start; nothing is said twice.
            self.driver.report(self.id, Report::Started { at, image: Some(image) }).await;
        }
        self.hand_over(&report, kept).await;
        self.driver.report(self.id, report).await;
        exited
    }

    /// Hears a supervisor to its last word.
    async fn listen(&mut self, mut supervised: Supervised) -> Heard {
        let mut followed = Wishes::default();
        let killed = CancellationToken::new();
        loop {
            tokio::select! {
                event = supervised.next() => match event {
                    Event::Started(StartedFile { at_ms, .. }) => {
                        let (at, image) = (Timestamp(at_ms), left::image(&self.dir));
                        self.driver.report(self.id, Report::Started { at, image }).await;
                    }
                    Event::LogGrew { length } => self.grow_log(length),
                    Event::Exited(file) => return Heard::End(self.exited(supervised, file).await),
                    Event::Refused { message } => tracing::error!(job = %self.id, "{message}"),
                    Event::Lost => {
                        self.node.executor.lost(supervised).await;
                        return Heard::Nothing;
                    }
                },
                wishes = next(&mut self.wishes) => {
                    follow(&mut supervised, &mut followed, wishes).await;
                    if wishes.kill {
                        killed.cancel();
                    }
                }
                // A supervisor that does not do it is no use: then it is done without it.
                () = given_up(&killed) => {
                    self.node.executor.lost(supervised).await;
                    return Heard::NoUse;
                }
            }
        }
    }

    /// Asks what has become of a job whose supervisor is not heard, for as long as it takes: until that is known, it is held.
    async fn settle(&mut self, kill: bool) -> Standing {
        let mut insist = Insist::new();
        loop {
            let (executor, kill) = (&self.node.executor, kill || self.wishes.borrow().kill);
            let known = if kill {
                executor.end(self.id, &self.dir).await.map(Standing::Gone)
            } else {
                executor.look(self.id, &self.dir).await
            };
            let error = match known {
                Ok(standing) => return standing,
                Err(error) => error,
            };
            let what = format!("job {}: its supervisor is not heard", self.id);
            tokio::select! {
                () = insist.wait(what, &error) => {}
                _ = next(&mut self.wishes) => {}
            }
        }
    }

    async fn exited(&self, supervised: Supervised, file: ExitFile) -> Report {
        let out_of_memory = self.node.executor.ended(self.id, supervised, &file).await;
        self.end(file.log_length, file.spool_length);
        exit::report(&file, left::started(&self.dir).await, out_of_memory)
    }

    /// No process of it is left. If its supervisor finished its work before, that counts.
    async fn gone(&self, fate: Fate) -> Report {
        if let Some(file) = left::exit_file(&self.dir).await {
            self.end(file.log_length, file.spool_length);
            return exit::report(&file, left::started(&self.dir).await, fate.out_of_memory);
        }
        let spool = left::spool_length(&self.dir);
        if fate.out_of_memory {
            let log = left::log_length(&self.dir);
            self.end(log, spool);
            let started = left::started(&self.dir).await;
            return exit::out_of_memory(&fate.message, Timestamp(Wall::now()), started, log, spool);
        }
        let length = self.log.borrow().length;
        self.end(length, spool);
        Report::Lost { message: fate.message }
    }

    fn grow_log(&self, length: u64) {
        self.log.send_modify(|it| it.length = it.length.max(length));
    }

    /// Log and spool grow no more.
    fn end(&self, log: u64, spool: u64) {
        self.log.send_replace(LogState { length: log, ended: true });
        self.spool.send_replace(Some(spool));
    }

    fn tails(&self) -> Tails {
        Tails {
            log: logs::copy(&self.node, self.id, &self.dir, self.log.subscribe()),
            spool: spool::ship(&self.node, self.id, &self.dir, self.spool.subscribe()),
        }
    }

    /// Nothing of it is needed any more.
    async fn remove(&self) {
        self.node.executor.forget(self.id).await;
        crate::spare::recycle(&self.node, &self.dir).await;
    }
}

/// The next change of what is wished. Without a driver, when the agent shuts down, none comes any more.
pub(super) async fn next(wishes: &mut watch::Receiver<Wishes>) -> Wishes {
    match wishes.changed().await {
        Ok(()) => *wishes.borrow_and_update(),
        Err(_) => std::future::pending().await,
    }
}

/// Continues the trace that the submission began.
fn span(id: AttemptId, kept: &Kept) -> Span {
    let span = tracing::info_span!("attempt", job.id = %id.job, job.attempt = id.attempt.0);
    if let Some(Ok(parent)) = kept.spec.traceparent.as_deref().map(str::parse::<TraceParent>) {
        parent.adopt(&span);
    }
    span
}

/// Returns some time after what was cancelled.
async fn given_up(cancel: &CancellationToken) {
    cancel.cancelled().await;
    tokio::time::sleep(GIVE_UP).await;
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
