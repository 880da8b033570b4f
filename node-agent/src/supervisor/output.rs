//! The pipe that is the stdout and stderr of everything a job runs: one, so that their order is kept, and a pipe and not the
//! log file, which a job could truncate (`echo x > /dev/stdout`).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::Control;
use super::Error;
use super::log::Log;

/// As much as a pipe holds.
pub const BUFFER: usize = 64 << 10;

pub struct Output {
    /// Gone when all writers are, or when the log has ended.
    read: Option<OwnedFd>,
    /// Gone when the last program has been started.
    write: Option<OwnedFd>,
}

impl Output {
    pub fn new() -> Result<Self, Error> {
        let failed = |error: Errno| Error::System {
            what: "make the pipe for the job's output",
            source: error.into(),
        };
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
        // Our end only: programs do not expect a stdout that says "try again". Ours must never wait, since a job may open the
        // pipe anew and take the bytes that `poll` has seen.
        rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK).map_err(failed)?;
        Ok(Self { read: Some(read), write: Some(write) })
    }

    /// To be polled for.
    pub fn readable(&self) -> Option<BorrowedFd<'_>> {
        self.read.as_ref().map(AsFd::as_fd)
    }

    /// To be given to programs, until the last one was started.
    pub fn writer(&self) -> Option<&OwnedFd> {
        self.write.as_ref()
    }

    pub fn no_more_writers(&mut self) {
        self.write = None;
    }

    /// Moves one buffer's worth to the log.
    pub fn read_once(&mut self, log: &mut Log, control: &Control, buffer: &mut [u8]) {
        let Some(read) = &self.read else { return };
        match rustix::io::read(read, &mut *buffer) {
            Ok(0) => self.read = None,
            Ok(count) => log.append(control, &buffer[..count]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.read = None,
        }
    }

    /// Moves what is in the pipe now to the log, and no more: a process left behind may go on writing.
    pub fn drain(&mut self, log: &mut Log, control: &Control, buffer: &mut [u8]) {
        let waiting = |read: &OwnedFd| rustix::io::ioctl_fionread(read).unwrap_or(0);
        let mut rest = self.read.as_ref().map_or(0, waiting);
        while rest > 0 && self.read.is_some() {
            let part = buffer.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
            let before = log.length() + log.lost();
            self.read_once(log, control, &mut buffer[..part]);
            let moved = log.length() + log.lost() - before;
            if moved == 0 {
                return; // somebody else has taken it
            }
            rest = rest.saturating_sub(moved);
        }
    }

    /// The log has ended: who still writes gets SIGPIPE.
    pub fn close(&mut self) {
        *self = Self { read: None, write: None };
    }
}
