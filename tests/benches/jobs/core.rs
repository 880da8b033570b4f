//! The core alone: decisions with a million jobs queued on a thousand nodes, the memory of a queued job, the time to come back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use atlas_core::agent::{Exit, ExitKind, Report};
use atlas_core::cluster::{Held, Input, Policy, Session, Snapshot, Step};
use atlas_core::job::JobStatus;
use atlas_core::node::{ExecutorKind, NodeSpec, Troubles};
use atlas_core::resources::{Capacity, Demand, Gpu};
use atlas_core::spec::{Bundle, Sealed, Worker};
use atlas_core::{
    Attempt, BundleId, Cluster, JobId, JobSpec, JobState, Mono, NodeName, Now, Position, Record,
    Timestamp,
};

use super::figure;

const QUEUED: usize = 1_000_000;
const NODES: u64 = 1_000;
const DECISIONS: usize = 300_000;
const SESSION: Session = Session(1);

pub fn measure() {
    decisions("", &[0, 0, 0, 0, 0, 1, 1, 1, 2, 2]);
    decisions(", with jobs of whole nodes", &[0, 0, 0, 0, 0, 1, 1, 2, 4, 8]);
    restore();
}

/// A cluster with its clock and everything that is needed to let its jobs run.
struct Bench {
    cluster: Cluster,
    now: Now,
    random: u64,
    running: Vec<(NodeName, JobId, Attempt)>,
    calls: Vec<Duration>,
}

impl Bench {
    fn new() -> Self {
        let now = Now { wall: Timestamp(0), mono: Mono(0) };
        let cluster = Cluster::new(Policy::default(), now);
        Self { cluster, now, random: 7, running: Vec::new(), calls: Vec::new() }
    }

    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One call of the one door, timed.
    fn handle(&mut self, input: Input) -> (Step, Duration) {
        let start = Instant::now();
        let step = self.cluster.handle(self.now, input).unwrap();
        let took = start.elapsed();
        self.calls.push(took);
        for record in &step.records {
            let Record::JobChanged { id, status, .. } = record else { continue };
            if let JobState::Placed { placement, .. } = &status.state {
                self.running.push((placement.node.clone(), *id, placement.attempt));
            }
        }
        (step, took)
    }

    fn submit(&mut self, gpus: &[u32]) -> Step {
        let (low, high) = (self.random(), self.random());
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&low.to_le_bytes());
        bytes[8..].copy_from_slice(&high.to_le_bytes());
        let gpus = gpus[(low % gpus.len() as u64) as usize];
        let spec = Arc::new(spec(gpus, high));
        self.handle(Input::Submit {
            id: JobId::from_random(bytes),
            spec,
            sealed: Sealed::default(),
        })
        .0
    }

    fn report(
        &mut self,
        node: &NodeName,
        job: JobId,
        attempt: Attempt,
        report: Report,
    ) -> Duration {
        let held = Held { job, attempt, report };
        self.handle(Input::Report { node: node.clone(), session: SESSION, held }).1
    }
}

fn decisions(mix: &str, gpus: &[u32]) {
    let mut bench = Bench::new();
    for at in 0..NODES {
        let spec = Box::new(node(at));
        let _ = bench.handle(Input::Join {
            spec,
            session: SESSION,
            troubles: Troubles::default(),
            held: Vec::new(),
        });
    }
    while bench.cluster.queued_jobs() == 0 {
        let _ = bench.submit(gpus);
    }
    let before = resident();
    bench.calls.reserve(QUEUED + 4 * DECISIONS);
    let start = Instant::now();
    for _ in 0..QUEUED {
        let _ = bench.submit(gpus);
    }
    figure(&format!("core: submissions{mix}"), QUEUED as f64 / start.elapsed().as_secs_f64(), "/s");
    // Later, memory that was given back before would be taken for nothing.
    if mix.is_empty() {
        let bytes = (resident() - before) as f64 - (bench.calls.len() * 16) as f64;
        figure("core: memory of a queued job", bytes / QUEUED as f64, "bytes");
    }
    bench.calls.clear();

    let (mut placed, mut deciding) = (0, Duration::ZERO);
    let start = Instant::now();
    while placed < DECISIONS {
        let pick = (bench.random() % bench.running.len() as u64) as usize;
        let (node, job, attempt) = bench.running.swap_remove(pick);
        bench.report(&node, job, attempt, Report::Started { at: Timestamp(1), image: None });
        let running = bench.running.len();
        deciding += bench.report(&node, job, attempt, Report::Exited(exit()));
        placed += bench.running.len() - running;
        bench.report(&node, job, attempt, Report::Archived { left_behind: None });
    }
    let lives = start.elapsed();
    bench.calls.sort_unstable();
    let at = |share: usize| bench.calls[(bench.calls.len() - 1) * share / 1000].as_secs_f64() * 1e6;
    figure(&format!("core: exit and placement{mix}"), placed as f64 / deciding.as_secs_f64(), "/s");
    figure(&format!("core: whole lives of jobs{mix}"), placed as f64 / lives.as_secs_f64(), "/s");
    figure(&format!("core: one call, median{mix}"), at(500), "µs");
    figure(&format!("core: one call, p99{mix}"), at(990), "µs");
    figure(&format!("core: one call, slowest{mix}"), at(1000), "µs");
    let start = Instant::now();
    bench.now.mono.0 += 1000;
    let _ = bench.handle(Input::Tick);
    figure(&format!("core: a tick{mix}"), start.elapsed().as_secs_f64() * 1e6, "µs");
}

