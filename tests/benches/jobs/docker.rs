//! The bare Docker API, with the options that Atlas uses: create, start, wait, remove.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use atlas_tests::harness::image;
use serde_json::{Value, json};

pub struct Engine;

impl Engine {
    pub fn new() -> Self {
        Self
    }

    /// Milliseconds from the call to the time that the container prints.
    pub fn to_first_instruction(&self) -> f64 {
        let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let id = create(&["date", "+%s%N"], "json-file");
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
    let began = Instant::now();
    let left = AtomicUsize::new(containers);
    let one_more =
        || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |it| it.checked_sub(1)).is_ok();
    std::thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                while one_more() {
                    let id = create(&["/bin/true"], "none");
                    post(&format!("/containers/{id}/start"), &Value::Null);
                    post(&format!("/containers/{id}/wait"), &Value::Null);
                    call("DELETE", &format!("/containers/{id}"), &Value::Null);
                }
            });
        }
    });
    began.elapsed()
}

fn create(command: &[&str], log: &str) -> String {
    let body =
        json!({ "Image": image(), "Cmd": command, "HostConfig": { "LogConfig": { "Type": log } } });
    let reply = post("/containers/create", &body);
    let reply: Value = serde_json::from_str(&reply).unwrap();
    reply["Id"].as_str().unwrap_or_else(|| panic!("{reply}")).to_owned()
}

fn post(path: &str, body: &Value) -> String {
    call("POST", path, body)
}

/// One request on a connection of its own; the body of the answer.
fn call(method: &str, path: &str, body: &Value) -> String {
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
    let code = head.split(' ').nth(1).unwrap();
    assert!(code.starts_with('2') || code == "304", "{method} {path}: {text}");
    body.to_owned()
}
