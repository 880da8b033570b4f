//! Hears that the agent has written a new deadline, so that one that was brought forward counts at once.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init, remove_watch};

use super::control::DEADLINE;

/// Watches over the control directory of the present job, where a first deadline appears, and over the file itself, which later
/// ones are written into. Not over all that is written in the directory: the log is, too.
pub struct Renewals {
    events: OwnedFd,
    control: PathBuf,
    directory: Option<i32>,
    file: Option<i32>,
}

impl Renewals {
    pub fn new() -> io::Result<Self> {
        let events = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self { events, control: PathBuf::new(), directory: None, file: None })
    }

    /// From now on this job's. To be called before its deadline is read, so that nothing falls in between.
    pub fn follow(&mut self, control: &Path) -> io::Result<()> {
        for before in [self.directory.take(), self.file.take()].into_iter().flatten() {
            // Gone with what it watched.
            let _ = remove_watch(&self.events, before);
        }
        self.directory = Some(add_watch(&self.events, control, WatchFlags::MOVED_TO)?);
        control.clone_into(&mut self.control);
        self.follow_file();
        Ok(())
    }

    /// The present file, if there is one. To be called before it is read, as well.
    fn follow_file(&mut self) {
        let flags = WatchFlags::MODIFY | WatchFlags::DONT_FOLLOW;
        self.file = add_watch(&self.events, self.control.join(DEADLINE), flags).ok();
    }

    /// What happened is read from the directory; the events only say that something did.
    pub fn take(&mut self) {
        self.follow_file();
        let mut events = [0; 4096];
        while rustix::io::read(&self.events, &mut events[..]).is_ok_and(|count| count > 0) {}
    }
}

impl AsFd for Renewals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}
