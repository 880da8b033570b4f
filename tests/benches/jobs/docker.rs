//! The bare Docker API, with the options that Atlas uses: create, start, wait, remove.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use atlas_tests::harness::{eventually, image};
use serde_json::{Value, json};

/// The engine, and folders for what Atlas mounts into a container.
pub struct Engine {
    folders: tempfile::TempDir,
}

impl Engine {
    pub fn new() -> Self {
        Self { folders: tempfile::tempdir().unwrap() }
    }

    /// As Atlas does it, but for the limits that not every engine may lift.
    fn create(&self, command: &[&str], log: &str) -> String {
        let mount = |name: &str| {
            let folder = self.folders.path().join(name);
            std::fs::create_dir_all(&folder).unwrap();
            json!({ "Type": "bind", "Source": folder, "Target": format!("/bench/{name}") })
        };
        let mounts: Vec<Value> =
            ["supervisor", "control", "job", "home", "tmp", "checkpoints", "api"].map(mount).into();
        let body = json!({ "Image": image(), "Cmd": command, "HostConfig": {
            "LogConfig": { "Type": log },
            "Mounts": mounts,
            "PidsLimit": 32_768,
            "ShmSize": 1 << 30,
            "SecurityOpt": ["no-new-privileges"],
        } });
        let reply = post("/containers/create", &body);
        let reply: Value = serde_json::from_str(&reply).unwrap();
        reply["Id"].as_str().unwrap_or_else(|| panic!("{reply}")).to_owned()
    }

    /// Milliseconds from the call to the time that the container prints.
    pub fn to_first_instruction(&self) -> f64 {
        let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let id = self.create(&["date", "+%s%N"], "json-file");
        post(&format!("/containers/{id}/start"), &Value::Null);
        post(&format!("/containers/{id}/wait"), &Value::Null);
        let log = call("GET", &format!("/containers/{id}/logs?stdout=1"), &Value::Null);
        call("DELETE", &format!("/containers/{id}"), &Value::Null);
        // Each piece of a log begins with eight bytes of header.
        let digits: String = log.chars().filter(char::is_ascii_digit).collect();
        let printed = Duration::from_nanos(digits[digits.len() - 19..].parse().unwrap());
        (printed - began).as_secs_f64() * 1000.0
    }
}

/// Containers to their end, some at a time.
pub fn run_many(containers: usize, at_a_time: usize) -> Duration {
    let engine = Engine::new();
    let began = Instant::now();
    let left = AtomicUsize::new(containers);
    let one_more =
        || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |it| it.checked_sub(1)).is_ok();
    std::thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                while one_more() {
                    let id = engine.create(&["/bin/true"], "none");
                    post(&format!("/containers/{id}/start"), &Value::Null);
                    post(&format!("/containers/{id}/wait"), &Value::Null);
                    call("DELETE", &format!("/containers/{id}"), &Value::Null);
                }
            });
        }
    });
    began.elapsed()
}

/// A node is idle once the container of the job before is gone.
pub fn until_removed(container: &str) {
    let left = || request("GET", &format!("/containers/{container}/json"), &Value::Null).0;
    eventually("the container is removed", || (left() == "404").then_some(()));
}

fn post(path: &str, body: &Value) -> String {
    call("POST", path, body)
}

fn call(method: &str, path: &str, body: &Value) -> String {
    let (code, body) = request(method, path, body);
    assert!(code.starts_with('2') || code == "304", "{method} {path}: {code} {body}");
    body
}

/// One request on a connection of its own; code and body of the answer.
fn request(method: &str, path: &str, body: &Value) -> (String, String) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut stream = UnixStream::connect("/var/run/docker.sock").unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
}
