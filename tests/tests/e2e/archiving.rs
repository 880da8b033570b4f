//! Deaths while the outputs of a job are on their way into the archive.

use std::fs;

use atlas_tests::harness::{Cluster, Settings, eventually};

const FILES: usize = 1500;
const LARGE: usize = 300;
/// Many small files, and a large one that the archive takes last. The exit code is to be remembered.
const JOB: &str = "import sys\n\
    print('begun', flush=True)\n\
    for n in range(1500):\n    with open('out-%d' % n, 'w') as file:\n        file.write(str(n))\n\
    with open('the-last', 'wb') as file:\n    for n in range(300):\n        file.write(bytes([n % 256]) * (1 << 20))\n\
    print('written', flush=True)\n\
    sys.exit(3)\n";
/// Begins or runs while the one before it is archived.
const BESIDE: &str =
    "import time\nfor n in range(30):\n    print('line', n, flush=True)\n    time.sleep(0.1)\n";

enum Victim {
    Master,
    Agent,
    Both,
}

fn is_killed_while_it_archives(victim: &Victim, executor: &'static str) {
    let mut cluster = Cluster::start(Settings { executor, ..Settings::default() });
    let dir = cluster.project("much", &[("main.py", JOB), ("beside.py", BESIDE)]);
    let id = cluster.submit(&dir, &["main.py"]);
    let beside = cluster.submit(&dir, &["beside.py"]);
    let outputs = cluster.path("shared/jobs").join(&id[..2]).join(&id).join("outputs");
    eventually("the archive has begun", || fs::read_dir(&outputs).ok()?.next().map(|_| ()));
    if let Victim::Master | Victim::Both = victim {
        cluster.kill_master();
    }
    if let Victim::Agent | Victim::Both = victim {
        cluster.kill_node();
    }
    assert!(!outputs.join("the-last").exists(), "it came too late: the archive is complete");
    if let Victim::Master | Victim::Both = victim {
        cluster.start_master();
    }
    if let Victim::Agent | Victim::Both = victim {
        cluster.start_node();
    }

    cluster.atlas(&["wait", &id]).exits(3);
    cluster.atlas(&["wait", &beside]).exits(0);
    for id in [&id, &beside] {
        eventually("it is archived", || (cluster.job(id)["phase"] == "done").then_some(()));
    }
    let job = cluster.job(&id);
    assert_eq!((&job["cause"], &job["attempt"]), (&"exit-code 3".into(), &1.into()), "{job:#}");
    assert_eq!(job["left_behind"], serde_json::Value::Null);
    says(&cluster, &id, "begun\nwritten\n");
    says(&cluster, &beside, &(0..30).map(|n| format!("line {n}\n")).collect::<String>());
    all_is_kept(&cluster, &id);
    let jobs = cluster.path("node/jobs");
    eventually("the node has nothing of it any more", || {
        fs::read_dir(&jobs).unwrap().next().is_none().then_some(())
    });
}

/// Its log ends with these words, which stand there once.
#[track_caller]
fn says(cluster: &Cluster, id: &str, words: &str) {
    let log = cluster.atlas(&["get", "logs", "scheduler", id]).exits(0).stdout;
    let first = words.lines().next().unwrap();
    assert!(log.ends_with(words) && log.matches(first).count() == 1, "{log:?}");
}

#[track_caller]
fn all_is_kept(cluster: &Cluster, id: &str) {
    let save = format!("--save_dir={}", cluster.path("got").display());
    cluster.atlas(&["get", "job", &save, "scheduler", id]).exits(0);
    let got = cluster.path("got").join(id).join("outputs");
    assert_eq!(fs::read_dir(&got).unwrap().count(), FILES + 1);
    for n in 0..FILES {
        assert_eq!(fs::read_to_string(got.join(format!("out-{n}"))).unwrap(), n.to_string());
    }
    let large = fs::read(got.join("the-last")).unwrap();
    assert_eq!(large.len(), LARGE << 20);
    for (piece, n) in large.chunks(1 << 20).zip((0..=u8::MAX).cycle()) {
        assert!(piece == vec![n; 1 << 20], "piece {n} of the large file is another");
    }
}

#[test]
fn the_outputs_of_a_process_are_complete_when_the_agent_dies_while_it_archives() {
    is_killed_while_it_archives(&Victim::Agent, "process");
}

#[test]
fn the_outputs_of_a_container_are_complete_when_the_agent_dies_while_it_archives() {
    is_killed_while_it_archives(&Victim::Agent, "docker");
}

#[test]
fn the_outputs_of_a_process_are_complete_when_the_master_dies_while_it_archives() {
    is_killed_while_it_archives(&Victim::Master, "process");
}

#[test]
fn the_outputs_of_a_container_are_complete_when_the_master_dies_while_it_archives() {
    is_killed_while_it_archives(&Victim::Master, "docker");
}

#[test]
fn the_outputs_are_complete_when_master_and_agent_die_while_they_archive() {
    is_killed_while_it_archives(&Victim::Both, "process");
}

/// Runs until it finds the file that it is told of.
const WAITS: &str = "import os, sys, time\n\
    print('first', flush=True)\n\
    while not os.path.exists(sys.argv[1]):\n    time.sleep(0.1)\n\
    open('out', 'w').write('saved')\nprint('last', flush=True)\n";

fn is_archived_though_its_folder_was_removed(shared: bool) {
    let settings = Settings { executor: "process", shared, ..Settings::default() };
    let cluster = Cluster::start(settings);
    let dir = cluster.project("waits", &[("main.py", WAITS)]);
    let go = cluster.path("go");
    let id = cluster.submit(&dir, &["main.py", go.to_str().unwrap()]);
    let folder = cluster.path("shared/jobs").join(&id[..2]).join(&id);
    eventually("its log is being copied", || folder.join("log/1.log").exists().then_some(()));
    // Again where the log's index came in between.
    eventually("its folder is removed", || fs::remove_dir_all(&folder).ok());
    fs::write(&go, "").unwrap();
    cluster.atlas(&["wait", &id]).exits(0);
    eventually("it is archived", || (cluster.job(&id)["phase"] == "done").then_some(()));
    assert_eq!(cluster.job(&id)["left_behind"], serde_json::Value::Null);
    assert_eq!(fs::read_to_string(folder.join("outputs/out")).unwrap(), "saved");
    says(&cluster, &id, "first\nlast\n");
}

#[test]
fn a_job_whose_folder_somebody_removed_from_the_share_is_archived_in_a_new_one() {
    is_archived_though_its_folder_was_removed(true);
}

#[test]
fn a_job_of_a_node_without_the_share_is_archived_too_when_its_folder_was_removed() {
    is_archived_though_its_folder_was_removed(false);
}
