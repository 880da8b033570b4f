//! Connections whose other end may vanish without a word: its cable is pulled, its power goes.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt;

/// An end that has said nothing for so long is asked whether it is there,
const SILENT: Duration = Duration::from_secs(20);
/// so often again,
const AGAIN: Duration = Duration::from_secs(10);
/// so many times.
const QUESTIONS: u32 = 3;
/// What was sent is taken in this time; the same as above in the kernel's milliseconds.
const TAKEN_MS: u32 = 50_000;

/// The kernel ends a connection whose other end has vanished.
///
/// # Errors
/// When the socket is not one of TCP.
pub fn end_when_vanished(socket: impl AsFd) -> io::Result<()> {
    sockopt::set_socket_keepalive(&socket, true)?;
    sockopt::set_tcp_keepidle(&socket, SILENT)?;
    sockopt::set_tcp_keepintvl(&socket, AGAIN)?;
    sockopt::set_tcp_keepcnt(&socket, QUESTIONS)?;
    sockopt::set_tcp_user_timeout(&socket, TAKEN_MS)?;
    Ok(())
}
