//! How fast the embedded store is: `cargo run --release -p atlas-master --example store_speed [DIR]`. The folder decides which
//! disk is measured.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use atlas_core::job::JobState;
use atlas_core::record::JobEvent;
use atlas_core::spec::{Bundle, Outputs, Sealed, Worker};
use atlas_core::{
    Attempt, BundleId, Demand, Epoch, JobId, JobSpec, JobStatus, Placement, Position, Record,
    Revision, Timestamp,
};
use atlas_master::store::{Batch, Embedded, Mark, Page, Store};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Queued for the restore.
const JOBS: u64 = 1_000_000;

#[tokio::main]
async fn main() -> Result<()> {
    let dir = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = dir.join(format!("atlas-store-speed-{}", std::process::id()));
    fs::create_dir(&dir)?;
    let measured = measure(&dir).await;
    fs::remove_dir_all(&dir)?;
    measured
}

async fn measure(dir: &Path) -> Result<()> {
    println!("sync of a small append: {:.2} ms (median)", sync_time(dir)?.as_secs_f64() * 1e3);
    let store = Embedded::open(dir)?;
    let epoch = store.lead().await?.mark.epoch;
    let mut writer = Writer { store, epoch, revision: Revision(0), next: 1 };

    println!("batch  jobs/s  commits/s  median ms  p99 ms");
    for (size, commits) in [(1, 2000), (16, 1000), (256, 200), (1024, 100)] {
        writer.submissions(size, commits).await?;
    }
    println!("the same, and each job placed in the same commit and started in the next");
    for (size, commits) in [(1, 1000), (16, 500), (256, 100)] {
        writer.starts(size, commits).await?;
    }
    while writer.next <= JOBS {
        let records = (0..5000).map(|_| writer.queue()).collect();
        writer.commit(records).await?;
    }
    writer.look_ups().await?;
    let Writer { store, .. } = writer;
    drop(store);

    let began = Instant::now();
    let store = Embedded::open(dir)?;
    let restored = store.restore().await?;
    println!("restore of {} jobs: {:.2} s", restored.jobs.len(), began.elapsed().as_secs_f64());
    let bytes = fs::metadata(dir.join("atlas.sqlite"))?.len();
    println!("file: {} bytes a job", bytes / restored.jobs.len() as u64);
    Ok(())
}

struct Writer {
    store: Embedded,
    epoch: Epoch,
    revision: Revision,
    next: u64,
}

impl Writer {
    async fn submissions(&mut self, size: u64, commits: usize) -> Result<()> {
        let mut times = Vec::with_capacity(commits);
        for _ in 0..commits {
            let records = (0..size).map(|_| self.queue()).collect();
            times.push(self.commit(records).await?);
        }
        report(size, &mut times);
        Ok(())
    }

    async fn starts(&mut self, size: u64, commits: usize) -> Result<()> {
        let mut times = Vec::with_capacity(commits);
        for _ in 0..commits {
            let first = self.next;
            let mut records = Vec::new();
            for number in first..first + size {
                records.push(self.queue());
                records.push(moved(number, JobEvent::Placed));
            }
            let placed = self.commit(records).await?;
            let started = (first..first + size).map(|it| moved(it, JobEvent::Started)).collect();
            times.push(placed + self.commit(started).await?);
        }
        report(size, &mut times);
        Ok(())
    }

    async fn look_ups(&self) -> Result<()> {
        let prefix = &id(4711).to_string()[..8];
        let page = Page { before: None, limit: 100 };
        let some: Vec<JobId> = (1..=100).map(|it| id(it * 1009)).collect();
        // The first one opens a connection.
        self.store.jobs_with_prefix(prefix, 2).await?;
        let began = Instant::now();
        let found = self.store.jobs_with_prefix(prefix, 2).await?.len();
        look_up("a prefix of 8 digits", found, began);
        let began = Instant::now();
        let found = self.store.jobs(&page).await?.len();
        look_up("the newest", found, began);
        let began = Instant::now();
        let found = self.store.jobs_of(&some).await?.len();
        look_up("a hundred ids", found, began);
        Ok(())
    }

    fn queue(&mut self) -> Record {
        let number = self.next;
        self.next += 1;
        let status = status(number, JobState::Queued { excluded: vec![] });
        Record::JobQueued { id: id(number), spec: spec(number).into(), status }
    }

    async fn commit(&mut self, records: Vec<Record>) -> Result<Duration> {
        let last = Mark { epoch: self.epoch, revision: self.revision };
        let batch = Batch::next(last, records);
        self.revision = batch.revision;
        let began = Instant::now();
        self.store.commit(&batch).await?;
        Ok(began.elapsed())
    }
}

fn look_up(what: &str, found: usize, began: Instant) {
    println!("look-up of {what}: {found} in {:.2} ms", began.elapsed().as_secs_f64() * 1e3);
}

fn report(size: u64, times: &mut [Duration]) {
    times.sort();
    let total: f64 = times.iter().map(Duration::as_secs_f64).sum();
    let commits = times.len() as f64 / total;
    let at = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e3;
    let jobs = commits * size as f64;
    println!("{size:>5}  {jobs:>6.0}  {commits:>9.0}  {:>9.2}  {:>6.2}", at(0.5), at(0.99));
}

/// What no durable commit can undercut here.
fn sync_time(dir: &Path) -> Result<Duration> {
    let mut file = File::create(dir.join("sync"))?;
    let mut times = Vec::new();
    for _ in 0..200 {
        let began = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    times.sort();
    Ok(times[times.len() / 2])
}

/// Spread over the index as random ones are.
fn id(number: u64) -> JobId {
    let high = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    JobId::from_random((u128::from(high) << 64 | u128::from(number)).to_be_bytes())
}

fn spec(number: u64) -> JobSpec {
    JobSpec {
        project: "my-project".parse().expect("a good name"),
        user: "ada".into(),
        name: None,
        tags: Default::default(),
        note: String::new(),
        bundle: Bundle { id: BundleId::from_sha256([7; 32]), tar_size: 10_240, files: 3 },
        command: vec!["main.py".into(), "--seed".into(), number.to_string()],
        entrypoint: None,
        demand: Demand::default(),
        shm: None,
        time_limit: None,
        worker: Worker::default(),
        params: Some(format!("{{\"lr\": 0.001, \"epochs\": 10, \"seed\": {number}}}")),
        outputs: Outputs::default(),
        wait_for_capacity: false,
        fresh_requirements: false,
        git: None,
        rerun: None,
        outside: None,
        traceparent: None,
    }
}

fn status(number: u64, state: JobState) -> JobStatus {
    let submitted = Timestamp(1_700_000_000_000 + number);
    JobStatus {
        submitted,
        position: Position(number),
        attempt: Attempt(1),
        lost: 0,
        image: None,
        past: Vec::new(),
        imported: None,
        sealed: Sealed::default(),
        state,
    }
}

fn moved(number: u64, event: JobEvent) -> Record {
    let node = "node-1".parse().expect("a good name");
    let placement = Placement { node, gpus: vec![], attempt: Attempt(1) };
    let state = match event {
        JobEvent::Placed => JobState::Placed { placement, excluded: vec![] },
        _ => JobState::Running { placement, started: Timestamp(1_700_000_000_000) },
    };
    Record::JobChanged { id: id(number), event, status: status(number, state) }
}
