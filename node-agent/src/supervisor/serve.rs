//! The loop of the supervisor: one `poll` over signals, timer, listener, the job's output and the peers.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::clock::Alarm;
use super::job::Job;
use super::launch::Launcher;
use super::output::BUFFER;
use super::peers::{MAX_PEERS, Peers};
use super::protocol::{Event, Request};
use super::relay::Relay;
use super::renewals::Renewals;
use super::signals::Signals;
use super::{Cause, Control, End, Error, ExitFile, boottime_now, exit, reap, socket, wall_now};

/// A slot's supervisor without job and agent ends by itself after this long.
const IDLE_MS: u64 = 10_000;
/// Peers hear of new bytes in the log at most this often.
const LOG_NEWS_MS: u64 = 20;

/// Serves one worker slot at this socket.
pub fn slot(path: &Path) -> Result<ExitCode, Error> {
    // Away from the agent's terminal and process group. It fails for the leader of a group, which is away already.
    let _ = rustix::process::setsid();
    let _lock = lock(path)?;
    let listener = listen(path)?;
    let mut server = Server::new(listener, Mode::Slot)?;
    rustix::process::chdir("/").map_err(system("enter /"))?;
    say_ready()?;
    while !server.is_done() {
        server.turn()?;
    }
    // Nobody can connect any more; who did just now finds the connection closed without a word and starts another one.
    let _ = std::fs::remove_file(path);
    Ok(ExitCode::SUCCESS)
}

