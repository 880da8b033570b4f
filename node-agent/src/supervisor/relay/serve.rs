//! The loop: one `poll` over the listener and both sides of every connection.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::sync::PoisonError;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::Target;
use super::connection::Connection;
use super::flow::HELD;

/// Connections of a job at the same time; more wait at the door.
pub const MOST: usize = 64;
/// How long the door stays shut when the kernel has no more descriptors to give.
const REST: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Serves for ever: it ends with the supervisor.
pub fn serve(listener: &TcpListener, agent: &Target) {
    let mut connections: Vec<Connection> = Vec::new();
    let mut buffer = Box::new([0; HELD]);
    let mut resting = false;
    loop {
        let open = !resting && connections.len() < MOST;
        let ready = match wait(listener, open, resting, &connections) {
            Ok(ready) => ready,
            Err(Errno::INTR) => continue,
            Err(_) => return, // without `poll` there is nothing to be done
        };
        resting = false;
        for (connection, _) in connections.iter_mut().zip(&ready.connections).filter(|it| *it.1) {
            connection.turn(&mut buffer);
        }
        connections.retain(|it| !it.is_over());
        if ready.listener {
            resting = accept(listener, agent, &mut connections).is_err();
        }
    }
}

struct Ready {
    listener: bool,
    connections: Vec<bool>,
}

fn wait(
    listener: &TcpListener,
    open: bool,
    resting: bool,
    connections: &[Connection],
) -> Result<Ready, Errno> {
    let mut fds = Vec::with_capacity(1 + 2 * connections.len());
    let mut owners = Vec::with_capacity(2 * connections.len());
    for (number, connection) in connections.iter().enumerate() {
        for (fd, flags) in connection.interests().into_iter().flatten() {
            fds.push(PollFd::from_borrowed_fd(fd, flags));
            owners.push(number);
        }
    }
    if open {
        fds.push(PollFd::new(listener, PollFlags::IN));
    }
    poll(&mut fds, resting.then_some(&REST))?;
    let happened = |fd: &PollFd<'_>| !fd.revents().is_empty();
    let mut ready = vec![false; connections.len()];
    for (fd, owner) in fds.iter().zip(&owners) {
        ready[*owner] |= happened(fd);
    }
    let listener = open && fds.last().is_some_and(happened);
    Ok(Ready { listener, connections: ready })
}

/// Takes who waits at the door. An error = the kernel cannot give any more for now.
fn accept(
    listener: &TcpListener,
    agent: &Target,
    connections: &mut Vec<Connection>,
) -> Result<(), std::io::Error> {
    while connections.len() < MOST {
        match listener.accept() {
            Ok((job, _)) => {
                let agent = agent.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // Without an agent the job finds its connection closed, and may try again.
                connections.extend(Connection::open(job, &agent));
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => return Ok(()),
                ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                _ => return Err(error),
            },
        }
    }
    Ok(())
}
