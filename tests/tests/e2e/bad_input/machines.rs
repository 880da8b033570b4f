//! Machines that do not belong, and what jobs ask of those that do.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};
use std::thread;

use atlas_proto::JOIN_TOKEN_HEADER;
use atlas_proto::wire::{self, node_message::Message};
use atlas_tests::harness::{Cluster, Run, Settings, binary, job_user};
use tonic::{Code, Request, Status};

use crate::rpc::Rpc;
use crate::session::some_node;

/// A join that would be welcome.
fn join() -> wire::Join {
    wire::Join { boot_id: "its-boot".into(), ..some_node("stranger") }
}

/// Opens a session with this token and first message, of a node that holds nothing.
fn open(rpc: &Rpc, token: &str, first: Message) -> Result<wire::MasterMessage, Status> {
    let nothing = Message::HeldList(wire::HeldList { held: Vec::new(), last: true });
    let first = [first, nothing].map(|it| wire::NodeMessage { message: Some(it) });
    let words = tokio_stream::StreamExt::chain(tokio_stream::iter(first), tokio_stream::pending());
    let mut request = Request::new(words);
    request.metadata_mut().insert(JOIN_TOKEN_HEADER, token.parse().unwrap());
    rpc.wait(async {
        let mut down = rpc.nodes().session(request).await?.into_inner();
        Ok(down.message().await?.unwrap())
    })
}

#[test]
fn an_agent_that_does_not_belong_is_told_why_and_is_no_node() {
    let cluster = Cluster::start(Settings::default());
    let rpc = Rpc::new(&cluster);
    let token = fs::read_to_string(cluster.path("master/join-token")).unwrap();
    let token = token.trim();
    let is = |change: fn(&mut wire::Join)| {
        let mut join = join();
        change(&mut join);
        Message::Join(join)
    };
    for (token, first, code, words) in [
        ("", is(|_| ()), Code::Unauthenticated, ["no join token", "join-token"]),
        ("wrong", is(|_| ()), Code::Unauthenticated, ["not this cluster's", "join-token"]),
        (&token[1..], is(|_| ()), Code::Unauthenticated, ["not this cluster's", "join-token"]),
        (
            token,
            is(|it| it.version = "9.9.9".into()),
            Code::FailedPrecondition,
            ["9.9.9", "same version"],
        ),
        (
            token,
            is(|it| it.version = String::new()),
            Code::FailedPrecondition,
            ["version", "same version"],
        ),
        (
            token,
            is(|it| it.cluster_id = "another".into()),
            Code::PermissionDenied,
            ["another", "--data"],
        ),
        (token, is(|it| it.name = "node-a".into()), Code::FailedPrecondition, ["node-a", "--name"]),
        (token, is(|it| it.name = "../a".into()), Code::InvalidArgument, ["name", "../a"]),
        (token, is(|it| it.executor = "vm".into()), Code::InvalidArgument, ["executor", "vm"]),
        (
            token,
            Message::Heartbeat(wire::Heartbeat { number: 1 }),
            Code::InvalidArgument,
            ["first message", "join"],
        ),
    ] {
        let refused = open(&rpc, token, first).unwrap_err();
        assert_eq!(refused.code(), code, "{words:?}: {refused:?}");
        assert!(words.iter().all(|it| refused.message().contains(it)), "{words:?}: {refused:?}");
        let nodes = cluster.json(&["node", "list"]);
        assert_eq!(nodes.as_array().unwrap().len(), 1, "{words:?}: {nodes}");
        assert_eq!(nodes[0]["state"], "ready");
    }
    // The same join as it should be is welcome: the refusals above have the reasons that they name.
    let welcome = open(&rpc, token, is(|_| ())).unwrap();
    assert!(matches!(welcome.message, Some(wire::master_message::Message::Welcome(_))));
}

