//! How fast runs are found: `cargo run --release -p atlas-master --example index_speed [RUNS]`. A project of so many runs with 20
//! parameters and 20 metrics each, and the time and memory of the index alone.

use std::fs;
use std::time::{Duration, Instant};

use atlas_core::job::{Archive, End, JobState};
use atlas_core::run::Run;
use atlas_core::spec::Sealed;
use atlas_core::{Attempt, Cause, JobId, JobSpec, JobStatus, Outcome, Position, Timestamp};
use atlas_master::runs::index::{Cursor, Index};
use atlas_master::runs::query::Query;

const PARAMS: usize = 20;
const METRICS: usize = 20;
const ROUNDS: usize = 200;
const PAGE: usize = 100;
const NOW: Timestamp = Timestamp(1_795_168_800_000);

const ASKED: [(&str, &str); 9] = [
    ("list", ""),
    ("list of a project", "project=bench"),
    ("filter by status", "project=bench and status=failed"),
    ("filter by parameters", "params.p0<=0.01 and params.p1=adam and user~AD"),
    (
        "filter and sort",
        "status=failed and params.p0<=0.5 and metrics.m0.min<0.5 sort -metrics.m1.max",
    ),
    ("sort by a metric", "project=bench sort -metrics.m0"),
    ("sort by a text, then a metric", "project=bench sort params.p1, -metrics.m0.max"),
    ("sort by duration", "project=bench sort -duration"),
    (
        "ten conditions",
        "params.p2<0.9 and params.p3<0.9 and params.p4<0.9 and params.p5<0.9 and metrics.m2<0.9 and metrics.m3<0.9 and metrics.m4<0.9 and metrics.m5<0.9 and metrics.m6<0.9 and not metrics.m7>0.9",
    ),
];

fn main() {
    let runs = std::env::args().nth(1).and_then(|it| it.parse().ok()).unwrap_or(100_000);
    let mut random = Random(7);
    let (mut index, before, mut built) = (Index::default(), resident(), Duration::ZERO);
    for n in 0..runs {
        let (id, spec, status, run) = job(n, &mut random);
        let began = Instant::now();
        index.put(id, &spec, &status);
        index.tell(id, &run);
        built += began.elapsed();
    }
    println!("{runs} runs, {PARAMS} parameters and {METRICS} metrics each");
    println!("put into the index: {:.2} s", built.as_secs_f64());
    println!("memory: {:.0} MB", (resident() - before) / 1e6);
    println!("{:<32} {:>10} {:>9} {:>9}", "pages of 100", "found", "p50 ms", "p95 ms");
    for (what, text) in ASKED {
        measure(&index, what, text);
    }
}

/// Page after page, and from the beginning again.
fn measure(index: &Index, what: &str, text: &str) {
    let query = Query::parse(text).expect("it is one");
    let (mut samples, mut cursor, mut total) = (Vec::new(), None::<Cursor>, 0);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let found = index.find(&query, cursor.as_ref(), PAGE, NOW);
        samples.push(began.elapsed().as_secs_f64() * 1e3);
        (cursor, total) = (found.next, found.total);
    }
    samples.sort_by(f64::total_cmp);
    let at = |percent: usize| samples[samples.len() * percent / 100];
    println!("{what:<32} {total:>10} {:>9.2} {:>9.2}", at(50), at(95));
}

fn job(n: u64, random: &mut Random) -> (JobId, JobSpec, JobStatus, Run) {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&random.next().to_be_bytes());
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    let user = if n.is_multiple_of(3) { "ada" } else { "bob" };
    let spec: JobSpec = serde_json::from_value(serde_json::json!({
        "project": "bench", "user": user, "name": format!("try {n}"), "command": ["main.py"],
        "bundle": { "id": "ab".repeat(32), "tar_size": 10240, "files": 3 },
    }))
    .expect("it is one");
    let outcome = match n % 4 {
        0 => Outcome::failed(Cause::ExitCode(1), ""),
        _ => Outcome::Completed,
    };
    let started = Timestamp(NOW.0 - 1000 * (n + 1000));
    let at = Timestamp(started.0 + random.next() % 1_000_000);
    let end = End { outcome, at, started: Some(started), log_length: 0, spool_length: 0 };
    let node = format!("gpu-{}", n % 50).parse().ok();
    let status = JobStatus {
        submitted: started,
        position: Position(n),
        attempt: Attempt(1),
        lost: 0,
        image: None,
        sealed: Sealed::default(),
        past: Vec::new(),
        imported: None,
        state: JobState::done(end, node, Archive::Complete),
    };
    (JobId::from_random(bytes), spec, status, run(random))
}

fn run(random: &mut Random) -> Run {
    let mut run = Run::default();
    let mut take = |line: String| {
        let entry = serde_json::from_str(&line).expect("an event");
        run.take(Attempt(1), NOW, entry);
    };
    for p in 0..PARAMS {
        let value = match p {
            1 => ["\"adam\"", "\"sgd\"", "\"lion\""][random.next() as usize % 3].to_owned(),
            _ => random.fraction().to_string(),
        };
        take(format!(r#"{{"e":"param","key":"p{p}","value":{value}}}"#));
    }
    for m in 0..METRICS {
        for _ in 0..2 {
            let value = random.fraction();
            take(format!(r#"{{"e":"metric","key":"m{m}","value":{value}}}"#));
        }
    }
    run
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn fraction(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).expect("32 bits")) / f64::from(u32::MAX)
    }
}

/// Bytes of this process in memory.
fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status.split_whitespace().nth(1).and_then(|it| it.parse::<f64>().ok());
    pages.unwrap_or_default() * 4096.0
}
