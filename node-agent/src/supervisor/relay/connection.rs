//! A connection of the job, and the one to the agent that belongs to it.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::event::PollFlags;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::flow::{Flow, HELD};
use crate::socket::Address;

pub struct Connection {
    job: TcpStream,
    agent: UnixStream,
    up: Flow,
    down: Flow,
}

impl Connection {
    /// Fails when no agent listens. Never waits for one.
    pub fn open(job: TcpStream, agent: &Path) -> io::Result<Self> {
        job.set_nonblocking(true)?;
        // A question must not wait for the next one; a socket without the option works all the same.
        let _ = job.set_nodelay(true);
        let address = Address::of(agent)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let stream = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&stream, &SocketAddrUnix::new(address.name())?)?;
        let (up, down) = (Flow::default(), Flow::default());
        Ok(Self { job, agent: stream.into(), up, down })
    }

    pub fn is_over(&self) -> bool {
        self.up.is_over() && self.down.is_over()
    }

    /// What to poll for. A side of which nothing is wanted is left out: its hang-up would be told for ever.
    pub fn interests(&self) -> [Option<(BorrowedFd<'_>, PollFlags)>; 2] {
        let of = |read: &Flow, write: &Flow| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, read.wants_source());
            flags.set(PollFlags::OUT, write.wants_sink());
            flags
        };
        let (job, agent) = (of(&self.up, &self.down), of(&self.down, &self.up));
        [
            (!job.is_empty()).then(|| (self.job.as_fd(), job)),
            (!agent.is_empty()).then(|| (self.agent.as_fd(), agent)),
        ]
    }

    /// Moves what can be moved, whichever side had something to say.
    pub fn turn(&mut self, buffer: &mut [u8; HELD]) {
        let Self { job, agent, up, down } = self;
        if up.wants_sink() {
            up.write(agent);
        } else if up.wants_source() {
            up.read(job, agent, buffer);
        }
        if down.wants_sink() {
            down.write(job);
        } else if down.wants_source() {
            down.read(agent, job, buffer);
        }
    }
}
