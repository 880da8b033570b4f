//! One direction of a connection: what one side says, until it says no more.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;

use rustix::net::Shutdown;

/// Bytes that the other side would not take yet: nothing more is read before they are gone.
pub const HELD: usize = 8 << 10;

/// A stream that can say that it will say no more.
pub trait Side {
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize>;
    fn send(&self, bytes: &[u8]) -> io::Result<usize>;
    fn finish(&self);
}

#[derive(Default)]
pub struct Flow {
    held: Vec<u8>,
    /// The source has said everything.
    ended: bool,
    over: bool,
}

impl Flow {
    pub fn wants_source(&self) -> bool {
        !self.over && !self.ended && self.held.is_empty()
    }

    pub fn wants_sink(&self) -> bool {
        !self.over && !self.held.is_empty()
    }

    /// Nothing more goes this way.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Moves what the source has to say now, one buffer of it.
    pub fn read(&mut self, source: &impl Side, sink: &impl Side, buffer: &mut [u8; HELD]) {
        match source.receive(buffer) {
            Ok(0) => self.ended = true,
            Ok(count) => self.held.extend_from_slice(&buffer[..count]),
            Err(error) if passes(&error) => return,
            // Whoever is gone has said everything.
            Err(_) => self.ended = true,
        }
        self.write(sink);
    }

    /// Goes on with what the sink would not take before.
    pub fn write(&mut self, sink: &impl Side) {
        while !self.held.is_empty() {
            match sink.send(&self.held) {
                Ok(count) => drop(self.held.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // It does not listen any more. What it has to say is another matter.
                Err(_) => return self.end(),
            }
        }
        self.held = Vec::new(); // idle connections hold no memory
        if self.ended {
            sink.finish();
            self.end();
        }
    }

    fn end(&mut self) {
        *self = Self { held: Vec::new(), ended: true, over: true };
    }
}

fn passes(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

impl<S: AsFd> Side for S
where
    for<'a> &'a S: Read + Write,
{
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&mut &*self).read(buffer)
    }
    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        (&mut &*self).write(bytes)
    }
    fn finish(&self) {
        let _ = rustix::net::shutdown(self, Shutdown::Write); // it is gone, then
    }
}
