//! A hundred loud jobs, each followed through the master.

use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use atlas_proto::wire::jobs_client::JobsClient;
use atlas_proto::wire::{LogChunk, ReadLogRequest};
use atlas_tests::harness::Cluster;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::{client, cluster, figure, peers, percentile};

const JOBS: u32 = 100;
const SECONDS: u32 = 20;
/// Streams that share a connection.
const SHARE: usize = 10;
/// `T`, nanoseconds since 1970 in 19 digits, and the end of the line.
const STAMP: usize = 21;

/// Ten times a second 100 kB, the time in front.
fn script(go: &str) -> String {
    format!(
        "import os, time\n\
         rest = (b'x' * 99 + b'\\n') * 1000\n\
         while not os.path.exists({go:?}): time.sleep(0.05)\n\
         begin = time.time()\n\
         for n in range({SECONDS} * 10):\n\
         \x20   time.sleep(max(0, begin + n / 10 - time.time()))\n\
         \x20   data = b'T%019d\\n' % time.time_ns() + rest[{STAMP}:]\n\
         \x20   while data: data = data[os.write(1, data):]\n"
    )
}

pub fn measure() {
    let cluster = cluster("process", JOBS);
    let client = client(&cluster, "follow");
    let go = cluster.path("go");
    let script = script(go.to_str().unwrap());
    let jobs: Vec<String> =
        (0..JOBS).map(|_| client.submit_one(&["python3", "-c", &script])).collect();
    jobs.iter().for_each(|it| drop(cluster.wait_status(it, "running")));
    let [master, agent] = cluster.pids();
    let before = [master, agent].map(|it| (peers::cpu(it), peers::resident_mb(it)));
    let began = Instant::now();
    let runtime = Runtime::new().unwrap();
    let (bytes, mut delays) = runtime.block_on(async {
        let mut readers = JoinSet::new();
        for some in jobs.chunks(SHARE) {
            let channel = channel(&cluster).await;
            for job in some {
                readers.spawn(follow(JobsClient::new(channel.clone()), job.clone()));
            }
        }
        fs::write(go, "").unwrap();
        let mut all = (0, Vec::new());
        while let Some(read) = readers.join_next().await {
            let (bytes, delays) = read.unwrap();
            all = (all.0 + bytes, [all.1, delays].concat());
        }
        all
    });
    let took = began.elapsed();
    delays.sort_by(f64::total_cmp);
    figure(
        "100 logs followed, bytes through the master",
        bytes as f64 / 1e6 / took.as_secs_f64(),
        "MB/s",
    );
    figure("100 logs followed, delay median", percentile(&delays, 50), "ms");
    figure("100 logs followed, delay p99", percentile(&delays, 99), "ms");
    for (name, pid, (cpu, memory)) in [("master", master, before[0]), ("agent", agent, before[1])] {
        let busy = (peers::cpu(pid) - cpu) / 10.0 / took.as_secs_f64();
        figure(&format!("100 logs followed, CPU of {name}"), busy, "% of a core");
        figure(&format!("100 logs followed, memory of {name}"), peers::peak_mb(pid), "MB");
        figure(&format!("100 logs followed, memory of {name} before"), memory, "MB");
    }
}

async fn channel(cluster: &Cluster) -> Channel {
    Channel::from_shared(cluster.grpc()).unwrap().tcp_nodelay(true).connect().await.unwrap()
}

/// Bytes of a job's log, and for each stamp in it milliseconds from the job's write to here.
async fn follow(mut jobs: JobsClient<Channel>, job: String) -> (u64, Vec<f64>) {
    let request = ReadLogRequest { job, follow: true, ..ReadLogRequest::default() };
    let mut chunks = jobs.read_log(request).await.unwrap().into_inner();
    let (mut bytes, mut delays, mut cut) = (0, Vec::new(), Vec::new());
    while let Some(LogChunk { data, .. }) = chunks.message().await.unwrap() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        bytes += data.len() as u64;
        let text = [&cut[..], &data[..]].concat();
        let mut from = 0;
        while let Some(at) = text[from..].iter().position(|it| *it == b'T').map(|it| from + it) {
            let Some(digits) = text.get(at + 1..at + STAMP - 1) else { break };
            let stamp = std::str::from_utf8(digits).unwrap().parse().unwrap();
            delays.push((now.as_secs_f64() - Duration::from_nanos(stamp).as_secs_f64()) * 1000.0);
            from = at + STAMP;
        }
        let tail =
            text[from..].iter().position(|it| *it == b'T').map_or(text.len(), |it| from + it);
        cut = text[tail..].to_vec();
    }
    (bytes, delays)
}
