//! A reply that is lost: whoever sends again gets the job that is there, never a second one.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use atlas_proto::wire;
use atlas_tests::harness::{Cluster, Settings, eventually};
use tonic::Code;

use crate::rpc::{Rpc, new_id, signed, submission};

/// How often this job is in the listing.
fn count(cluster: &Cluster, id: &str) -> usize {
    cluster.json(&["jobs"]).as_array().unwrap().iter().filter(|it| it["id"] == id).count()
}

#[test]
fn the_same_submission_again_is_the_same_job_also_after_it_ended_and_the_master_restarted() {
    let mut cluster = Cluster::start(Settings::default());
    let rpc = Rpc::new(&cluster);
    let bundle = rpc.bundle(&cluster, &cluster.project("lost", &[("main.py", "")]));
    let request = submission(&new_id(), &bundle, &["true"]);
    let id = request.id.clone();
    let first = rpc.submit(request.clone()).unwrap();
    assert!(first.created);
    let again = rpc.submit(request.clone()).unwrap();
    assert_eq!((again.created, again.job.unwrap().id), (false, id.clone()));

    cluster.atlas(&["wait", &id]).exits(0);
    cluster.kill_master();
    cluster.start_master();
    let late = Rpc::new(&cluster).submit(request).unwrap();
    let job = late.job.unwrap();
    assert_eq!((late.created, job.status.as_str(), job.attempt), (false, "completed", 1));
    assert_eq!(count(&cluster, &id), 1);
}

#[test]
fn another_job_under_the_same_id_is_refused_and_changes_nothing() {
    let cluster = Cluster::start(Settings::default());
    let rpc = Rpc::new(&cluster);
    let bundle = rpc.bundle(&cluster, &cluster.project("other", &[("main.py", "")]));
    let id = new_id();
    rpc.submit(submission(&id, &bundle, &["true"])).unwrap();
    for (what, other) in [
        ("command", submission(&id, &bundle, &["false"])),
        (
            "project",
            wire::SubmitRequest { dir_name: "x".into(), ..submission(&id, &bundle, &["true"]) },
        ),
    ] {
        let refused = rpc.submit(other).unwrap_err();
        assert_eq!(refused.code(), Code::AlreadyExists, "{what}: {refused:?}");
        assert!(refused.message().contains(&id), "{what}: {refused:?}");
        assert!(refused.message().contains("another content"), "{what}: {refused:?}");
    }
    cluster.atlas(&["wait", &id]).exits(0);
    assert_eq!(cluster.job(&id)["command"], serde_json::json!(["true"]));
    assert_eq!(count(&cluster, &id), 1);
}

#[test]
fn twenty_copies_at_once_are_one_job() {
    let cluster = Cluster::start(Settings::default());
    let rpc = Rpc::new(&cluster);
    let bundle = rpc.bundle(&cluster, &cluster.project("many", &[("main.py", "")]));
    let request = submission(&new_id(), &bundle, &["sh", "-c", "echo once"]);
    let replies = rpc.wait(async {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (mut jobs, request) = (rpc.jobs(), request.clone());
            calls.spawn(async move { jobs.submit(signed(request)).await.unwrap().into_inner() });
        }
        calls.join_all().await
    });
    assert_eq!(replies.iter().filter(|it| it.created).count(), 1);
    assert!(replies.iter().all(|it| it.job.as_ref().unwrap().id == request.id));
    cluster.atlas(&["wait", &request.id]).exits(0);
    assert_eq!(count(&cluster, &request.id), 1);
    let log = cluster.atlas(&["get", "logs", "scheduler", &request.id]).exits(0).stdout;
    assert_eq!(log.matches("once").count(), 1, "{log}");
}

#[test]
fn of_twenty_different_jobs_under_one_id_one_is_taken_and_the_others_refused() {
    let cluster = Cluster::start(Settings::default());
    let rpc = Rpc::new(&cluster);
    let bundle = rpc.bundle(&cluster, &cluster.project("race", &[("main.py", "")]));
    let id = new_id();
    let results = rpc.wait(async {
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..20 {
            let mut jobs = rpc.jobs();
            let request = submission(&id, &bundle, &["echo", &number.to_string()]);
            calls.spawn(async move { jobs.submit(signed(request)).await });
        }
        calls.join_all().await
    });
    let refused: Vec<_> = results.iter().filter_map(|it| it.as_ref().err()).collect();
    assert_eq!(refused.len(), 19);
    assert!(refused.iter().all(|it| it.code() == Code::AlreadyExists), "{refused:?}");
    cluster.atlas(&["wait", &id]).exits(0);
    assert_eq!(count(&cluster, &id), 1);
}

