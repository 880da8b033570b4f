//! The two clocks of the shells; the core takes their readings as arguments.

use rustix::time::{ClockId, clock_gettime};

/// Time since the machine started, suspension included: never set back, the same for every process of the machine.
/// Leases and timeouts are kept in it.
#[derive(Debug)]
pub struct Boottime;

impl Boottime {
    /// Milliseconds since the machine started.
    pub fn now() -> u64 {
        read(ClockId::Boottime)
    }
}

/// The time of day, which people read and administrators set: for records and messages only.
#[derive(Debug)]
pub struct Wall;

impl Wall {
    /// Milliseconds since 1970 (UTC); zero on a machine whose clock stands before that.
    pub fn now() -> u64 {
        read(ClockId::Realtime)
    }
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let millis = i128::from(time.tv_sec) * 1000 + i128::from(time.tv_nsec) / 1_000_000;
    u64::try_from(millis.max(0)).expect("fits for half a billion years")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn the_wall_clock_is_the_systems() {
        let system = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let (before, now, after) = (system(), u128::from(Wall::now()), system());
        assert!(before <= now && now <= after, "{before} {now} {after}");
    }

    #[test]
    fn boottime_is_what_the_kernel_calls_uptime() {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let now = Boottime::now();
        assert!(now as f64 / 1000.0 - uptime < 60.0 && now as f64 / 1000.0 >= uptime - 0.1);
        assert!(Boottime::now() >= now);
    }
}
