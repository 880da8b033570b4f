//! Hears that the agent has written a new deadline, so that one that was brought forward counts at once.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init, remove_watch};

/// One watch, on the control directory of the present job.
pub struct Renewals {
    events: OwnedFd,
    watched: Option<i32>,
}

impl Renewals {
    pub fn new() -> io::Result<Self> {
        Ok(Self { events: init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?, watched: None })
    }

    /// From now on this job's. To be called before its deadline is read, so that nothing falls in between.
    pub fn follow(&mut self, control: &Path) -> io::Result<()> {
        if let Some(before) = self.watched.take() {
            // Gone with its directory.
            let _ = remove_watch(&self.events, before);
        }
        self.watched = Some(add_watch(&self.events, control, WatchFlags::MOVED_TO)?);
        Ok(())
    }

    /// What happened is read from the directory; the events only say that something did.
    pub fn take(&self) {
        let mut events = [0; 4096];
        while rustix::io::read(&self.events, &mut events[..]).is_ok_and(|count| count > 0) {}
    }
}

impl AsFd for Renewals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}
