//! The exit file, whose room on the disk is taken when the job starts: a disk that is full at the end cannot swallow how the
//! job ended.

use std::os::fd::OwnedFd;

use super::control::temporary;
use super::{Control, Error, ExitFile};

const NAME: &str = "exit";
/// One block of most file systems; the longest exit file has to fit.
const ROOM: usize = 4096;
const MESSAGE_LIMIT: usize = 2000;

pub struct ReservedExit(OwnedFd);

impl ReservedExit {
    /// Refused when the disk has no room even for this: then the job must not start.
    pub fn new(control: &Control) -> Result<Self, Error> {
        if control.has(NAME) {
            return Err(Error::Used(control.path().join(NAME)));
        }
        let name = temporary(NAME);
        let file = control.create(&name)?;
        control.write_all(&name, &file, &[b' '; ROOM])?;
        Ok(Self(file))
    }

    /// Puts the file in its place.
    pub fn publish(self, control: &Control, exit: &ExitFile) -> Result<(), Error> {
        let name = temporary(NAME);
        let text = serde_json::to_vec(exit).expect("an exit file has nothing that JSON cannot say");
        let mut written = 0;
        while written < text.len() {
            match rustix::io::pwrite(&self.0, &text[written..], written as u64) {
                Ok(count) => written += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    let path = control.path().join(&name);
                    return Err(Error::File { what: "write", path, source: error.into() });
                }
            }
        }
        // Should this fail, the rest is spaces, which JSON allows.
        let _ = rustix::fs::ftruncate(&self.0, text.len() as u64);
        control.rename(&name, NAME)
    }
}

/// A message that fits into the room of an exit file.
#[must_use]
pub fn shortened(mut message: String) -> String {
    if message.len() > MESSAGE_LIMIT {
        let end = (0..=MESSAGE_LIMIT).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests {
    use super::super::{Cause, End};
    use super::*;

    #[test]
    fn the_longest_exit_file_fits_its_room() {
        let dir = tempfile::tempdir().unwrap();
        let control = Control::open(dir.path()).unwrap();
        let reserved = ReservedExit::new(&control).unwrap();
        // An escape of six bytes for each byte of the message would be the worst; messages hold text.
        let message = shortened("ä\"".repeat(5000));
        let end = End::FailedToStart { cause: Cause::Requirements, message };
        let numbers = u64::MAX;
        let exit = ExitFile {
            end,
            stopped: false,
            timed_out: true,
            at_ms: numbers,
            log_length: numbers,
            spool_length: numbers,
            log_lost: numbers,
            left_behind: u32::MAX,
        };
        assert!(serde_json::to_vec(&exit).unwrap().len() <= ROOM);
        assert_eq!(ExitFile::read(dir.path()).unwrap(), None);
        reserved.publish(&control, &exit).unwrap();
        assert_eq!(ExitFile::read(dir.path()).unwrap(), Some(exit));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
