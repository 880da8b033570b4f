//! Ending the processes of a job whose supervisor is gone (killed by hand, or by the kernel).

use std::fs;
use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::supervisor::StartedFile;

/// Ticks of `/proc/<pid>/stat` per second, fixed in the kernel's interface.
const TICK_MS: u64 = 10;
/// How far the process may be older than the moment its supervisor noted: as long as starting a program takes.
const START_TAKES_MS: u64 = 60_000;

/// Sends SIGKILL to the job's process group, provided that its leader is still the process that was started then, and says
/// whether it was. Processes that left the group are not found: only a supervisor knows them.
pub fn end_orphan(started: &StartedFile) -> io::Result<bool> {
    let Some(pid) = Pid::from_raw(started.pid).filter(|_| started.pid > 1) else {
        return Ok(false);
    };
    let stat = match fs::read_to_string(format!("/proc/{}/stat", started.pid)) {
        Ok(stat) => stat,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if !is_the_one(&stat, started) {
        return Ok(false);
    }
    match kill_process_group(pid, Signal::KILL) {
        Ok(()) => Ok(true),
        Err(Errno::SRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether this line of `/proc/<pid>/stat` is of the process that was started then.
fn is_the_one(stat: &str, started: &StartedFile) -> bool {
    let Some((_, after_name)) = stat.rsplit_once(')') else { return false };
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
    // Fields 5 (group) and 22 (start) of the whole line; the name is the second.
    let (Some(group), Some(start)) = (number(2), number(19)) else { return false };
    let start_ms = start * TICK_MS;
    let earliest = started.boot_ms.saturating_sub(START_TAKES_MS);
    u64::try_from(started.pid) == Ok(group) && (earliest..=started.boot_ms).contains(&start_ms)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;
    use crate::supervisor::{boottime_now, wall_now};

    #[test]
    fn only_the_process_that_was_started_then_is_ended() {
        let mut child = Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let boot_ms = boottime_now();
        let started = StartedFile { at_ms: wall_now(), boot_ms, pid };
        let long_ago = StartedFile { boot_ms: boot_ms.saturating_sub(1000), ..started };
        assert!(!end_orphan(&long_ago).unwrap(), "the number was given to another process since");
        assert!(!end_orphan(&StartedFile { pid: 1, ..started }).unwrap());
        assert!(!end_orphan(&StartedFile { pid: i32::MAX, ..started }).unwrap());
        assert!(end_orphan(&started).unwrap());
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
