//! What the figures stand beside: bare processes, HyperQueue, and what the kernel says of our own.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds from the call to the time that `date` prints.
pub fn spawn_to_first_instruction() -> f64 {
    let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let output = Command::new("date").arg("+%s%N").output().unwrap();
    let printed =
        Duration::from_nanos(String::from_utf8(output.stdout).unwrap().trim().parse().unwrap());
    (printed - began).as_secs_f64() * 1000.0
}

pub fn spawn_many(processes: usize, at_a_time: usize) -> Duration {
    let began = Instant::now();
    let left = AtomicUsize::new(processes);
    let one_more =
        || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |it| it.checked_sub(1)).is_ok();
    std::thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                while one_more() {
                    assert!(
                        Command::new("/bin/true").stdin(Stdio::null()).status().unwrap().success()
                    );
                }
            });
        }
    });
    began.elapsed()
}

/// An array of `/bin/true` on a local server and one worker with four cores; `None` = it is not installed.
pub fn hyperqueue(tasks: usize) -> Option<Duration> {
    let python = std::env::var_os("ATLAS_BENCH_HQ_PYTHON")?;
    let script = "
import sys, time
from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig
with LocalCluster() as cluster:
    cluster.start_worker(WorkerConfig(cores=4))
    client = cluster.client()
    job = Job()
    for _ in range(int(sys.argv[1])):
        job.program(['/bin/true'], stdout=None, stderr=None)
    began = time.perf_counter()
    submitted = client.submit(job)
    client.wait_for_jobs([submitted])
    print(time.perf_counter() - began)
";
    let output = Command::new(python).args(["-c", script, &tasks.to_string()]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let seconds = text.lines().last().and_then(|it| it.parse().ok());
    let seconds: f64 =
        seconds.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    Some(Duration::from_secs_f64(seconds))
}

/// Megabytes of memory that are in use.
pub fn resident_mb(pid: u32) -> f64 {
    memory_mb(pid, "VmRSS:")
}

/// The most that ever were.
pub fn peak_mb(pid: u32) -> f64 {
    memory_mb(pid, "VmHWM:")
}

fn memory_mb(pid: u32, key: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|it| it.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Milliseconds of CPU so far (the kernel counts in hundredths of a second).
pub fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (after_name[11].parse::<f64>().unwrap() + after_name[12].parse::<f64>().unwrap()) * 10.0
}

/// The supervisors that this agent started.
pub fn supervisors(agent: u32) -> Vec<u32> {
    let found = Command::new("pgrep")
        .args(["-P", &agent.to_string(), "-f", "atlas-supervisor"])
        .output()
        .unwrap();
    String::from_utf8_lossy(&found.stdout).lines().filter_map(|it| it.parse().ok()).collect()
}
