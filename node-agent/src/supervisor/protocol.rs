//! What is spoken on the socket: one JSON value per line, in both directions.
//!
//! A peer that connects is first told where things stand: `idle`, or `accepted` and, as far as they apply, `started` and
//! `log`. After that it hears what happens. `log` comes at most every few milliseconds and only for new bytes; nobody waits
//! for a peer that does not read.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ExitFile, StartedFile};

/// A line longer than this is not one of ours.
const LINE_LIMIT: usize = 64 << 10;

/// Agent to supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Run the job of this control directory (slot mode, when idle).
    Run { control: PathBuf },
    /// SIGTERM to the job, SIGKILL after the grace. Nothing happens without a job.
    Stop { grace_ms: u64 },
    /// SIGKILL at once.
    Kill {},
}

/// Supervisor to agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// There is no job. Only said to a new peer.
    Idle {},
    /// This job is being prepared or running.
    Accepted { control: PathBuf },
    /// Its own command has begun.
    Started(StartedFile),
    /// Its log has grown to this many bytes.
    Log { length: u64 },
    /// It has ended and `exit` is written.
    Exited(ExitFile),
    /// The last request was not followed.
    Refused { message: String },
}

/// A value as its line.
pub fn line(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).unwrap_or_else(|error| {
        // The one thing here that JSON cannot say is a path that is no UTF-8.
        let message = format!("cannot be put into words: {error}");
        serde_json::to_vec(&Event::Refused { message }).expect("text is always JSON")
    });
    line.push(b'\n');
    line
}

/// Cuts what arrives into lines.
#[derive(Default)]
pub struct Lines {
    buffer: Vec<u8>,
}

/// The peer sends something that is not this protocol.
#[derive(Debug, thiserror::Error)]
#[error("a line on the supervisor's socket is longer than {LINE_LIMIT} bytes")]
pub struct TooLong;

impl Lines {
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        self.buffer.extend_from_slice(bytes);
        let unfinished = self.buffer.iter().rev().take_while(|byte| **byte != b'\n').count();
        if unfinished > LINE_LIMIT { Err(TooLong) } else { Ok(()) }
    }

    /// The next complete line, without its end.
    pub fn pop(&mut self) -> Option<Vec<u8>> {
        let end = self.buffer.iter().position(|byte| *byte == b'\n')?;
        let rest = self.buffer.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.buffer, rest);
        line.pop();
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_look_the_way_the_contract_says() {
        let text = |event: &Event| String::from_utf8(line(event)).unwrap();
        assert_eq!(text(&Event::Idle {}), "{\"idle\":{}}\n");
        assert_eq!(text(&Event::Log { length: 3 }), "{\"log\":{\"length\":3}}\n");
        let started = StartedFile { at_ms: 1, boot_ms: 2, pid: 3 };
        let expected = "{\"started\":{\"at_ms\":1,\"boot_ms\":2,\"pid\":3}}\n";
        assert_eq!(text(&Event::Started(started)), expected);
        let request: Request = serde_json::from_str(r#"{"stop":{"grace_ms":5}}"#).unwrap();
        assert_eq!(request, Request::Stop { grace_ms: 5 });
        assert_eq!(line(&Request::Kill {}), b"{\"kill\":{}}\n");
        let request: Request = serde_json::from_str(r#"{"run":{"control":"/c"}}"#).unwrap();
        assert_eq!(request, Request::Run { control: "/c".into() });
    }

    #[test]
    fn lines_are_cut_wherever_the_reads_end() {
        let mut lines = Lines::default();
        lines.push(b"on").unwrap();
        assert_eq!(lines.pop(), None);
        lines.push(b"e\ntwo\nth").unwrap();
        assert_eq!(lines.pop().unwrap(), b"one");
        assert_eq!(lines.pop().unwrap(), b"two");
        assert_eq!(lines.pop(), None);
        lines.push(b"ree\n").unwrap();
        assert_eq!(lines.pop().unwrap(), b"three");
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        let mut lines = Lines::default();
        let chunk = [b'x'; 4096];
        let refused = (0..100).find(|_| lines.push(&chunk).is_err());
        assert_eq!(refused, Some(16));
    }

    #[test]
    fn a_path_that_is_no_text_becomes_a_refusal_and_no_panic() {
        use std::os::unix::ffi::OsStringExt;
        let control = PathBuf::from(std::ffi::OsString::from_vec(vec![0xff]));
        let text = String::from_utf8(line(&Request::Run { control })).unwrap();
        assert!(text.contains("refused"), "{text}");
    }
}
