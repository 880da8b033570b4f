//! What a node holds and what it should hold are lists without a bound: they travel in pieces, and count only when they are whole.

use std::collections::BTreeMap;
use std::fs;

use atlas_proto::wire::{
    self, Held, assignment::Duty, exited, held, master_message, node_message::Message,
};
use atlas_tests::harness::{Cluster, Settings, eventually};
use tokio::task::JoinSet;

use crate::rpc::{Rpc, signed, submission};
use crate::session::{Session, some_node};

const JOBS: usize = 20_000;
/// Of one job's parameters: all of them are more than any message may hold.
const PARAMS: usize = 4_000;
const ONE_MESSAGE: usize = atlas_proto::MAX_MESSAGE;

/// The cluster's own node, with room for all of them.
fn who(cluster: &Cluster) -> wire::Join {
    let identity = fs::read_to_string(cluster.path("node/identity")).unwrap().trim().to_owned();
    let address = cluster.json(&["node", "list"])[0]["address"].as_str().unwrap().to_owned();
    let slots = u32::try_from(JOBS).unwrap();
    wire::Join { identity, address, slots, ..some_node("node-a") }
}

/// Takes on so many jobs; says now and then that it is there.
async fn take_on(session: &mut Session, jobs: usize) {
    for number in 0..jobs {
        if number % 500 == 0 {
            let beat = wire::Heartbeat { number: number as u64 };
            session.say(Message::Heartbeat(beat)).await;
        }
        while !matches!(session.hear().await, master_message::Message::Assign(_)) {}
    }
}

async fn submit_all(rpc: &Rpc, bundle: &wire::Bundle) {
    const AT_ONCE: usize = 50;
    let mut workers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (mut jobs, bundle) = (rpc.jobs(), bundle.clone());
        workers.spawn(async move {
            for _ in 0..JOBS / AT_ONCE {
                let id = uuid::Uuid::new_v4().to_string();
                let mut request = submission(&id, &bundle, &["true"]);
                let params = format!("{{\"text\": \"{}\"}}", "x".repeat(PARAMS));
                request.overrides.as_mut().unwrap().params_json = Some(params);
                jobs.submit(signed(request)).await.unwrap();
            }
        });
    }
    workers.join_all().await;
}

fn has_ended(assignment: &wire::Assignment) -> Held {
    let exited = wire::Exited {
        kind: Some(exited::Kind::Code(0)),
        at_ms: 1,
        detail: "y".repeat(PARAMS),
        ..wire::Exited::default()
    };
    Held {
        job: assignment.job.clone(),
        attempt: assignment.attempt,
        report: Some(held::Report::Exited(exited)),
    }
}

fn duties(list: &[wire::Assignment]) -> BTreeMap<&'static str, usize> {
    let mut counted = BTreeMap::new();
    for it in list {
        let duty = match it.duty.as_ref().unwrap() {
            Duty::Run(_) => "run",
            Duty::Stop(_) => "stop",
            Duty::Archive(_) => "archive",
        };
        *counted.entry(duty).or_default() += 1;
    }
    counted
}

#[test]
fn a_node_that_holds_twenty_thousand_large_jobs_joins_and_is_relieved_of_them() {
    let mut cluster = Cluster::start(Settings { log: "info", ..Settings::default() });
    let rpc = Rpc::new(&cluster);
    let bundle = rpc.bundle(&cluster, &cluster.project("many-held", &[("main.py", "")]));
    cluster.kill_node();
    // The node's place is taken by one that has room for them all and runs nothing.
    let mut session = rpc.wait(Session::open(&rpc, &cluster, who(&cluster), Vec::new()));
    rpc.wait(async { tokio::join!(submit_all(&rpc, &bundle), take_on(&mut session, JOBS)) });

    // It comes back and knows of nothing: it hears of all of them again, each with all that is to be run.
    let session = rpc.wait(Session::open(&rpc, &cluster, who(&cluster), Vec::new()));
    assert_eq!(duties(&session.list), [("run", JOBS)].into());
    let bytes: usize = session.list.iter().map(|it| format!("{it:?}").len()).sum();
    assert!(bytes > ONE_MESSAGE, "the list would have fit into one message");

    // It comes back and they have ended, each with many words.
    let held: Vec<Held> = session.list.iter().map(has_ended).collect();
    let session = rpc.wait(Session::open(&rpc, &cluster, who(&cluster), held));
    assert_eq!(duties(&session.list), [("archive", JOBS)].into());

    // The real agent comes back. It has nothing of them, says so of each, and is relieved.
    let some = session.list[JOBS / 2].job.clone();
    drop(session);
    cluster.start_node();
    eventually("the node holds none of them any more", || {
        let nodes = rpc.wait(rpc.jobs().list_nodes(wire::ListNodesRequest {})).unwrap();
        nodes.into_inner().nodes[0].jobs.is_empty().then_some(())
    });
    let job = eventually("that is written down", || {
        Some(cluster.job(&some)).filter(|it| it["phase"] == "done")
    });
    assert_eq!(job["status"], "completed");
}
