//! `ATLAS_URL`: a port on loopback, where only what shares this network sees it, and behind it a socket of the agent.
//!
//! In a container that is the container's own network, so the way out needs no address, no route and no firewall's leave. The
//! port is the supervisor's and stays as long as it lives; the agent may come and go meanwhile.
//!
//! It has a thread of its own, with a `poll` of its own: nothing that a job does here can keep the supervisor from its work.

mod connection;
mod flow;
mod serve;

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// The loop needs a few pages.
const STACK: usize = 256 << 10;

/// Opened for the first job that wants it.
#[derive(Default)]
pub struct Relay {
    opened: Option<Opened>,
}

struct Opened {
    port: u16,
    agent: Target,
}

/// The agent's socket.
type Target = Arc<Mutex<PathBuf>>;

impl Relay {
    /// The URL by which a job reaches the agent at this socket.
    pub fn url(&mut self, agent: &Path) -> io::Result<String> {
        let opened = match self.opened.take() {
            Some(opened) => {
                agent.clone_into(&mut opened.agent.lock().unwrap_or_else(PoisonError::into_inner));
                opened
            }
            None => open(agent)?,
        };
        let url = format!("http://127.0.0.1:{}", opened.port);
        self.opened = Some(opened);
        Ok(url)
    }
}

fn open(agent: &Path) -> io::Result<Opened> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    let agent = Target::new(Mutex::new(agent.to_owned()));
    let target = agent.clone();
    let thread = thread::Builder::new().name("relay".into()).stack_size(STACK);
    thread.spawn(move || serve::serve(&listener, &target))?;
    Ok(Opened { port, agent })
}

#[cfg(test)]
mod tests;
