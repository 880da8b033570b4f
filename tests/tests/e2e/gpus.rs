//! GPUs of a node, with a library of our own in place of the driver's: what is listed, given and free again.

use std::collections::BTreeSet;
use std::path::Path;

use atlas_tests::harness::{Cluster, Gpus, Settings, eventually};

/// Says what it sees; with a word, leaves many files and a large one that the archive takes last.
const JOB: &str = "import os, sys\n\
    print('sees', os.environ['CUDA_VISIBLE_DEVICES'], '/', os.environ['NVIDIA_VISIBLE_DEVICES'], flush=True)\n\
    if sys.argv[1:] == ['much']:\n\
    \x20   for n in range(1500):\n        open('out-%d' % n, 'w').close()\n\
    \x20   with open('the-last', 'wb') as file:\n        file.write(bytes(300 << 20))\n\
    elif sys.argv[1:]:\n    print('archived', os.path.exists(sys.argv[1]), flush=True)\n";

fn cluster(driver: &Gpus) -> Cluster {
    Cluster::start(Settings { workers: 2, gpus: true, env: driver.env(3), ..Settings::default() })
}

/// The GPUs that a job saw, by both names.
#[track_caller]
fn seen(cluster: &Cluster, id: &str) -> (BTreeSet<String>, String) {
    let log = cluster.atlas(&["get", "logs", "scheduler", id]).exits(0).stdout;
    let line = log.lines().find_map(|line| line.strip_prefix("sees ")).unwrap();
    let (cuda, nvidia) = line.split_once('/').unwrap();
    let gpus = cuda.trim().split(',').filter(|it| !it.is_empty()).map(str::to_owned);
    (gpus.collect(), nvidia.trim().to_owned())
}

#[test]
fn a_job_sees_the_gpus_it_asked_for_and_they_are_free_at_its_exit() {
    let driver = Gpus::build();
    let cluster = cluster(&driver);
    let dir = cluster.project("gpus", &[("main.py", JOB)]);

    let without = cluster.submit(&dir, &["main.py"]);
    cluster.atlas(&["wait", &without]).exits(0);
    assert_eq!(seen(&cluster, &without), (BTreeSet::new(), "void".to_owned()));

    let two = cluster.submit(&dir, &["--num-gpus", "2", "main.py", "much"]);
    let last = cluster.path("shared/jobs").join(&two[..2]).join(&two).join("outputs/the-last");
    let last = last.display().to_string();
    let all = cluster.submit(&dir, &["--num-gpus", "3", "main.py", &last]);
    cluster.atlas(&["wait", &two]).exits(0);
    cluster.atlas(&["wait", &all]).exits(0);
    let (gpus, nvidia) = seen(&cluster, &two);
    assert_eq!((gpus.len(), nvidia.split(',').count()), (2, 2), "{gpus:?} {nvidia}");
    let (every, _) = seen(&cluster, &all);
    assert_eq!(every.len(), 3, "the lost one is not counted: {every:?}");
    assert!(gpus.is_subset(&every) && every.iter().all(|it| it.starts_with("GPU-")), "{every:?}");
    // It needed those two, and had them before their files were kept.
    let log = cluster.atlas(&["get", "logs", "scheduler", &all]).exits(0).stdout;
    assert!(log.ends_with("archived False\n"), "{log}");
    eventually("all is archived", || (cluster.job(&two)["phase"] == "done").then_some(()));
    assert!(Path::new(&last).exists());
    let shown = cluster.atlas(&["show", &two]).exits(0).stdout;
    assert!(shown.contains("2 × Stand-in") && shown.contains("550.54.15"), "{shown}");

    let mut refused = cluster.command(&["submit", "--num-gpus", "4", "scheduler"]);
    let output = refused.arg(&dir).arg("main.py").output().unwrap();
    assert_eq!(output.status.code(), Some(126), "four were promised, three are there");
}
