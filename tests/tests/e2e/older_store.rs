//! A master that has just come finds its store older than what its nodes heard of.

use std::fs;
use std::process::Command;

use atlas_tests::harness::{Cluster, Run, Settings, binary, eventually};

const FILES: [&str; 2] = ["atlas.sqlite", "atlas.sqlite-wal"];

#[test]
fn a_master_on_an_older_store_hands_nothing_out_until_that_is_accepted() {
    let mut cluster = Cluster::start(Settings { workers: 2, ..Settings::default() });
    let dir = cluster.project("older", &[]);
    let until = cluster.path("go");
    let script = format!("while [ ! -e {} ]; do sleep 0.05; done", until.display());
    let running = cluster.submit(&dir, &["sh", "-c", &script]);
    cluster.wait_status(&running, "running");
    let data = cluster.path("master");
    cluster.kill_master();
    for file in FILES {
        fs::copy(data.join(file), cluster.path(file)).unwrap();
    }
    // Two masters lead that the copy knows nothing of: agents obey nobody who came before them.
    cluster.start_master();
    cluster.kill_master();
    cluster.start_master();
    let lost = cluster.submit(&dir, &["sleep", "600"]);
    cluster.wait_status(&lost, "running");
    let heard = || fs::read_to_string(cluster.path("node/seen")).unwrap_or_default();
    eventually("the node heard of it", || {
        let seen = heard();
        (seen.starts_with("3 ") && !seen.starts_with("3 0 ")).then_some(())
    });
    let joined = heard();
    let more = cluster.submit(&dir, &["true"]);
    eventually("the node heard of more", || (heard() != joined).then_some(()));

    let lost_seen = heard();
    cluster.kill_master();
    for file in FILES {
        fs::copy(cluster.path(file), data.join(file)).unwrap();
    }
    cluster.start_master();
    let log = || fs::read_to_string(cluster.path("master.log")).unwrap();
    eventually("it ends", || log().contains("older than what node node-a heard of").then_some(()));
    cluster.kill_master();
    let mut command = Command::new(binary("atlas-master"));
    command.args(["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--data"]).arg(&data);
    let again = Run::of(&["again"], &command.output().unwrap());
    again.exits(126).says("node-a heard of").says("--accept-older-store");
    assert_eq!(cluster.supervisors().len(), 2, "what runs goes on");

    cluster.set_env("ATLAS_ACCEPT_OLDER_STORE", Some("true"));
    cluster.start_master();
    fs::write(&until, "").unwrap();
    cluster.wait_status(&running, "completed");
    assert_eq!(cluster.job(&running)["attempt"], 1);
    for gone in [&lost, &more] {
        cluster.atlas(&["show", gone]).exits(1);
    }
    // A node that was off while the master led with the acceptance.
    cluster.kill_master();
    cluster.kill_node();
    fs::write(cluster.path("node/seen"), lost_seen).unwrap();
    cluster.set_env("ATLAS_ACCEPT_OLDER_STORE", None);
    cluster.start_master();
    cluster.start_node();
    let last = cluster.submit(&dir, &["true"]);
    cluster.atlas(&["wait", &last]).exits(0);
}