/// Runs the one job of this control directory.
pub fn job(control: &Path) -> Result<ExitCode, Error> {
    let listener = listen(&control.join("sock"))?;
    let mut server = Server::new(listener, Mode::Job)?;
    if let Err(error) = server.start(control) {
        tell_failure(control, &error);
        return Err(error);
    }
    while !server.is_done() {
        server.turn()?;
    }
    let end = server.job.as_ref().and_then(Job::over);
    Ok(ExitCode::from(end.map_or(125, End::exit_code)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Slot,
    Job,
}

struct Server {
    mode: Mode,
    listener: UnixListener,
    signals: Signals,
    alarm: Alarm,
    renewals: Renewals,
    launcher: Launcher,
    relay: Relay,
    peers: Peers,
    job: Option<Job>,
    /// The supervisor itself was asked to end.
    ending: bool,
    /// Since when there has been neither job nor peer.
    idle_since: u64,
    log_told_at: u64,
    buffer: Box<[u8]>,
}

/// What `poll` found.
#[derive(Default)]
struct Ready {
    signals: bool,
    alarm: bool,
    renewals: bool,
    listener: bool,
    output: bool,
    peers: [PeerReady; MAX_PEERS],
}

#[derive(Clone, Copy, Default)]
struct PeerReady {
    read: bool,
    write: bool,
}

impl Server {
    fn new(listener: UnixListener, mode: Mode) -> Result<Self, Error> {
        let me = rustix::process::getpid();
        rustix::process::set_child_subreaper(Some(me)).map_err(system("become a subreaper"))?;
        let signals =
            Signals::new().map_err(|source| Error::System { what: "catch signals", source })?;
        let alarm =
            Alarm::new().map_err(|source| Error::System { what: "make a timer", source })?;
        let renewals =
            Renewals::new().map_err(|source| Error::System { what: "watch deadlines", source })?;
        Ok(Self {
            mode,
            listener,
            signals,
            alarm,
            renewals,
            launcher: Launcher::new()?,
            relay: Relay::default(),
            peers: Peers::default(),
            job: None,
            ending: false,
            idle_since: boottime_now(),
            log_told_at: 0,
            buffer: vec![0; BUFFER].into(),
        })
    }

    fn is_done(&self) -> bool {
        match self.mode {
            Mode::Job => self.job.as_ref().is_none_or(|job| job.over().is_some()),
            Mode::Slot => self.job.is_none() && (self.ending || self.is_idle(boottime_now())),
        }
    }

    fn is_idle(&self, now: u64) -> bool {
        self.peers.is_empty() && now >= self.idle_since + IDLE_MS
    }

    /// Waits for what comes, deals with it, and says what happened.
    fn turn(&mut self) -> Result<(), Error> {
        let ready = self.wait()?;
        let now = boottime_now();
        if let Some(job) = self.job.as_mut().filter(|_| ready.output) {
            job.on_output(&mut self.buffer);
        }
        // Ends before requests: a stop that comes after the end was not what ended the job.
        if ready.signals {
            let ending = self.signals.take();
            self.on_signal(ending, now);
        }
        for (index, peer) in ready.peers.iter().enumerate() {
            if peer.write {
                self.peers.write(index);
            }
            for request in if peer.read { self.peers.read(index) } else { Vec::new() } {
                self.follow(index, request, now);
            }
        }
        if ready.alarm {
            self.alarm.rang();
        }
        if ready.renewals {
            self.renewals.take();
            if let Some(job) = &mut self.job {
                job.on_renewal();
            }
        }
        if let Some(job) = &mut self.job
            && job.next_alarm().is_some_and(|due| due <= now)
        {
            job.on_alarm(&mut self.launcher, now);
        }
        if self.peers.sweep() && self.peers.is_empty() {
            self.idle_since = now;
        }
        if ready.listener {
            let snapshot = self.job.as_ref().map_or_else(|| vec![Event::Idle {}], Job::snapshot);
            self.peers.accept(&self.listener, &snapshot);
        }
        self.tell();
        Ok(())
    }

    fn on_signal(&mut self, ending: bool, now: u64) {
        self.ending |= ending;
        match &mut self.job {
            Some(job) => {
                job.on_child(&mut self.launcher, &mut self.buffer, now);
                if ending {
                    job.stop(None, now);
                }
            }
            None => drop(reap::reap(None)),
        }
    }

    /// Tells the peers what the job has to say, and lets go of a slot's job that is over.
    fn tell(&mut self) {
        let Some(job) = &mut self.job else { return };
        self.peers.tell_all(&job.take_news());
        if job.over().is_some() {
            if self.mode == Mode::Slot {
                self.job = None;
                self.idle_since = boottime_now();
            }
            return;
        }
        let (length, now) = (job.log_length(), boottime_now());
        if now >= self.log_told_at + LOG_NEWS_MS && self.peers.owed_log(length) {
            self.peers.tell_log(length);
            self.log_told_at = now;
        }
    }

    fn wait(&mut self) -> Result<Ready, Error> {
        let due = self.next_alarm();
        self.alarm.set(due).map_err(|source| Error::System { what: "set a timer", source })?;
        let output = self.job.as_ref().and_then(Job::output);
        let mut fds = Vec::with_capacity(5 + MAX_PEERS);
        fds.push(PollFd::new(&self.signals, PollFlags::IN));
        fds.push(PollFd::new(&self.alarm, PollFlags::IN));
        fds.push(PollFd::new(&self.listener, PollFlags::IN));
        fds.push(PollFd::new(&self.renewals, PollFlags::IN));
        for peer in self.peers.iter() {
            let write = if peer.has_output() { PollFlags::OUT } else { PollFlags::empty() };
            fds.push(PollFd::from_borrowed_fd(peer.as_fd(), PollFlags::IN | write));
        }
        let peers_end = fds.len();
        fds.extend(output.map(|it| PollFd::from_borrowed_fd(it, PollFlags::IN)));
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Ready::default()), // the signal's byte is there next time
            Err(error) => return Err(system("wait for events")(error)),
        }
        // Errors and hang-ups count as readable: reading is what tells which.
        let readable = |fd: &PollFd<'_>| fd.revents().intersects(!PollFlags::OUT);
        let mut peers = [PeerReady::default(); MAX_PEERS];
        for (peer, fd) in peers.iter_mut().zip(&fds[4..peers_end]) {
            let write = fd.revents().contains(PollFlags::OUT);
            *peer = PeerReady { read: readable(fd), write };
        }
        Ok(Ready {
            signals: readable(&fds[0]),
            alarm: readable(&fds[1]),
            listener: readable(&fds[2]),
            renewals: readable(&fds[3]),
            output: fds.get(peers_end).is_some_and(readable),
            peers,
        })
    }

    fn next_alarm(&self) -> Option<u64> {
        let Some(job) = &self.job else {
            return self.peers.is_empty().then_some(self.idle_since + IDLE_MS);
        };
        let owed = self.peers.owed_log(job.log_length());
        let log = owed.then_some(self.log_told_at + LOG_NEWS_MS);
        job.next_alarm().into_iter().chain(log).min()
    }

    fn follow(&mut self, peer: usize, request: Request, now: u64) {
        match (request, &mut self.job) {
            (Request::Stop { grace_ms }, Some(job)) => job.stop(Some(grace_ms), now),
            (Request::Kill {}, Some(job)) => job.stop(Some(0), now),
            (Request::Stop { .. } | Request::Kill {}, None) => {}
            (Request::Run { .. }, Some(job)) => {
                let message = format!("busy with {}", job.control().display());
                self.peers.tell(peer, &Event::Refused { message });
            }
            (Request::Run { .. }, None) if self.ending => {
                let message = "this supervisor was asked to end".to_owned();
                self.peers.tell(peer, &Event::Refused { message });
            }
            (Request::Run { control }, None) => {
                if let Err(error) = self.start(&control) {
                    self.peers.tell(peer, &Event::Refused { message: error.chain() });
                }
            }
        }
    }

    fn start(&mut self, control: &Path) -> Result<(), Error> {
        let failed = |source| Error::File {
            what: "open the control directory",
            path: control.to_owned(),
            source,
        };
        self.renewals.follow(control).map_err(failed)?;
        self.job = Some(Job::start(control, &mut self.launcher, &mut self.relay)?);
        Ok(())
    }
}

