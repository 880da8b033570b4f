//! One job, from its control directory to its exit file.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::path::Path;

use atlas_core::time::Millis;
use rustix::process::{Pid, Signal, WaitStatus, kill_process_group};

use super::control::DEADLINE;
use super::exit::{ReservedExit, shortened};
use super::launch::{Failure, Launcher};
use super::lease::{self, Stop, Why};
use super::log::Log;
use super::output::Output;
use super::protocol::Event;
use super::relay::Relay;
use super::{
    Cause, Command, Control, End, Error, ExitFile, RunFile, StartedFile, Step, boottime_now, reap,
    wall_now,
};

/// How long processes are waited for that SIGKILL does not end at once: they sleep in the kernel and may do so for ever.
const SWEEP_MS: u64 = 5000;
const DEADLINE_FILE_LIMIT: u64 = 64;
/// So often a deadline file is read that makes no sense.
const LOOKS: u32 = 100;
/// Where a job reaches the master; only the supervisor knows.
const API_URL: &str = "ATLAS_URL";

/// A job and where it stands.
pub struct Job {
    work: Work,
    phase: Phase,
}

enum Phase {
    /// This program is running, leader of its process group.
    Running { task: Task, pid: Pid },
    /// It has ended; what it left behind is being ended.
    Sweeping { task: Task, status: WaitStatus, until: u64 },
    /// The exit file is written.
    Over(End),
}

#[derive(Clone)]
enum Task {
    Preparing { name: String, cause: Cause },
    Main,
}

/// All of a job but its phase.
struct Work {
    control: Control,
    run: RunFile,
    todo: VecDeque<Step>,
    log: Log,
    /// Taken when it is published.
    exit: Option<ReservedExit>,
    output: Output,
    started: Option<StartedFile>,
    stop: Option<Stop>,
    deadline: Option<u64>,
    left_behind: u32,
    news: Vec<Event>,
}

impl Job {
    /// Reads what to run and starts it. An error means that nothing was started and that there will be no exit file.
    pub fn start(path: &Path, launcher: &mut Launcher, relay: &mut Relay) -> Result<Self, Error> {
        let control = Control::open(path)?;
        let mut run = RunFile::read(&control)?;
        let mut work = Work {
            deadline: read_deadline(&control)?,
            log: Log::new(&control)?,
            exit: Some(ReservedExit::new(&control)?),
            output: Output::new()?,
            todo: std::mem::take(&mut run.prepare).into(),
            control,
            run,
            started: None,
            stop: None,
            left_behind: 0,
            news: vec![Event::Accepted { control: path.to_owned() }],
        };
        // It holds secrets, and has served.
        work.control.empty("run.json")?;
        work.open_the_way(relay);
        let phase = work.start_next(launcher);
        Ok(Self { work, phase })
    }

    /// How it ended, once its exit file is written.
    pub fn over(&self) -> Option<&End> {
        if let Phase::Over(end) = &self.phase { Some(end) } else { None }
    }

