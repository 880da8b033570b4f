//! For measuring by hand: `cargo test --release -p atlas-node --test agent -- --ignored --nocapture measure`.

use std::fs;
use std::time::Instant;

use atlas_core::agent::Report;
use atlas_core::node::ExecutorKind;

use crate::harness::Node;

/// Jobs that do nothing, some at a time as a master places them: what an agent and its supervisors take for each.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "for measuring"]
async fn measure_jobs_per_second() {
    const JOBS: usize = 2000;
    const AT_A_TIME: usize = 4;
    let node = Node::start_with(ExecutorKind::Process, |settings| {
        settings.inventory.workers = Some(u32::try_from(AT_A_TIME).unwrap());
    })
    .await;
    let jobs: Vec<_> = (0..JOBS).map(|_| node.job(&[("f", "1")], &["/bin/true"])).collect();
    let ids: Vec<_> = jobs.iter().map(|it| it.job).collect();
    let (began, before) = (Instant::now(), cpu("self"));
    let mut jobs = jobs.into_iter();
    for assignment in jobs.by_ref().take(AT_A_TIME) {
        node.master.assign(assignment).await;
    }
    for id in &ids {
        node.master.told(*id, "over", |it| matches!(it, Report::Exited(_)).then_some(())).await;
        if let Some(assignment) = jobs.next() {
            node.master.assign(assignment).await;
        }
    }
    for id in &ids {
        node.master.archived(*id).await;
    }
    let took = began.elapsed();
    let per_job =
        |ms: u64| f64::from(u32::try_from(ms).unwrap()) / f64::from(u32::try_from(JOBS).unwrap());
    println!("{:.0} jobs/s", f64::from(u32::try_from(JOBS).unwrap()) / took.as_secs_f64());
    println!(
        "agent (and the test's master): {:.2} ms of CPU per job",
        per_job(cpu("self") - before)
    );
    let supervisors: u64 = node.supervisors().iter().map(|pid| cpu(&pid.to_string())).sum();
    println!("supervisors: {:.2} ms of CPU per job", per_job(supervisors));
}

/// Milliseconds of processor time of a process and its children.
fn cpu(pid: &str) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11..15].iter().map(|it| it.parse::<u64>().unwrap() * 10).sum()
}