/// One supervisor per socket: the lock goes with its process, however that ends.
fn lock(path: &Path) -> Result<File, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let failed = |source| Error::File { what: "lock", path: Path::new(&name).to_owned(), source };
    let file = File::options().create(true).append(true).open(&name).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) if answers(path) => Err(Error::Taken(path.to_owned())),
        // It is just ending. Who started this one gives up on it when that takes long.
        Err(TryLockError::WouldBlock) => file.lock().map(|()| file).map_err(failed),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn answers(path: &Path) -> bool {
    socket::Address::of(path).is_ok_and(|address| UnixStream::connect(address.name()).is_ok())
}

fn listen(path: &Path) -> Result<UnixListener, Error> {
    let failed = |source| Error::File { what: "listen at", path: path.to_owned(), source };
    socket::listen(path).map_err(failed)
}

/// One line on stdout for who started us, then nothing of theirs is held any more.
fn say_ready() -> Result<(), Error> {
    // Should nobody read it, the agent that comes next will do.
    let _ = std::io::stdout().write_all(b"ready\n");
    let null = File::options().write(true).open("/dev/null");
    let null = null.map_err(|source| Error::System { what: "open /dev/null", source })?;
    rustix::stdio::dup2_stdout(&null).map_err(system("let go of stdout"))
}

/// A job of a container that cannot even be read still leaves an exit file, if there is none yet.
fn tell_failure(path: &Path, error: &Error) {
    let exit = ExitFile {
        end: End::FailedToStart { cause: Cause::Internal, message: exit::shortened(error.chain()) },
        stopped: false,
        timed_out: false,
        at_ms: wall_now(),
        log_length: 0,
        spool_length: 0,
        log_lost: 0,
        left_behind: 0,
    };
    if let Ok(control) = Control::open(path)
        && let Ok(reserved) = exit::ReservedExit::new(&control)
    {
        let _ = reserved.publish(&control, &exit);
    }
}

fn system(what: &'static str) -> impl FnOnce(Errno) -> Error {
    move |error| Error::System { what, source: error.into() }
}