fn restore() {
    let mut bench = Bench::new();
    let mut jobs: Vec<(JobId, Arc<JobSpec>, JobStatus)> = Vec::with_capacity(QUEUED);
    for _ in 0..QUEUED {
        for record in bench.submit(&[0, 1]).records {
            let Record::JobQueued { id, spec, status } = record else { continue };
            jobs.push((id, spec, status));
        }
    }
    jobs.sort_by_key(|it| it.0);
    drop(bench);
    let nodes = Vec::new();
    let next_position = Position(QUEUED as u64 + 1);
    let snapshot = Snapshot { jobs, nodes, next_position, granted: None };
    let start = Instant::now();
    let (cluster, effects) = Cluster::restore(Policy::default(), Now::default(), snapshot);
    let took = start.elapsed();
    assert_eq!((cluster.queued_jobs(), effects.len()), (QUEUED, 0));
    figure("core: restore of 1,000,000 queued jobs", took.as_secs_f64() * 1e3, "ms");
}

/// Bytes of this process that lie in memory.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = text.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Every other node has eight GPUs.
fn node(at: u64) -> NodeSpec {
    let name: NodeName = format!("node-{at:04}").parse().unwrap();
    let gpu = |index| Gpu {
        id: format!("GPU-{at:08x}-0000-4000-8000-{index:012x}").parse().unwrap(),
        index,
        model: "NVIDIA H100 80GB HBM3".into(),
        memory: 80_000_000_000,
    };
    let gpus = if at.is_multiple_of(2) { (0..8).map(gpu).collect() } else { Vec::new() };
    NodeSpec {
        identity: format!("identity-{at}"),
        boot_id: "boot".into(),
        address: format!("10.0.{}.{}:5000", at / 256, at % 256),
        version: "0.1.0".into(),
        executor: ExecutorKind::Docker,
        capacity: Capacity { slots: 8, gpus, cpu_milli: 64_000, memory: 512_000_000_000 },
        volumes: Vec::new(),
        name,
    }
}

fn spec(gpus: u32, number: u64) -> JobSpec {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&number.to_le_bytes());
    JobSpec {
        project: "benchmark".parse().unwrap(),
        user: "ada".into(),
        name: Some("a name".into()),
        tags: BTreeMap::from([("model".into(), "resnet".into())]),
        note: String::new(),
        bundle: Bundle { id: BundleId::from_sha256(digest), tar_size: 10_240, files: 4 },
        command: vec!["main.py".into(), "--epochs".into(), "10".into()],
        entrypoint: None,
        demand: Demand { gpus, cpu_milli: 0, memory: 0 },
        shm: None,
        time_limit: None,
        worker: Worker::default(),
        params: Some("{\"learning_rate\": 0.001, \"layers\": [128, 256]}".into()),
        outputs: Default::default(),
        wait_for_capacity: false,
        fresh_requirements: false,
        git: None,
        rerun: None,
        outside: None,
        traceparent: None,
    }
}

fn exit() -> Exit {
    Exit {
        kind: ExitKind::Code(0),
        stopped: false,
        at: Timestamp(2),
        started: Some(Timestamp(1)),
        log_length: 100,
        spool_length: 0,
        detail: String::new(),
    }
}
