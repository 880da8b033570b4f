//! A job's log is complete and ordered, whatever the job does.

use std::process::Stdio;

use atlas_tests::harness::{Cluster, Settings, eventually};

#[test]
fn fifty_megabytes_in_a_second_arrive_complete_and_in_order() {
    let cluster = Cluster::start(Settings::default());
    let script = "import sys\nfor n in range(500_000):\n    sys.stdout.write('%099d\\n' % n)\n";
    let dir = cluster.project("loud", &[("main.py", script)]);
    let run = cluster.atlas(&["submit", "scheduler", dir.to_str().unwrap(), "main.py"]).exits(0);
    let begin = run.stdout.find(&format!("{:099}\n", 0)).unwrap();
    let lines: Vec<&str> = run.stdout[begin..].lines().collect();
    assert_eq!(lines.len(), 500_000);
    assert!(lines.iter().zip(0..).all(|(line, n)| line.parse() == Ok(n)), "a line is out of order");
}

#[test]
fn bytes_that_are_no_text_and_have_no_newline_arrive_as_they_are() {
    let cluster = Cluster::start(Settings::default());
    let script = "import os\nos.write(1, b'\\xff\\xfe\\x00<end>')\n";
    let dir = cluster.project("bytes", &[("main.py", script)]);
    let id = cluster.submit(&dir, &["main.py"]);
    cluster.atlas(&["wait", &id]).exits(0);
    let output = cluster.command(&["get", "logs", "scheduler", &id]).output().unwrap();
    assert!(output.stdout.ends_with(b"\xff\xfe\x00<end>"), "{:?}", output.stdout);
}

#[test]
fn a_grandchild_that_holds_the_pipe_delays_nothing_and_is_gone() {
    let cluster = Cluster::start(Settings::default());
    let mark = format!("98765{}", std::process::id());
    let dir =
        cluster.project("pipe", &[("main.sh", &format!("setsid sleep {mark} & echo done\n"))]);
    let run =
        cluster.atlas(&["submit", "scheduler", dir.to_str().unwrap(), "sh", "main.sh"]).exits(0);
    assert!(run.stdout.contains("done"), "{run:#?}");
    eventually("the grandchild is gone", || {
        let found = std::process::Command::new("pgrep")
            .args(["-f", &format!("sleep {mark}")])
            .output()
            .unwrap();
        (!found.status.success()).then_some(())
    });
}

#[test]
fn a_line_is_seen_at_once_while_the_job_runs() {
    let cluster = Cluster::start(Settings::default());
    let dir =
        cluster.project("live", &[("main.py", "import time\nprint('first')\ntime.sleep(600)\n")]);
    let id = cluster.submit(&dir, &["main.py"]);
    let mut follower = cluster.command(&["get", "logs", "scheduler", "--follow", &id]);
    let mut follower = follower.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("first") {
        let mut buffer = [0; 1024];
        let read = std::io::Read::read(follower.stdout.as_mut().unwrap(), &mut buffer).unwrap();
        assert!(read > 0, "the stream ended before the line: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..read]);
    }
    cluster.atlas(&["stop", "scheduler", &id]).exits(0);
    assert!(follower.wait().unwrap().success());
}
