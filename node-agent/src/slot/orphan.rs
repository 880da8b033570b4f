//! Ending the processes of a job whose supervisor is gone (killed by hand, or by the kernel).

use std::fs::{self, File};
use std::io::{self, Read};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpid, kill_process};

use crate::paths::AttemptId;
use crate::supervisor::StartedFile;

/// Ticks of `/proc/<pid>/stat` per second, fixed in the kernel's interface.
const TICK_MS: u64 = 10;
/// How far the process may be older than the moment its supervisor noted: as long as starting a program takes.
const START_TAKES_MS: u64 = 60_000;
/// In the environment of every process of a job.
const JOB_ID: &str = "ATLAS_JOB_ID";
const ATTEMPT: &str = "ATLAS_ATTEMPT";
/// Bytes of a process's environment that are looked at.
const ENVIRONMENT: u64 = 4 << 20;

/// Sends SIGKILL to every process of the job and says how many there were: those of its process group, provided that its leader
/// is still the process that was started then, and those that carry the job's id in the environment they began with.
pub fn end_orphans(id: AttemptId, started: Option<&StartedFile>) -> io::Result<usize> {
    let processes = processes()?;
    let group = started.filter(|started| processes.iter().any(|it| it.is_the_one(started)));
    let mine = |it: &&Process| {
        group.is_some_and(|started| it.group == started.pid) || belongs_to(it.pid, id)
    };
    let mut count = 0;
    for process in processes.iter().filter(|it| !it.dead && it.pid != me()).filter(mine) {
        let Some(pid) = Pid::from_raw(process.pid) else { continue };
        match kill_process(pid, Signal::KILL) {
            Ok(()) => count += 1,
            Err(Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(count)
}

fn me() -> i32 {
    getpid().as_raw_nonzero().get()
}

/// A line of `/proc/<pid>/stat`.
#[derive(Debug)]
struct Process {
    pid: i32,
    group: i32,
    /// Milliseconds from the start of the machine.
    start_ms: u64,
    /// It has ended and waits for its parent to hear of it.
    dead: bool,
}

impl Process {
    fn parse(stat: &str) -> Option<Self> {
        let (pid, _) = stat.split_once(' ')?;
        // The name in parentheses may hold anything.
        let (_, after_name) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
        // Fields 3 (state), 5 (group) and 22 (start) of the whole line; the name is the second.
        Some(Self {
            pid: pid.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            start_ms: fields.get(19)?.parse::<u64>().ok()? * TICK_MS,
            dead: matches!(*fields.first()?, "Z" | "X"),
        })
    }

    /// Whether this is the leader of the group that was started then: numbers are given again.
    fn is_the_one(&self, started: &StartedFile) -> bool {
        let earliest = started.boot_ms.saturating_sub(START_TAKES_MS);
        started.pid > 1
            && self.pid == started.pid
            && self.group == started.pid
            && (earliest..=started.boot_ms).contains(&self.start_ms)
    }
}

fn processes() -> io::Result<Vec<Process>> {
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().filter(|it| it.bytes().all(|byte| byte.is_ascii_digit()))
        else {
            continue;
        };
        // One that is gone by now is none.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        processes.extend(Process::parse(&stat));
    }
    Ok(processes)
}

/// Processes of other users cannot be looked at, and are not the job's: an agent that is not root runs jobs as itself.
fn belongs_to(pid: i32, id: AttemptId) -> bool {
    let mut environment = Vec::new();
    let read = File::open(format!("/proc/{pid}/environ"))
        .and_then(|file| file.take(ENVIRONMENT).read_to_end(&mut environment));
    let job = format!("{JOB_ID}={}", id.job);
    let attempt = format!("{ATTEMPT}={}", id.attempt);
    let has = |line: &String| environment.split(|byte| *byte == 0).any(|it| it == line.as_bytes());
    read.is_ok() && has(&job) && has(&attempt)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;
    use crate::supervisor::{boottime_now, wall_now};

    fn id(text: &str) -> AttemptId {
        text.parse().unwrap()
    }

    #[test]
    fn only_the_process_that_was_started_then_is_ended() {
        let id = id("45540b52-ffe2-44ab-9838-db467d3499c0.2");
        let mut child = Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let boot_ms = boottime_now();
        let started = StartedFile { at_ms: wall_now(), boot_ms, pid };
        let end = |started: &StartedFile| end_orphans(id, Some(started)).unwrap();
        let long_ago = StartedFile { boot_ms: boot_ms.saturating_sub(1000), ..started };
        assert_eq!(end(&long_ago), 0, "the number was given to another process since");
        assert_eq!(end(&StartedFile { pid: 1, ..started }), 0);
        assert_eq!(end(&StartedFile { pid: i32::MAX, ..started }), 0);
        assert_eq!(end(&started), 1);
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert_eq!(end(&started), 0);
    }

    #[test]
    fn a_process_that_left_the_group_is_known_by_its_environment() {
        let mine = id("5d5c5f2e-6d7c-4f5c-8a52-6d3c1b1f0a01.1");
        let spawn = |attempt: &str| {
            let mut sleep = Command::new("sleep");
            sleep.arg("60").process_group(0).env(JOB_ID, mine.job.to_string());
            sleep.env(ATTEMPT, attempt).spawn().unwrap()
        };
        let (mut first, mut second) = (spawn("1"), spawn("2"));
        // The environment is there when the program was loaded.
        let loaded = |pid| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap() == "sleep\n";
        while ![first.id(), second.id()].into_iter().all(loaded) {
            std::thread::yield_now();
        }
        assert_eq!(end_orphans(mine, None).unwrap(), 1);
        assert_eq!(first.wait().unwrap().signal(), Some(9));
        assert_eq!(second.try_wait().unwrap(), None, "another attempt's process was ended");
        second.kill().unwrap();
        second.wait().unwrap();
    }
}
