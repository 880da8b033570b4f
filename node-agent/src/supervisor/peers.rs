//! The agents on the socket. There is one at a time, but the old one's connection may still be there when the next one comes.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use super::protocol::{self, Event, Lines, Request};

/// When one more comes, the oldest goes.
pub const MAX_PEERS: usize = 4;
/// A peer that leaves this much unread is let go; it connects again and is told where things stand.
const OUT_LIMIT: usize = 64 << 10;

#[derive(Default)]
pub struct Peers(Vec<Peer>);

pub struct Peer {
    stream: UnixStream,
    lines: Lines,
    /// Complete lines that the socket would not take yet.
    out: Vec<u8>,
    /// The last log length this peer was told.
    told: u64,
    gone: bool,
}

impl Peers {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.0.iter()
    }

    /// Takes what waits at the listener and says where things stand.
    pub fn accept(&mut self, listener: &UnixListener, snapshot: &[Event]) {
        while let Ok((stream, _)) = listener.accept() {
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            if self.0.len() == MAX_PEERS {
                self.0.remove(0);
            }
            self.0.push(Peer {
                stream,
                lines: Lines::default(),
                out: Vec::new(),
                told: 0,
                gone: false,
            });
            let newest = self.0.len() - 1;
            for event in snapshot {
                self.tell(newest, event);
            }
        }
    }

    /// What this peer asks for; lines that say nothing are answered. A peer that is gone is marked so and removed by `sweep`.
    pub fn read(&mut self, index: usize) -> Vec<Request> {
        let Some(peer) = self.0.get_mut(index) else { return Vec::new() };
        let mut bytes = [0; 4096];
        let kept = match peer.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(count) => peer.lines.push(&bytes[..count]).is_ok(),
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        };
        if !kept {
            peer.gone = true;
        }
        let mut requests = Vec::new();
        while let Some(line) = self.0[index].lines.pop() {
            match serde_json::from_slice(&line) {
                Ok(request) => requests.push(request),
                Err(error) => {
                    let message = format!("the request was not understood: {error}");
                    self.tell(index, &Event::Refused { message });
                }
            }
        }
        requests
    }

    /// Goes on with what a peer's socket would not take before.
    pub fn write(&mut self, index: usize) {
        if let Some(peer) = self.0.get_mut(index) {
            peer.flush();
        }
    }

    pub fn tell(&mut self, index: usize, event: &Event) {
        if let Some(peer) = self.0.get_mut(index) {
            peer.send(&protocol::line(event));
        }
    }

    /// To everybody. Several at once are one write each.
    pub fn tell_all(&mut self, events: &[Event]) {
        if events.is_empty() || self.0.is_empty() {
            return;
        }
        let lines: Vec<u8> = events.iter().flat_map(protocol::line).collect();
        let new_log = events.iter().any(|event| matches!(event, Event::Accepted { .. }));
        for peer in &mut self.0 {
            if new_log {
                peer.told = 0;
            }
            peer.send(&lines);
        }
    }

    /// Whether somebody who keeps up does not know this length yet.
    pub fn owed_log(&self, length: u64) -> bool {
        self.0.iter().any(|peer| peer.wants_log(length))
    }

    /// To everybody who keeps up; the others are told the length of the day when they do.
    pub fn tell_log(&mut self, length: u64) {
        let line = protocol::line(&Event::Log { length });
        for peer in &mut self.0 {
            if peer.wants_log(length) {
                peer.told = length;
                peer.send(&line);
            }
        }
    }

    /// Removes those that are gone; whether there were any.
    pub fn sweep(&mut self) -> bool {
        let before = self.0.len();
        self.0.retain(|peer| !peer.gone);
        self.0.len() < before
    }
}

impl Peer {
    pub fn has_output(&self) -> bool {
        !self.out.is_empty()
    }

    fn wants_log(&self, length: u64) -> bool {
        self.told < length && self.out.is_empty()
    }

    fn send(&mut self, lines: &[u8]) {
        self.out.extend_from_slice(lines);
        self.flush();
        if self.out.len() > OUT_LIMIT {
            self.gone = true;
        }
    }

    fn flush(&mut self) {
        while !self.out.is_empty() && !self.gone {
            match self.stream.write(&self.out) {
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.gone = true,
            }
        }
    }
}

impl AsFd for Peer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
