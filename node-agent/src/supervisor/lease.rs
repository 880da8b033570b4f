//! When a job has to be stopped: by request, at its time limit, or because its lease ends. Pure; all times are milliseconds of CLOCK_BOOTTIME.

/// From the last SIGKILL to the deadline: time for the kernel to end the processes.
const REAP_MS: u64 = 1000;

/// A stop that was begun with SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    pub why: Why,
    /// When SIGKILL follows.
    pub kill_at: u64,
    pub killed: bool,
}

/// What the first stop came of; it decides how the end is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Request,
    TimeLimit,
    LeaseEnd,
}

impl Stop {
    /// With the whole of its grace.
    pub fn begun(why: Why, now: u64, grace_ms: u64) -> Self {
        Self { why, kill_at: now.saturating_add(grace_ms), killed: false }
    }

    /// The job must be dead at the deadline, so what is left of its grace may be less than all of it.
    pub fn at_lease_end(now: u64, grace_ms: u64, deadline: u64) -> Self {
        let kill_at = now.saturating_add(grace_ms).min(kill_before(deadline)).max(now);
        Self { why: Why::LeaseEnd, kill_at, killed: false }
    }

    /// Of two requests the sooner kill counts.
    pub fn hasten(&mut self, now: u64, grace_ms: u64) {
        self.kill_at = self.kill_at.min(now.saturating_add(grace_ms));
    }
}

/// When the deadline has to be looked at again: in time for a whole grace, or, where a stop is under way, for its SIGKILL.
pub fn acts_at(deadline: u64, grace_ms: u64, stop: Option<&Stop>) -> u64 {
    let grace_ms = if stop.is_none() { grace_ms } else { 0 };
    kill_before(deadline).saturating_sub(grace_ms)
}

/// The content of a deadline file: always as long, and twice the same, so that it can be written over in place and who reads it
/// in the middle of that knows.
pub fn text(deadline: u64) -> String {
    format!("{deadline:020} {deadline:020}\n")
}

/// What a deadline file says. `None` = it is half written, or none. A number alone counts too: agents wrote it so.
pub fn parse(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let (first, second) = text.split_once(' ').unwrap_or((text, text));
    if first == second { first.parse().ok() } else { None }
}

fn kill_before(deadline: u64) -> u64 {
    deadline.saturating_sub(REAP_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_killed_a_second_before_its_deadline_however_late_the_stop_begins() {
        assert_eq!(acts_at(100_000, 10_000, None), 89_000);
        assert_eq!(Stop::at_lease_end(89_000, 10_000, 100_000).kill_at, 99_000);
        assert_eq!(Stop::at_lease_end(95_000, 10_000, 100_000).kill_at, 99_000);
        assert_eq!(Stop::at_lease_end(500_000, 10_000, 100_000).kill_at, 500_000);
        assert_eq!(acts_at(5_000, 10_000, None), 0);
    }

    #[test]
    fn a_stop_with_a_long_grace_still_ends_with_the_lease() {
        let stop = Stop::begun(Why::Request, 0, 600_000);
        assert_eq!(acts_at(100_000, 10_000, Some(&stop)), 99_000);
    }

    #[test]
    fn a_request_can_only_hasten_a_stop_that_has_begun() {
        let mut stop = Stop::begun(Why::TimeLimit, 0, 60_000);
        stop.hasten(1_000, 5_000);
        assert_eq!(stop.kill_at, 6_000);
        stop.hasten(2_000, 90_000);
        assert_eq!(stop.kill_at, 6_000);
    }

    #[test]
    fn a_deadline_is_always_as_long() {
        for deadline in [0, 1, 123_456, u64::MAX] {
            assert_eq!(parse(text(deadline).as_bytes()), Some(deadline));
            assert_eq!(text(deadline).len(), text(0).len());
        }
    }

    #[test]
    fn a_deadline_that_is_half_written_is_none() {
        let [old, new] = [1_999_999_999, 2_000_000_000].map(text);
        for at in 0..old.len() - 1 {
            let torn = format!("{}{}", &new[..at], &old[at..]);
            let seen = parse(torn.as_bytes());
            assert!(seen.is_none() || torn == old || torn == new, "{torn}: {seen:?}");
        }
    }

    #[test]
    fn a_deadline_is_a_number_and_nothing_else() {
        assert_eq!(parse(b"123\n"), Some(123));
        for text in [&b""[..], b"-1", b"1.5", b"soon", b"\xff", b"99999999999999999999999"] {
            assert_eq!(parse(text), None);
        }
    }
}
