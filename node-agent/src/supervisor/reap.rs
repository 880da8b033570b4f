//! Reaping children, ending a job and what it leaves behind. This process is a subreaper or the first of its PID namespace:
//! whoever loses its parent below it becomes its child.

use std::fs;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, getpid, kill_process,
    kill_process_group, wait, waitid,
};

/// What `wait` knew.
pub struct Reaped {
    /// The status of the process asked for, if it was among those that had ended.
    pub status: Option<WaitStatus>,
    /// Whether children are left.
    pub children: bool,
}

/// Takes the status of every child that has ended, without waiting.
pub fn reap(watched: Option<Pid>) -> Reaped {
    let mut status = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, ended))) => {
                if Some(pid) == watched {
                    status = Some(ended);
                }
            }
            Ok(None) => return Reaped { status, children: true },
            Err(Errno::INTR) => {}
            Err(_) => return Reaped { status, children: false }, // ECHILD: there are none
        }
    }
}

/// Whether this child has ended, without taking its status.
pub fn has_ended(child: Pid) -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::Pid(child), look), Ok(Some(_)))
}

/// SIGTERM to the process group, or to its leader alone where that has left the group.
pub fn terminate(pid: Pid) {
    if kill_process_group(pid, Signal::TERM) == Err(Errno::SRCH) {
        let _ = kill_process(pid, Signal::TERM);
    }
    // A stopped process would not see it before its SIGKILL.
    let _ = kill_process_group(pid, Signal::CONT);
}

/// Sends SIGKILL to every child and says how many there were. Their children become ours when they die, so this is repeated
/// at each SIGCHLD until there are none.
pub fn kill_children() -> u32 {
    let mut count = 0;
    for child in children() {
        // One that is gone by now is no error.
        let _ = kill_process(child, Signal::KILL);
        count += 1;
    }
    count
}

fn children() -> Vec<Pid> {
    let me = getpid().as_raw_nonzero().get();
    match fs::read_to_string(format!("/proc/self/task/{me}/children")) {
        Ok(list) => list.split_ascii_whitespace().filter_map(pid).collect(),
        // A kernel or sandbox without that file: look at everybody's parent.
        Err(_) => children_by_scan(me),
    }
}

fn children_by_scan(parent: i32) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let is_child = |name: &String| {
        let stat = fs::read_to_string(format!("/proc/{name}/stat")).unwrap_or_default();
        parent_in_stat(&stat) == Some(parent)
    };
    names
        .filter(|name| pid(name).is_some())
        .filter(is_child)
        .filter_map(|name| pid(&name))
        .collect()
}

/// The parent in a line of `/proc/<pid>/stat`, where the name in parentheses may hold anything.
fn parent_in_stat(stat: &str) -> Option<i32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn pid(text: &str) -> Option<Pid> {
    Pid::from_raw(text.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    #[test]
    fn a_parent_is_found_behind_a_hostile_name() {
        assert_eq!(parent_in_stat("77 (a) R 9 (b) S 42 77 77"), Some(42));
        assert_eq!(parent_in_stat("77 (sh) S 5 77"), Some(5));
        assert_eq!(parent_in_stat(""), None);
    }

    #[test]
    fn a_child_that_has_ended_is_seen_and_still_there_to_be_reaped() {
        let mut child = std::process::Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        assert!(!has_ended(pid));
        drop(child.stdin.take());
        // Waits without reaping, as `has_ended` looks.
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
        assert!(has_ended(pid));
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn both_ways_to_find_children_agree() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        let me = getpid().as_raw_nonzero().get();
        let scanned = children_by_scan(me);
        // Tests run in threads; the quick way only knows the children of one thread.
        let quick = fs::read_to_string(format!("/proc/self/task/{}/children", gettid())).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(scanned.contains(&pid));
        assert!(quick.split_ascii_whitespace().any(|it| super::pid(it) == Some(pid)), "{quick}");
    }

    fn gettid() -> i32 {
        rustix::thread::gettid().as_raw_nonzero().get()
    }
}