    /// What peers have not been told yet.
    pub fn take_news(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.work.news)
    }

    /// What a new peer is told.
    pub fn snapshot(&self) -> Vec<Event> {
        let accepted = Event::Accepted { control: self.work.control.path().to_owned() };
        let started = self.work.started.map(Event::Started);
        [accepted].into_iter().chain(started).collect()
    }

    pub fn control(&self) -> &Path {
        self.work.control.path()
    }

    pub fn log_length(&self) -> u64 {
        self.work.log.length()
    }

    /// The descriptor to poll for output.
    pub fn output(&self) -> Option<BorrowedFd<'_>> {
        self.work.output.readable()
    }

    pub fn on_output(&mut self, buffer: &mut [u8]) {
        let Work { output, log, control, .. } = &mut self.work;
        output.read_once(log, control, buffer);
    }

    /// A child has ended, or several.
    pub fn on_child(&mut self, launcher: &mut Launcher, buffer: &mut [u8], now: u64) {
        match &self.phase {
            Phase::Running { task, pid } => {
                let reaped = reap::reap(Some(*pid));
                let (Some(status), task) = (reaped.status, task.clone()) else { return };
                self.work.finish_output(&task, buffer);
                self.phase = if reaped.children {
                    reap::kill_children();
                    Phase::Sweeping { task, status, until: now + SWEEP_MS }
                } else {
                    self.work.ended(task, status, launcher)
                };
            }
            Phase::Sweeping { task, status, .. } => {
                if reap::reap(None).children {
                    reap::kill_children();
                } else {
                    self.phase = self.work.ended(task.clone(), *status, launcher);
                }
            }
            Phase::Over(_) => drop(reap::reap(None)),
        }
    }

    /// The agent has written a new deadline, or something else: one that cannot be read is one that nobody moved.
    pub fn on_renewal(&mut self) {
        let Work { control, deadline, .. } = &mut self.work;
        *deadline = read_deadline(control).ok().flatten().or(*deadline);
    }

    /// When `on_alarm` is wanted.
    pub fn next_alarm(&self) -> Option<u64> {
        match self.phase {
            Phase::Running { .. } => {
                let Work { stop, deadline, run, .. } = &self.work;
                if stop.is_some_and(|stop| stop.killed) {
                    return None; // it is up to the kernel now
                }
                let lease = deadline.map(|it| lease::acts_at(it, run.grace_ms, stop.as_ref()));
                let limit = self.work.limit().map(|(_, over_at)| over_at);
                stop.map(|stop| stop.kill_at).into_iter().chain(lease).chain(limit).min()
            }
            Phase::Sweeping { until, .. } => Some(until),
            Phase::Over(_) => None,
        }
    }

    pub fn on_alarm(&mut self, launcher: &mut Launcher, now: u64) {
        match &self.phase {
            Phase::Running { pid, .. } => self.work.check_time(*pid, now),
            Phase::Sweeping { task, status, until } if *until <= now => {
                self.work.left_behind = reap::kill_children();
                self.phase = self.work.ended(task.clone(), *status, launcher);
            }
            Phase::Sweeping { .. } | Phase::Over(_) => {}
        }
    }

    /// SIGTERM now, SIGKILL after the grace (default: the job's own). Too late when the job's own command has ended.
    pub fn stop(&mut self, grace_ms: Option<u64>, now: u64) {
        let grace_ms = grace_ms.unwrap_or(self.work.run.grace_ms);
        match (&self.phase, &mut self.work.stop) {
            (Phase::Sweeping { task: Task::Main, .. } | Phase::Over(_), _) => {}
            (_, Some(stop)) => stop.hasten(now, grace_ms),
            (Phase::Running { pid, .. }, none) => {
                *none = Some(Stop::begun(Why::Request, now, grace_ms));
                reap::terminate(*pid);
            }
            (Phase::Sweeping { task: Task::Preparing { .. }, .. }, none) => {
                *none = Some(Stop::begun(Why::Request, now, grace_ms));
            }
        }
        if let Phase::Running { pid, .. } = &self.phase {
            self.work.check_time(*pid, now);
        }
    }
}

impl Work {
    /// Says in the job's environment where it reaches the master.
    fn open_the_way(&mut self, relay: &mut Relay) {
        let Some(agent) = &self.run.api else { return };
        match relay.url(agent) {
            Ok(url) => drop(self.run.command.env.insert(API_URL.to_owned(), url)),
            // Few jobs ask the master anything; those that do are told by this line.
            Err(error) => {
                let text = format!("there is no {API_URL}: cannot listen on 127.0.0.1: {error}");
                self.log.note(&self.control, &text);
            }
        }
    }

    /// Starts the next step, or the job's own command when there is none left.
    fn start_next(&mut self, launcher: &mut Launcher) -> Phase {
        let (task, command) = match self.todo.pop_front() {
            Some(Step { command, cause }) => {
                (Task::Preparing { name: command.argv[0].clone(), cause }, command)
            }
            None => (Task::Main, self.run.command.clone()),
        };
        match self.spawn(&command, launcher) {
            Ok(pid) => {
                if let Task::Main = task {
                    self.output.no_more_writers();
                    self.note_start(pid);
                }
                Phase::Running { task, pid }
            }
            Err(Failure { cause, message }) => {
                self.log.note(&self.control, &message);
                let cause = match (cause, &task) {
                    (Cause::Exec, Task::Preparing { cause, .. }) => *cause,
                    (cause, _) => cause,
                };
                self.over(End::FailedToStart { cause, message })
            }
        }
    }

    fn spawn(&self, command: &Command, launcher: &mut Launcher) -> Result<Pid, Failure> {
        let output = self.output.writer().expect("the writer is kept until the last program runs");
        launcher.spawn(command, self.run.user.as_ref(), &self.run.limits, output)
    }

    fn note_start(&mut self, pid: Pid) {
        let pid = pid.as_raw_nonzero().get();
        let started = StartedFile { at_ms: wall_now(), boot_ms: boottime_now(), pid };
        let text = serde_json::to_vec(&started).expect("numbers are always JSON");
        if let Err(error) = self.control.replace("started", &text) {
            // The job runs all the same, and peers are told.
            self.log.note(&self.control, &error.chain());
        }
        self.news.push(Event::Started(started));
        self.started = Some(started);
    }

