//! A job that was lost starts again, and goes on where it was.

use atlas_tests::harness::{Cluster, Settings, eventually};

/// Saves a checkpoint and waits for its end; finds it, and is done.
const RESUMES: &str = "import os, pathlib, time\n\
    step = pathlib.Path(os.environ['ATLAS_CHECKPOINT_DIR']) / 'step'\n\
    attempt = os.environ['ATLAS_ATTEMPT']\n\
    if not step.exists():\n    \
        step.write_text('7 of attempt ' + attempt)\n    \
        print('saved', flush=True)\n    \
        time.sleep(100000)\n\
    print('attempt', attempt, 'found step', step.read_text(), flush=True)\n";

fn finds_its_checkpoint_again(executor: &'static str, with_its_agent: bool) {
    let mut cluster = Cluster::start(Settings { executor, ..Settings::default() });
    let dir = cluster.project("resumes", &[("main.py", RESUMES)]);
    let id = cluster.submit(&dir, &["main.py"]);
    eventually("it has saved a checkpoint", || {
        let log = cluster.atlas(&["get", "logs", "scheduler", &id]).stdout;
        log.contains("saved").then_some(())
    });
    if with_its_agent {
        cluster.kill_node();
    }
    cluster.kill_supervisor(&id, 1);
    if with_its_agent {
        cluster.start_node();
    }
    cluster.atlas(&["wait", &id]).exits(0);
    assert_eq!(cluster.job(&id)["attempt"], 2);
    let log = cluster.atlas(&["get", "logs", "scheduler", &id]).exits(0).stdout;
    assert!(log.ends_with("attempt 2 found step 7 of attempt 1\n"), "{log}");
}

#[test]
fn a_process_whose_supervisor_was_killed_finds_its_checkpoint_in_its_second_attempt() {
    finds_its_checkpoint_again("process", false);
}

#[test]
fn a_container_whose_supervisor_was_killed_finds_its_checkpoint_in_its_second_attempt() {
    finds_its_checkpoint_again("docker", false);
}

#[test]
fn a_process_that_died_with_its_agent_finds_its_checkpoint_in_its_second_attempt() {
    finds_its_checkpoint_again("process", true);
}

#[test]
fn a_container_that_died_with_its_agent_finds_its_checkpoint_in_its_second_attempt() {
    finds_its_checkpoint_again("docker", true);
}