/// A real agent, and what it says until it has said these words.
fn agent_says(cluster: &Cluster, token: &std::path::Path, data: &std::path::Path, words: &str) {
    let mut command = Command::new(binary("atlas-node"));
    command.args(["--master", &cluster.grpc(), "--name", "guest", "--listen", "127.0.0.1:0"]);
    command.args(["--executor", "process", "--log-format", "text"]).args(job_user());
    command.arg("--token-file").arg(token).arg("--data").arg(data);
    let agent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut agent = Killed(agent.spawn().unwrap());
    let lines = BufReader::new(agent.0.stderr.take().unwrap()).lines();
    let mut said = String::new();
    for line in lines.map_while(Result::ok) {
        said += &line;
        if said.contains(words) {
            return;
        }
    }
    panic!("the agent ended without saying {words:?}: {said}");
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_agent_of_another_cluster_is_refused_and_its_jobs_go_on_untouched() {
    let mut home = Cluster::start(Settings::default());
    let foreign = Cluster::start(Settings::default());
    let go = home.path("go");
    let wait = format!("until [ -e {} ]; do sleep 0.05; done", go.display());
    let id = home.submit(&home.project("stays", &[("main.py", "")]), &["sh", "-c", &wait]);
    home.wait_status(&id, "running");
    home.kill_node();
    let (token, data) = (foreign.path("master/join-token"), home.path("node"));
    agent_says(&foreign, &token, &data, "this node belongs to cluster");
    assert_eq!(foreign.json(&["node", "list"]).as_array().unwrap().len(), 1);
    home.start_node();
    fs::write(go, "").unwrap();
    home.atlas(&["wait", &id]).exits(0);
    assert_eq!(home.job(&id)["attempt"], 1);
}

#[test]
fn an_agent_with_a_wrong_token_says_so() {
    let cluster = Cluster::start(Settings::default());
    let token = cluster.path("wrong-token");
    fs::write(&token, "wrong\n").unwrap();
    agent_says(&cluster, &token, &cluster.path("guest"), "the join token is not this cluster's");
    assert_eq!(cluster.json(&["node", "list"]).as_array().unwrap().len(), 1);
}

#[test]
fn a_taken_port_or_folder_names_who_holds_it() {
    let cluster = Cluster::start(Settings::default());
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let me = format!("(pid {})", std::process::id());
    for (http, grpc) in [(taken.as_str(), "127.0.0.1:0"), ("127.0.0.1:0", &taken)] {
        let data = cluster.path("second");
        let args = ["--http", http, "--grpc", grpc, "--data", data.to_str().unwrap()];
        let output = Command::new(binary("atlas-master")).args(args).output().unwrap();
        Run::of(&args, &output).exits(126).says(&taken).says(&me);
        assert!(!data.join("endpoints.json").exists());

        let args = [&["up", "--executor", "process", "--node", "0"], &args[..]].concat();
        cluster.atlas(&args).exits(126).says(&format!("{taken} is taken by")).says(&me);
        assert!(!data.join("endpoints.json").exists());
    }
    let data = cluster.path("master");
    let args = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let output = Command::new(binary("atlas-master")).args(args).output().unwrap();
    let [master, _] = cluster.pids();
    Run::of(&args, &output).exits(126).says("is in use by").says(&master.to_string());
    assert!(data.join("endpoints.json").exists(), "what the first one wrote is gone");
}

#[test]
fn a_volume_that_may_not_be_ends_its_process_and_makes_no_folder() {
    refuses_volumes("process");
}

#[test]
fn a_volume_that_may_not_be_ends_its_container_and_makes_no_folder() {
    refuses_volumes("docker");
}

fn refuses_volumes(executor: &'static str) {
    let place = tempfile::tempdir().unwrap();
    let (allowed, missing) = (place.path().join("allowed"), place.path().join("allowed/missing"));
    fs::create_dir(&allowed).unwrap();
    symlink("/etc", allowed.join("out")).unwrap();
    let volumes = allowed.to_str().unwrap().to_owned();
    let cluster = Cluster::start(Settings { executor, volumes, ..Settings::default() });
    let read = "import os, sys; print(sorted(os.listdir(sys.argv[1])))";
    let dir = cluster.project("volumes", &[("main.py", read)]);
    let out = allowed.join("out");
    let mut refused = vec![
        (
            format!("{0}:{0}", missing.display()),
            "there is no such path on this node; it is not created",
        ),
        (format!("{0}:{0}", out.display()), "is not allowed on this node"),
    ];
    if executor == "process" {
        let moved = format!("{}:/data", allowed.display());
        refused.push((moved, "without a container a path is where it is"));
    }
    for (volume, words) in refused {
        let args = [
            "submit",
            "--quiet",
            "--volume",
            &volume,
            "scheduler",
            dir.to_str().unwrap(),
            "main.py",
        ];
        let run = cluster.atlas(&args).exits(125);
        let job = cluster.job(run.stdout.trim());
        assert_eq!(job["cause"], "rejected", "{job:#}");
        assert!(job["detail"].as_str().unwrap().contains(words), "{words}: {job:#}");
        assert!(!missing.exists());
    }
    // Nobody has to try what no node allows.
    let elsewhere = format!("{0}:{0}", place.path().display());
    let args = ["submit", "--volume", &elsewhere, "scheduler", dir.to_str().unwrap(), "main.py"];
    let words = format!("no node that is large enough allows volume {}", place.path().display());
    cluster.atlas(&args).exits(126).says(&words);
    let fine = format!("{0}:{0}", allowed.display());
    let path = allowed.to_str().unwrap();
    let args = ["submit", "--volume", &fine, "scheduler", dir.to_str().unwrap(), "main.py", path];
    assert!(cluster.atlas(&args).exits(0).stdout.ends_with("['out']\n"));
    assert_eq!(cluster.json(&["node", "list"])[0]["state"], "ready");
}

#[test]
fn the_files_of_atlas_itself_are_no_volume() {
    let cluster = Cluster::start(Settings { executor: "docker", ..Settings::default() });
    let dir = cluster.project("ours", &[("main.py", "")]);
    for folder in ["shared", "node", "shared/bundles", ""] {
        let volume = format!("{}:/data", cluster.path(folder).display());
        let args = [
            "submit",
            "--quiet",
            "--volume",
            &volume,
            "scheduler",
            dir.to_str().unwrap(),
            "main.py",
        ];
        let run = cluster.atlas(&args).exits(125);
        let job = cluster.job(run.stdout.trim());
        assert_eq!(job["cause"], "rejected", "{job:#}");
        assert!(job["detail"].as_str().unwrap().contains("Atlas's own files"), "{job:#}");
    }
}

/// A registry without any image.
fn empty_registry() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    });
    address
}