    /// What is in the pipe belongs to the log, what comes later does not.
    fn finish_output(&mut self, task: &Task, buffer: &mut [u8]) {
        self.output.drain(&mut self.log, &self.control, buffer);
        if let Task::Main = task {
            self.output.close();
        }
    }

    /// A program and all that it left behind are gone.
    fn ended(&mut self, task: Task, status: WaitStatus, launcher: &mut Launcher) -> Phase {
        let end = end_of(status);
        match task {
            Task::Main => self.over(end),
            Task::Preparing { .. } if end == (End::Code { code: 0 }) && self.stop.is_none() => {
                self.start_next(launcher)
            }
            Task::Preparing { name, cause } => {
                let why = if self.stop.is_some() { "was stopped" } else { "failed" };
                let message = shortened(format!("'{name}' {why}: {end}"));
                self.log.note(&self.control, &message);
                self.over(End::FailedToStart { cause, message })
            }
        }
    }

    fn over(&mut self, end: End) -> Phase {
        self.output.close();
        let why = self.stop.map(|stop| stop.why);
        let exit = ExitFile {
            end: if why == Some(Why::LeaseEnd) { End::LeaseEnded } else { end },
            stopped: why == Some(Why::Request),
            timed_out: why == Some(Why::TimeLimit),
            at_ms: wall_now(),
            log_length: self.log.length(),
            spool_length: self.control.spool_length(),
            log_lost: self.log.lost(),
            left_behind: self.left_behind,
        };
        let end = exit.end.clone();
        if let Some(reserved) = self.exit.take()
            && let Err(error) = reserved.publish(&self.control, &exit)
        {
            // Connected peers still learn it; nobody else can.
            eprintln!("atlas-supervisor: {}", error.chain());
        }
        self.news.push(Event::Exited(exit));
        Phase::Over(end)
    }

    /// Ends the lease, the time limit or the grace when its time has come.
    fn check_time(&mut self, pid: Pid, now: u64) {
        self.check_lease(pid, now);
        self.check_limit(pid, now);
        if let Some(stop) = &mut self.stop
            && !stop.killed
            && stop.kill_at <= now
        {
            stop.killed = true;
            // Errors mean that there is nobody left.
            let _ = kill_process_group(pid, Signal::KILL);
            reap::kill_children();
        }
    }

    fn check_lease(&mut self, pid: Pid, now: u64) {
        let grace_ms = self.run.grace_ms;
        if let Some(deadline) = self.deadline
            && lease::acts_at(deadline, grace_ms, self.stop.as_ref()) <= now
        {
            // A deadline that cannot be read any more is one that nobody moved.
            self.deadline = read_deadline(&self.control).ok().flatten().or(self.deadline);
        }
        if let Some(deadline) = self.deadline
            && lease::acts_at(deadline, grace_ms, self.stop.as_ref()) <= now
        {
            match &mut self.stop {
                Some(stop) => stop.kill_at = now,
                none => {
                    *none = Some(Stop::at_lease_end(now, grace_ms, deadline));
                    reap::terminate(pid);
                }
            }
        }
    }

    /// The time limit, and when it is over. Nothing once a stop has begun: that is why the job ends.
    fn limit(&self) -> Option<(Millis, u64)> {
        let started = self.started.filter(|_| self.stop.is_none())?;
        let limit = self.run.time_limit_ms?;
        Some((Millis(limit), started.boot_ms.saturating_add(limit)))
    }

    fn check_limit(&mut self, pid: Pid, now: u64) {
        let Some((limit, over_at)) = self.limit() else { return };
        // Looked at once more: a job that was in time keeps its own end.
        if now < over_at || reap::has_ended(pid) {
            return;
        }
        let grace = Millis(self.run.grace_ms);
        let text = format!(
            "the job has run for its time limit of {limit}: it gets SIGTERM, and SIGKILL after {grace}"
        );
        self.log.note(&self.control, &text);
        self.stop = Some(Stop::begun(Why::TimeLimit, now, grace.0));
        reap::terminate(pid);
    }
}

fn end_of(status: WaitStatus) -> End {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => End::Code { code },
        (None, signal) => End::Signal { signal: signal.unwrap_or(0) },
    }
}

fn read_deadline(control: &Control) -> Result<Option<u64>, Error> {
    for _ in 0..LOOKS {
        let Some(text) = control.read(DEADLINE, DEADLINE_FILE_LIMIT)? else { return Ok(None) };
        if let Some(deadline) = lease::parse(&text) {
            return Ok(Some(deadline));
        }
        // Its writer is in the middle of one system call.
        std::thread::yield_now();
    }
    let why = "it holds no number of milliseconds".to_owned();
    Err(Error::Unreadable { path: control.path().join(DEADLINE), why })
}
