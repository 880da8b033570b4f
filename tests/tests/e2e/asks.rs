//! What a job can ask the master, by ATLAS_URL and with ATLAS_TOKEN.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use atlas_proto::wire::JobRef;
use atlas_tests::harness::{Cluster, Run, Settings, binary, eventually};
use tonic::{Code, Request};

use crate::rpc::Rpc;

/// Asks for its own job, with the token, a broken one and none; then again when it is told to, and says what it heard.
const ASKS: &str = r#"
import json, os, time, urllib.error, urllib.request
url, job, token = (os.environ[it] for it in ("ATLAS_URL", "ATLAS_JOB_ID", "ATLAS_TOKEN"))
def ask(token):
    headers = {"authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"{url}/api/v1/jobs/{job}", headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
print("own:", ask(token)[1]["command"], flush=True)
print("broken:", *[ask(token[:-1] + it)[0] for it in "gz"], flush=True)
print("none:", ask(None), flush=True)
open("token", "w").write(token)
while not os.path.exists("again"):
    time.sleep(0.05)
def after():
    try:
        return ask(token)[0]
    except OSError as error:
        return error
while after() != 200:
    time.sleep(0.05)
print("again: 200", flush=True)
"#;

fn log(cluster: &Cluster, id: &str) -> String {
    cluster.atlas(&["get", "logs", "scheduler", id]).exits(0).stdout
}

/// The status and the body of what the master answers.
fn get(cluster: &Cluster, path: &str, token: &str) -> String {
    let mut stream = TcpStream::connect(cluster.http()).unwrap();
    let head = format!("host: {}\r\nauthorization: Bearer {token}", cluster.http());
    write!(stream, "GET {path} HTTP/1.1\r\n{head}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn a_job_asks_about_itself(executor: &'static str) {
    let mut cluster = Cluster::start(Settings { executor, ..Settings::default() });
    let dir = cluster.project("asks", &[("main.py", ASKS)]);
    let id = cluster.submit(&dir, &["main.py"]);
    let work = cluster.path("node/jobs").join(format!("{id}.1/work"));
    let token = eventually("it has asked", || {
        fs::read_to_string(work.join("token")).ok().filter(|it| !it.is_empty())
    });
    let path = format!("/api/v1/jobs/{id}");
    assert!(get(&cluster, &path, &token).starts_with("HTTP/1.1 200 "));

    cluster.kill_node();
    cluster.start_node();
    fs::write(work.join("again"), "").unwrap();
    cluster.atlas(&["wait", &id]).exits(0);
    let heard = log(&cluster, &id);
    assert!(heard.contains("own: ['main.py']"), "{heard}");
    assert!(heard.contains("broken: 401 401"), "{heard}");
    assert!(heard.contains("none: (401,") && heard.contains("must carry its token"), "{heard}");
    assert!(heard.contains("again: 200"), "{heard}");

    let over = get(&cluster, &path, &token);
    assert!(
        over.starts_with("HTTP/1.1 401 ") && over.contains("ended with that attempt"),
        "{over}"
    );
    assert!(get(&cluster, &path, "").starts_with("HTTP/1.1 401 "));
    let rpc = Rpc::new(&cluster);
    let mut request = Request::new(JobRef { job: id.clone() });
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let refused = rpc.wait(rpc.jobs().get_job(request)).unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    for place in ["node.log", "master.log"] {
        let text = fs::read_to_string(cluster.path(place)).unwrap();
        assert!(!text.contains(&token), "{place} shows the token");
    }
    assert!(!cluster.job(&id).to_string().contains("atlas_job_"));
}

#[test]
fn a_process_asks_about_itself_across_a_restart_of_its_agent() {
    a_job_asks_about_itself("process");
}

#[test]
fn a_container_asks_about_itself_across_a_restart_of_its_agent() {
    a_job_asks_about_itself("docker");
}

#[test]
fn a_job_submits_for_its_submitter_and_manages_no_nodes() {
    let cluster = Cluster::start(Settings::default());
    let atlas = binary("atlas");
    let script = format!(
        "set -x; export LOGNAME=mallory ATLAS_HOME=$HOME; atlas={}\n\
         $atlas submit --quiet --detach --name child scheduler . true || exit 3\n\
         $atlas jobs --output json | grep -q child || exit 4\n\
         $atlas info --env; $atlas node remove node-a --yes; test $? = 126 || exit 5\n",
        atlas.display()
    );
    let dir = cluster.project("submits", &[("main.sh", &script)]);
    let args = ["submit", "scheduler", dir.to_str().unwrap(), "sh", "main.sh"];
    let output = cluster.command(&args).env("LOGNAME", "ada").output().unwrap();
    let run = Run::of(&args, &output).exits(0);
    assert!(!run.stdout.contains("atlas_job_"), "{run:#?}");
    assert!(run.stdout.contains("may not manage nodes"), "{run:#?}");
    let jobs = cluster.json(&["jobs"]);
    let child = jobs.as_array().unwrap().iter().find(|it| it["name"] == "child").unwrap();
    assert_eq!(child["user"], "ada");
    cluster.atlas(&["wait", child["id"].as_str().unwrap()]).exits(0);
}
