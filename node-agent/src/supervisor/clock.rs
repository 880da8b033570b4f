//! Time: what is shown to people (wall) and what is counted with (boot time, which goes on while the machine sleeps).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};

/// Milliseconds of CLOCK_BOOTTIME: the clock of leases and deadlines.
#[must_use]
pub fn boottime_now() -> u64 {
    milliseconds(clock_gettime(ClockId::Boottime))
}

/// Milliseconds since 1970, for people and for the log's index.
#[must_use]
pub fn wall_now() -> u64 {
    milliseconds(clock_gettime(ClockId::Realtime))
}

/// One timer on CLOCK_BOOTTIME. `poll` has a timeout too, but that one stands still while the machine sleeps, and a lease
/// does not.
pub struct Alarm {
    timer: OwnedFd,
    armed: Option<u64>,
}

impl Alarm {
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self { timer: timerfd_create(TimerfdClockId::Boottime, flags)?, armed: None })
    }

    /// Rings at `due` or before. Never set later and never taken back: a ring too early costs less than a system call per job.
    pub fn set(&mut self, due: Option<u64>) -> io::Result<()> {
        let Some(due) = due else { return Ok(()) };
        if self.armed.is_some_and(|armed| armed <= due) {
            return Ok(());
        }
        let due_seconds = i64::try_from(due / 1000).unwrap_or(i64::MAX / 2);
        // A time of zero would switch the timer off instead of ringing at once.
        let nanoseconds = i64::try_from(due % 1000 * 1_000_000).unwrap_or(0).max(1);
        let value = Timespec { tv_sec: due_seconds, tv_nsec: nanoseconds };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
        self.armed = Some(due);
        Ok(())
    }

    /// To be called when the descriptor is readable.
    pub fn rang(&mut self) {
        self.armed = None;
        let mut count = [0u8; 8];
        // Nothing to read means that it did not ring; the caller looks at the clock anyway.
        let _ = rustix::io::read(&self.timer, &mut count);
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

fn milliseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_in_the_past_rings_at_once() {
        let mut alarm = Alarm::new().unwrap();
        alarm.set(Some(boottime_now().saturating_sub(5))).unwrap();
        let mut fds = [rustix::event::PollFd::new(&alarm.timer, rustix::event::PollFlags::IN)];
        let limit = Timespec { tv_sec: 5, tv_nsec: 0 };
        assert_eq!(rustix::event::poll(&mut fds, Some(&limit)).unwrap(), 1);
    }

    #[test]
    fn an_alarm_is_moved_forward_but_never_back() {
        let mut alarm = Alarm::new().unwrap();
        let now = boottime_now();
        alarm.set(Some(now + 60_000)).unwrap();
        alarm.set(Some(now + 90_000)).unwrap();
        assert_eq!(alarm.armed, Some(now + 60_000));
        alarm.set(Some(now + 30_000)).unwrap();
        assert_eq!(alarm.armed, Some(now + 30_000));
        alarm.set(None).unwrap();
        assert_eq!(alarm.armed, Some(now + 30_000));
    }
}
