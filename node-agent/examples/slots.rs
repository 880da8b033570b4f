//! How fast supervisors run trivial jobs: `cargo run --release --example slots -- SUPERVISOR [JOBS]`.
//!
//! Counts all that a slot does for a job (control directory, run file, start, log, exit file, events) and nothing that the
//! driver adds. Beside it, in the same run, what the machine does without any of it: bare spawn and wait.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use atlas_node::slot::{Event, Slot};
use atlas_node::supervisor::{Command, Limits, RunFile, boottime_now, write_deadline};
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let usage = "usage: slots SUPERVISOR [JOBS]";
    let supervisor = PathBuf::from(arguments.next().ok_or(usage)?);
    let jobs: usize = arguments.next().map_or(Ok(2000), |it| it.to_string_lossy().parse())?;
    let dir = std::env::temp_dir().join(format!("atlas-slots-{}", std::process::id()));
    for slots in [1, 4] {
        bare(slots, jobs);
        measure(&dir, &supervisor, slots, jobs).await?;
    }
    fs::remove_dir_all(&dir)?;
    Ok(())
}

fn bare(threads: usize, jobs: usize) {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..jobs / threads {
                    let mut command = std::process::Command::new("/bin/true");
                    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                    command.status().expect("/bin/true can be run");
                }
            });
        }
    });
    println!("{threads} x bare spawn and wait: {:.0} jobs/s", rate(jobs, begun.elapsed()));
}

async fn measure(
    dir: &Path,
    supervisor: &Path,
    slots: usize,
    jobs: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut tasks = Vec::new();
    for number in 0..slots {
        let dir = dir.join(format!("{slots}-{number}"));
        let slot = Slot::start(&dir.join("slot"), supervisor).await?;
        tasks.push((dir, slot));
    }
    let supervisors: Vec<i32> = tasks.iter().filter_map(|(_, slot)| slot.supervisor()).collect();
    let before: u64 = supervisors.iter().map(|pid| cpu_ns(*pid)).sum();
    let begun = Instant::now();
    let each = jobs / slots;
    let mut running = JoinSet::new();
    for (dir, slot) in tasks {
        running.spawn(run(dir, slot, each));
    }
    let mut finished = Vec::new();
    while let Some(slot) = running.join_next().await {
        finished.push(slot??);
    }
    let took = begun.elapsed();
    let cpu = supervisors.iter().map(|pid| cpu_ns(*pid)).sum::<u64>() - before;
    let resident = supervisors.iter().map(|pid| resident_kb(*pid)).max().unwrap_or(0);
    println!(
        "{slots} x supervisor: {:.0} jobs/s, {:.3} ms of CPU per job in the supervisor, {resident} kB resident",
        rate(each * slots, took),
        cpu as f64 / 1e6 / (each * slots) as f64,
    );
    Ok(())
}

async fn run(dir: PathBuf, mut slot: Slot, jobs: usize) -> Result<Slot, String> {
    let env: BTreeMap<String, String> =
        (0..30).map(|n| (format!("VARIABLE_{n}"), "a value of a usual length".into())).collect();
    let command = Command { argv: vec!["/bin/true".into()], env, cwd: "/tmp".into() };
    let limits = Limits { nofile: Some(4096), ..Limits::default() };
    let run = RunFile {
        command,
        prepare: Vec::new(),
        grace_ms: 10_000,
        time_limit_ms: None,
        user: None,
        limits,
        api: None,
    };
    for number in 0..jobs {
        let control = dir.join(number.to_string());
        fs::create_dir(&control).map_err(|error| error.to_string())?;
        run.write(&control).map_err(|error| error.to_string())?;
        let deadline = boottime_now() + 300_000;
        write_deadline(&control, deadline).map_err(|error| error.to_string())?;
        slot.run(&control).await.map_err(|error| error.to_string())?;
        loop {
            match slot.next().await {
                Event::Exited(_) => break,
                Event::Started(_) | Event::LogGrew { .. } => {}
                other => return Err(format!("{other:?}")),
            }
        }
    }
    Ok(slot)
}

fn rate(jobs: usize, took: Duration) -> f64 {
    jobs as f64 / took.as_secs_f64()
}

fn cpu_ns(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    text.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or(0)
}

fn resident_kb(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|it| it.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
