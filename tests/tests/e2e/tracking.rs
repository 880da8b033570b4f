//! What jobs tell of themselves, with everything that can die in between.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use atlas_tests::harness::{Cluster, Settings, eventually};
use serde_json::Value;

/// Logs, says nonsense in between, and is killed by itself right behind the last event.
const KILLED: &str = r#"import json, os, signal
spool = os.open(os.environ["ATLAS_SPOOL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
def say(**event):
    os.write(spool, (json.dumps(event) + "\n").encode())
say(e="param", key="lr", value={"a": [0.1, None]}, at=1)
say(e="tag", key="best", value="", at=1)
files = os.path.join(os.path.dirname(os.environ["ATLAS_SPOOL"]), "files", "1", "models")
os.makedirs(files)
with open(os.path.join(files, "model.txt"), "w") as model:
    model.write("weights")
say(e="artifact", key="model", path="1/models", bytes=7, folder=True, at=1)
say(e="artifact", key="gone", path="2/gone", bytes=7, folder=False, at=1)
for n in range(1000):
    say(e="metric", key="loss", value=n, at=n)
    if n == 500:
        os.write(spool, b'{"e":"metric","key":"lo{"e":"name","value":"try 7","at":1}\nnonsense\n')
os.write(spool, b'{"e":"metric","key":"loss","val')
os.kill(os.getpid(), signal.SIGKILL)
"#;

pub fn get(cluster: &Cluster, path: &str) -> Value {
    let mut stream = TcpStream::connect(cluster.http()).unwrap();
    write!(stream, "GET /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    serde_json::from_str(body).unwrap()
}

/// The loss of every step that comes, and how many there are.
pub fn check_loss(cluster: &Cluster, id: &str, total: u64) {
    let series = get(cluster, &format!("/jobs/{id}/series?key=loss&points=0"));
    let counted: Vec<Value> = (0..total).map(Value::from).collect();
    assert!(series["steps"].as_array() == Some(&counted), "some are lost or came twice");
    assert!(series["values"].as_array() == Some(&counted), "they are not in order");
    let run = get(cluster, &format!("/jobs/{id}/run"));
    let loss = &run["metrics"]["loss"];
    assert_eq!((&loss["count"], &loss["last"]), (&total.into(), &(total - 1).into()));
    assert_eq!((&loss["min"]["step"], &loss["max"]["step"]), (&0.into(), &(total - 1).into()));
}

fn is_all_there_of_a_job_that_was_killed(executor: &'static str, shared: bool) {
    let cluster = Cluster::start(Settings { executor, shared, ..Settings::default() });
    let dir = cluster.project("killed", &[("main.py", KILLED)]);
    let id = cluster.submit(&dir, &["main.py"]);
    cluster.atlas(&["wait", &id]).exits(137);
    eventually("it is archived", || (cluster.job(&id)["phase"] == "done").then_some(()));
    check_loss(&cluster, &id, 1000);
    let run = get(&cluster, &format!("/jobs/{id}/run"));
    assert_eq!(run["params"], serde_json::json!({"lr": {"a": [0.1, null]}}));
    assert_eq!((&run["name"], &run["tags"]["best"]), (&"try 7".into(), &"".into()));
    assert_eq!(
        run["left_out"]["unreadable"], 3,
        "a torn line, a line of nonsense, and the one that was never ended"
    );
    assert_eq!(run["left_out"]["why"], serde_json::json!({"gone": "it is not there"}));
    assert_eq!(run["artifacts"].as_array().unwrap().len(), 1);
    let archive = cluster.path("shared/jobs").join(&id[..2]).join(&id);
    assert_eq!(
        fs::read_to_string(archive.join("artifacts/1/models/model.txt")).unwrap(),
        "weights"
    );
    assert_eq!(cluster.job(&id)["left_behind"], Value::Null);
}

#[test]
fn every_event_of_a_process_that_was_killed_is_there() {
    is_all_there_of_a_job_that_was_killed("process", true);
}

#[test]
fn every_event_of_a_container_that_was_killed_is_there() {
    is_all_there_of_a_job_that_was_killed("docker", true);
}

#[test]
fn a_job_in_any_language_logs_by_the_command_that_its_node_lends_it() {
    let cluster = Cluster::start(Settings::default());
    let dir = cluster.project("shell", &[("model", "12")]);
    let script = "PATH=${PATH##*:}; atlas log metric loss 0.5 && atlas log artifact model";
    let id = cluster.submit(&dir, &["sh", "-c", script]);
    cluster.atlas(&["wait", &id]).exits(0);
    let run = eventually("it is there", || {
        let run = get(&cluster, &format!("/jobs/{id}/run"));
        (run["artifacts"].as_array()?.len() == 1).then_some(run)
    });
    assert_eq!(run["metrics"]["loss"]["last"], 0.5);
}

#[test]
fn every_event_is_there_of_a_node_without_the_share() {
    is_all_there_of_a_job_that_was_killed("process", false);
}
