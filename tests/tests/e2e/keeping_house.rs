//! What jobs wrote is removed, and all that is known of them stays.

use std::fs;

use atlas_tests::harness::{Cluster, Settings, eventually};

const WRITES: &str = "import os, pathlib\n\
    pathlib.Path(os.environ['ATLAS_CHECKPOINT_DIR'], 'step').write_text('7')\n\
    pathlib.Path('result.txt').write_text('42')\n\
    import foundations\n\
    foundations.log_param('lr', 0.5)\n\
    foundations.log_metric('loss', 0.25)\n\
    print('it ran')\n";

/// The id of a job that has written this, and is done.
fn written(cluster: &Cluster, project: &str) -> String {
    let dir = cluster.project(project, &[("main.py", WRITES)]);
    let dir = dir.to_str().unwrap();
    let run = cluster.atlas(&[
        "submit",
        "--quiet",
        "--project-name",
        project,
        "scheduler",
        dir,
        "main.py",
    ]);
    let id = run.exits(0).stdout.trim().to_owned();
    eventually("it is done", || (cluster.job(&id)["phase"] == "done").then_some(()));
    id
}

/// Its log, parameters, metrics and source are there, and nothing else is.
fn only_what_is_known_is_left(cluster: &Cluster, id: &str) {
    let log = cluster.atlas(&["get", "logs", "scheduler", id]).exits(0).stdout;
    assert!(log.ends_with("\nit ran\n"), "{log}");
    let shown = cluster.atlas(&["show", id]).exits(0).stdout;
    for known in ["lr=0.5", "loss=0.25", "removed on "] {
        assert!(shown.contains(known), "{known}: {shown}");
    }
    let got = cluster.path("got");
    let into = got.to_str().unwrap();
    cluster
        .atlas(&["get", "job", "--save_dir", into, "scheduler", id])
        .exits(0)
        .says("the rest of it was fetched");
    assert!(got.join(id).join("source/main.py").exists() && !got.join(id).join("outputs").exists());
    for gone in ["outputs", "checkpoints"] {
        cluster.atlas(&["ls", id, gone]).exits(1).says("was removed on");
    }
    cluster.atlas(&["rerun", "--resume", id]).exits(126).says("was removed on");
}

#[test]
fn outputs_go_alone_though_the_master_is_killed_in_between() {
    let mut cluster = Cluster::start(Settings::default());
    let id = written(&cluster, "mnist");
    let folder = cluster.path("shared/jobs").join(&id[..2]).join(&id);
    // Nothing can be moved there, so that the removal begins and does not end.
    fs::write(cluster.path("shared/trash"), "").unwrap();
    let mut delete =
        cluster.command(&["delete", "job", "--outputs-only", "scheduler", &id]).spawn().unwrap();
    eventually("the removal has begun", || {
        (cluster.job(&id)["removal"]["goes_on"] == true).then_some(())
    });
    assert!(folder.join("outputs/result.txt").exists(), "it was not in between");
    cluster.atlas(&["ls", &id, "outputs"]).exits(1).says("was removed on");
    cluster.kill_master();
    fs::remove_file(cluster.path("shared/trash")).unwrap();
    cluster.start_master();
    eventually("the next master goes on with it", || {
        (cluster.job(&id)["removal"]["goes_on"] == false).then_some(())
    });
    delete.wait().unwrap();
    assert!(!folder.join("outputs").exists() && !folder.join("checkpoints").exists());
    assert_eq!(cluster.job(&id)["removal"]["bytes"], 3);
    only_what_is_known_is_left(&cluster, &id);
    cluster.atlas(&["delete", "job", "scheduler", &id]).exits(0);
    assert!(!folder.exists());
}

#[test]
fn what_outlives_the_rule_of_its_project_goes_and_what_is_tagged_keep_stays() {
    let mut cluster = Cluster::start(Settings::default());
    let [old, kept, other] = ["mnist", "mnist", "other"].map(|it| written(&cluster, it));
    cluster.atlas(&["tag", &kept, "keep"]).exits(0);
    let outputs = |id: &str| cluster.path("shared/jobs").join(&id[..2]).join(id).join("outputs");
    let [kept_outputs, other_outputs] = [&kept, &other].map(|it| outputs(it));
    let set = ["project", "retention", "mnist"];
    cluster.atlas(&[&set[..], &["outputs", "30"]].concat()).exits(126).says("write `outputs 30d`");
    cluster.atlas(&[&set[..], &["outputs 1s"]].concat()).exits(0).says("is outputs 1s.");
    eventually("what it wrote goes", || {
        (cluster.job(&old)["removal"]["goes_on"] == false).then_some(())
    });
    let removal = cluster.job(&old)["removal"].clone();
    assert_eq!((&removal["retention"], &removal["bytes"]), (&"outputs 1s".into(), &3.into()));
    only_what_is_known_is_left(&cluster, &old);

    // The rule is the next master's, too, and the tag holds as long as it is there.
    cluster.kill_master();
    cluster.start_master();
    let shown = cluster.atlas(&["project", "show", "mnist"]).exits(0).stdout;
    assert!(shown.contains("retention  outputs 1s\n"), "{shown}");
    let third = written(&cluster, "mnist");
    eventually("the third is found", || cluster.job(&third)["removal"].as_object().map(drop));
    assert!(kept_outputs.exists() && cluster.job(&kept)["removal"].is_null());
    cluster.atlas(&["tag", &kept, "--remove", "keep"]).exits(0);
    eventually("nobody keeps it any more", || {
        (cluster.job(&kept)["removal"]["goes_on"] == false).then_some(())
    });
    assert!(!kept_outputs.exists());
    assert!(other_outputs.exists() && cluster.job(&other)["removal"].is_null());
}
