//! What a node keeps to use again has a bound, and no job fails of it.

use std::fs;

use atlas_tests::harness::{Cluster, Settings, eventually};

use crate::found::wheel;

/// Needs its package only after it was told to go on.
const NEEDS_IT_LATE: &str = "import pathlib, sys, time\n\
    print('waiting', flush=True)\n\
    while not pathlib.Path(sys.argv[1]).exists():\n    time.sleep(0.05)\n\
    import atlas_late\n\
    print('value', atlas_late.VALUE)\n";

fn entries(cluster: &Cluster, folder: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(cluster.path("node").join(folder)) else { return Vec::new() };
    entries.flatten().map(|it| it.file_name().to_string_lossy().into_owned()).collect()
}

fn project(cluster: &Cluster, package: &str, script: &str) -> std::path::PathBuf {
    let dir = cluster.project(package, &[("main.py", script)]);
    let list = format!("--no-index\n./{}\n", wheel(&dir, package));
    fs::write(dir.join("requirements.txt"), list).unwrap();
    dir
}

#[test]
fn a_node_keeps_no_more_than_its_bound_and_all_that_a_job_uses() {
    let mut cluster = Cluster::start(Settings {
        workers: 2,
        shared: false,
        env: vec![("ATLAS_CACHE_SIZE", "0B".into())],
        ..Settings::default()
    });
    let go = cluster.path("go");
    let dir = project(&cluster, "atlas_late", NEEDS_IT_LATE);
    let late = cluster.submit(&dir, &["main.py", go.to_str().unwrap()]);
    eventually("it runs", || {
        let log = cluster.atlas(&["get", "logs", "scheduler", &late]).stdout;
        log.contains("waiting\n").then_some(())
    });
    let used = entries(&cluster, "venvs");
    assert_eq!(used.len(), 1);
    // An agent that starts again has not handed it out, and knows it all the same.
    cluster.kill_node();
    cluster.start_node();
    let dir = project(&cluster, "atlas_early", "import atlas_early\nprint(atlas_early.VALUE)\n");
    for _ in ["built", "built again"] {
        let early = cluster.submit(&dir, &["main.py"]);
        cluster.atlas(&["wait", &early]).exits(0);
        let log = cluster.atlas(&["get", "logs", "scheduler", &early]).exits(0).stdout;
        assert!(log.contains("42\n") && !log.contains("installed already"), "{log}");
        eventually("what it used is gone", || {
            (entries(&cluster, "venvs") == used && entries(&cluster, "bundles").is_empty())
                .then_some(())
        });
    }
    fs::write(&go, "").unwrap();
    cluster.atlas(&["wait", &late]).exits(0);
    let log = cluster.atlas(&["get", "logs", "scheduler", &late]).exits(0).stdout;
    assert!(log.contains("value 42\n"), "{log}");
    eventually("nothing is kept", || entries(&cluster, "venvs").is_empty().then_some(()));
}
