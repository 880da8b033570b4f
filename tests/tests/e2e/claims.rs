//! A node that speaks of jobs which are not its own.

use std::fs;

use atlas_proto::wire::{self, Held, exited, held::Report, master_message, node_message::Message};
use atlas_tests::harness::{Cluster, Settings};

use crate::rpc::Rpc;
use crate::session::{Session, some_node};

fn ended(job: &str, attempt: u64) -> Held {
    let kind = Some(exited::Kind::Code(3));
    let exited = wire::Exited { kind, at_ms: 1, ..wire::Exited::default() };
    Held { job: job.into(), attempt, report: Some(Report::Exited(exited)) }
}

/// It is told to forget this many attempts.
async fn is_told_to_forget(session: &mut Session, attempts: usize) {
    let mut told = 0;
    while told < attempts {
        told += usize::from(matches!(session.hear().await, master_message::Message::Release(_)));
    }
}

#[test]
fn a_node_that_claims_jobs_of_another_changes_nothing() {
    let cluster = Cluster::start(Settings::default());
    let go = cluster.path("go");
    let script = format!("until [ -e {} ]; do sleep 0.05; done", go.display());
    let dir = cluster.project("mine", &[]);
    let running = cluster.submit(&dir, &["sh", "-c", &script]);
    cluster.wait_status(&running, "running");
    // More than the other node has.
    let args =
        ["submit", "--quiet", "--detach", "--ram", "2", "scheduler", dir.to_str().unwrap(), "true"];
    let waiting = cluster.atlas(&args).exits(0).stdout.trim().to_owned();

    let rpc = Rpc::new(&cluster);
    rpc.wait(async {
        let claims = vec![ended(&running, 1), ended(&waiting, 1)];
        let mut session = Session::open(&rpc, &cluster, some_node("node-b"), claims).await;
        assert!(session.list.is_empty(), "{:?}", session.list);
        let claims =
            [ended(&running, 1), ended(&running, 2), ended(&waiting, 0), ended(&waiting, 1)];
        let many = claims.len();
        for claim in claims {
            session.say(Message::Report(claim)).await;
        }
        is_told_to_forget(&mut session, many).await;
    });
    assert_eq!(cluster.job(&running)["status"], "running");
    assert_eq!(cluster.job(&waiting)["status"], "queued");
    fs::write(go, "").unwrap();
    for id in [&running, &waiting] {
        cluster.atlas(&["wait", id]).exits(0);
        let job = cluster.job(id);
        assert_eq!((&job["node"], &job["attempt"]), (&"node-a".into(), &1.into()), "{job:#}");
    }
}