#[test]
fn atlas_sends_again_when_the_reply_to_its_submission_is_lost() {
    let cluster = Cluster::start(Settings::default());
    // The bundle is known from this one, so that the submission is the second request of the next command.
    let dir = cluster.project("again", &[("main.py", "print('once')")]);
    let before = cluster.submit(&dir, &["main.py"]);
    let lossy = Lossy::start(cluster.grpc().trim_start_matches("http://").parse().unwrap(), 2);
    fs::write(
        cluster.path("home/config/submission/lossy.config.yaml"),
        format!("scheduler_url: http://{}\n", lossy.address),
    )
    .unwrap();
    let dir = dir.to_str().unwrap().to_owned();
    let mut command = cluster.command(&["submit", "--detach", "lossy", &dir, "main.py"]);
    let submitting = thread::spawn(move || command.output().unwrap());
    eventually("the master has the job whose reply is on its way", || {
        let jobs = cluster.json(&["jobs"]);
        (lossy.loses() && jobs.as_array()?.len() == 2).then_some(())
    });
    lossy.cut();
    let output = submitting.join().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("The master does not answer; trying again."), "{said}");
    let jobs = cluster.json(&["jobs"]);
    assert_eq!(jobs.as_array().unwrap().len(), 2, "{jobs}");
    let id = jobs[0]["id"].as_str().unwrap();
    assert!(id != before && said.contains(id), "{said}");
    cluster.atlas(&["wait", id]).exits(0);
}

/// A way to the master on which, in the first connection, the answers to the n-th request and all after it are lost.
struct Lossy {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    deaf: usize,
    first: Arc<OnceLock<TcpStream>>,
}

impl Lossy {
    fn start(master: SocketAddr, deaf: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let lossy = Self { address, requests: Arc::default(), deaf, first: Arc::default() };
        let (requests, first) = (lossy.requests.clone(), lossy.first.clone());
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, master) = (client.unwrap(), TcpStream::connect(master).unwrap());
                let bad = first.set(client.try_clone().unwrap()).is_ok();
                let ends = (client.try_clone().unwrap(), master.try_clone().unwrap());
                let counted = requests.clone();
                thread::spawn(move || forward_requests(ends.0, ends.1, bad.then_some(&counted)));
                let counted = requests.clone();
                let lost = move || bad && counted.load(Ordering::SeqCst) >= deaf;
                thread::spawn(move || forward_answers(master, client, lost));
            }
        });
        lossy
    }

    fn loses(&self) -> bool {
        self.requests.load(Ordering::SeqCst) >= self.deaf
    }

    fn cut(&self) {
        self.first.get().unwrap().shutdown(Shutdown::Both).unwrap();
    }
}

/// Frame by frame, since a request begins with one of a certain kind.
fn forward_requests(
    mut from: TcpStream,
    mut to: TcpStream,
    counted: Option<&AtomicUsize>,
) -> io::Result<()> {
    const HEADERS: u8 = 1;
    let mut preface = [0; 24];
    from.read_exact(&mut preface)?;
    to.write_all(&preface)?;
    loop {
        let mut frame = vec![0; 9];
        from.read_exact(&mut frame)?;
        let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]);
        if let (HEADERS, Some(requests)) = (frame[3], counted) {
            requests.fetch_add(1, Ordering::SeqCst);
        }
        frame.resize(9 + length as usize, 0);
        from.read_exact(&mut frame[9..])?;
        to.write_all(&frame)?;
    }
}

fn forward_answers(
    mut from: TcpStream,
    mut to: TcpStream,
    lost: impl Fn() -> bool,
) -> io::Result<()> {
    let mut buffer = [0; 16 << 10];
    loop {
        match from.read(&mut buffer)? {
            0 => return to.shutdown(Shutdown::Both),
            _ if lost() => {}
            length => to.write_all(&buffer[..length])?,
        }
    }
}
