//! Two hundred machines that have nothing to do, on one master.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use atlas_tests::harness::{Cluster, binary, eventually, job_user};

use super::{cluster, figure, pause, peers, submit};

const AGENTS: u64 = 200;
const REST: Duration = Duration::from_secs(30);

/// An agent beside the cluster's own, which ends with this value.
struct Agent(Child);

impl Agent {
    fn start(cluster: &Cluster, number: u64) -> Self {
        let log = File::create(cluster.path(&format!("agent-{number}.log"))).unwrap();
        let mut command = Command::new(binary("atlas-node"));
        command
            .args(["--master", &cluster.grpc(), "--name", &format!("idle-{number}")])
            .args(["--listen", "127.0.0.1:0", "--executor", "process"])
            .args(job_user())
            .arg("--data")
            .arg(cluster.path(&format!("agent-{number}")))
            .arg("--shared")
            .arg(cluster.path("shared"))
            .arg("--token-file")
            .arg(cluster.path("master/join-token"))
            .env("ATLAS_LOG", "warn")
            .stdin(Stdio::null())
            .stderr(log);
        Self(command.spawn().unwrap())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

pub fn measure() {
    let cluster = cluster("process", 1);
    let [master, _] = cluster.pids();
    figure("memory of the master with 1 agent", peers::resident_mb(master), "MB");
    let began = Instant::now();
    let agents: Vec<Agent> = (1..AGENTS).map(|it| Agent::start(&cluster, it)).collect();
    eventually("all have joined", || {
        (submit::metric(cluster.http(), "atlas_nodes_connected") == AGENTS).then_some(())
    });
    figure(
        "200 agents, from their start until all have joined",
        began.elapsed().as_secs_f64(),
        "s",
    );
    let pids: Vec<u32> = agents.iter().map(|it| it.0.id()).collect();
    let busy = |pids: &[u32]| pids.iter().map(|it| peers::cpu(*it)).sum::<f64>();
    // What a join leaves to do is done.
    pause(Duration::from_secs(10));
    let before = (peers::cpu(master), busy(&pids));
    pause(REST);
    let share = |ms: f64| ms / 10.0 / REST.as_secs_f64();
    figure(
        "200 idle agents, CPU of the master",
        share(peers::cpu(master) - before.0),
        "% of a core",
    );
    figure("200 idle agents, CPU of all agents", share(busy(&pids) - before.1), "% of a core");
    figure("200 idle agents, memory of the master", peers::resident_mb(master), "MB");
    let memory: f64 = pids.iter().map(|it| peers::resident_mb(*it)).sum();
    figure("200 idle agents, memory of each", memory / pids.len() as f64, "MB");
}