#[test]
fn an_image_that_does_not_exist_ends_its_job_and_the_queue_goes_on() {
    let cluster = Cluster::start(Settings { executor: "docker", ..Settings::default() });
    let never = cluster.project(
        "never",
        &[("main.py", ""), ("job.config.yaml", "worker: {image: no-such-image:1, pull: never}\n")],
    );
    let plain = cluster.project("plain", &[("main.py", "print('here')")]);
    let unknown = format!("{}/no-such-image:1", empty_registry());
    for (dir, option, words) in [
        (&never, None, ["no-such-image:1", "worker.pull is never"]),
        (&plain, Some(format!("--image={unknown}")), [&unknown[..], "does not exist"]),
        (
            &plain,
            Some("--image=127.0.0.1:1/nobody-answers:1".into()),
            ["nobody-answers:1", "could not"],
        ),
    ] {
        let mut args = vec!["submit", "--quiet"];
        args.extend(option.as_deref());
        args.extend(["scheduler", dir.to_str().unwrap(), "main.py"]);
        let run = cluster.atlas(&args).exits(125);
        let job = cluster.job(run.stdout.trim());
        assert_eq!(job["cause"], "image", "{job:#}");
        let detail = job["detail"].as_str().unwrap();
        assert!(words.iter().all(|it| detail.contains(it)), "{words:?}: {job:#}");
        cluster.atlas(&["submit", "scheduler", plain.to_str().unwrap(), "main.py"]).exits(0);
    }
    assert_eq!(cluster.json(&["node", "list"])[0]["state"], "ready");
}
