//! Jobs that go from one cluster to another, through a folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use atlas_tests::harness::{Cluster, Settings, eventually};
use serde_json::Value;

/// Tells and leaves something of every kind.
const TELLS: &str = r#"import os, sys
import foundations
foundations.log_param("lr", 0.1)
for step in range(300):
    foundations.log_metric("loss", 1 / (step + 1))
for value in (float("nan"), float("inf"), -float("inf"), 10 ** 30, 2 ** 53 + 1, True):
    foundations.log_metric("odd", value)
foundations.log_metric("word", "zwölf")
for content in ("one", "two!"):
    open("model.bin", "w").write(content)
    foundations.save_artifact("model.bin")
os.makedirs("sync/below")
open("sync/below/x.txt", "w").write("x")
foundations.create_syncable_directory("data", "sync").upload()
open(os.path.join(os.environ["ATLAS_CHECKPOINT_DIR"], "epoch-1"), "w").write("weights")
os.symlink("model.bin", "link")
sys.stdout.buffer.write(b"odd \xff\x00\x1b[2J bytes without an end")
"#;

fn done(cluster: &Cluster, options: &[&str], words: &[&str]) -> String {
    let dir = cluster.project("job", &[("main.py", TELLS), ("fails.py", "raise SystemExit(3)")]);
    let quiet = ["submit", "--quiet", "--project-name", "mnist"];
    let place = ["scheduler", dir.to_str().unwrap()];
    let run = cluster.atlas(&[&quiet[..], options, &place, words].concat());
    let id = run.stdout.trim().to_owned();
    eventually("it is done", || (cluster.job(&id)["phase"] == "done").then_some(()));
    id
}

/// A script that nobody submitted.
fn outside(cluster: &Cluster) {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../client/python/src");
    let dir = cluster.project(
        "mnist",
        &[(
            "outside.py",
            "import foundations\nfoundations.log_metric('acc', 0.5)\nprint('from outside')\n",
        )],
    );
    let run = Command::new("python3")
        .arg("outside.py")
        .current_dir(&dir)
        .env("PYTHONPATH", sdk)
        .env("ATLAS_URL", format!("http://{}", cluster.http()))
        .env("ATLAS_HOME", cluster.path("outside"))
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

/// Every file of a folder, but for when it was written.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_symlink() {
            let to = fs::read_link(&path).unwrap();
            found.insert(name, to.to_str().unwrap().into());
        } else if path.is_dir() {
            let below = content(&path).into_iter();
            found.extend(below.map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else {
            found.insert(name, fs::read(&path).unwrap());
        }
    }
    found
}

fn about(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("export.json")).unwrap()).unwrap()
}

#[test]
fn jobs_are_the_same_in_another_cluster_and_in_what_that_one_exports() {
    let from = Cluster::start(Settings { executor: "process", ..Settings::default() });
    let full = done(&from, &["--tag", "given=1"], &["main.py"]);
    let failed = done(&from, &["--env", "MY_TOKEN=hidden"], &["fails.py"]);
    from.atlas(&["delete", "job", "--outputs-only", "--yes", "scheduler", &failed]).exits(0);
    outside(&from);
    from.atlas(&["tag", &full, "best=yes", "--remove", "given"]).exits(0);
    from.atlas(&["rename", &full, "the one"]).exits(0);
    from.atlas(&["project", "describe", "mnist", "# Digits"]).exits(0);
    from.atlas(&["project", "note", "mnist", "it learns"]).exits(0);
    let one = from.path("one");
    let folder = one.to_str().unwrap();
    eventually("the run outside has ended", || {
        let exported = from.atlas(&["export", "mnist", folder]).exits(0);
        (!exported.stderr.contains("has not ended")).then_some(())
    });
    assert_eq!(fs::read_dir(one.join("jobs")).unwrap().count(), 3);
    assert!(content(&one).values().all(|it| !String::from_utf8_lossy(it).contains("hidden")));

    let to = Cluster::start(Settings { executor: "process", ..Settings::default() });
    to.atlas(&["import", "--dry-run", folder]).exits(0).says("Would bring 3 jobs");
    to.atlas(&["import", folder]).exits(0).says("Brought 3 jobs");
    to.atlas(&["import", folder]).exits(0).says("Brought 0 jobs of project mnist. 3 were there.");

    let shown = to.atlas(&["show", &full]).exits(0).stdout;
    for words in ["completed (done)", "imported   from cluster", "the one", "best=yes", "10.2 kB"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(to.atlas(&["show", &failed]).exits(0).stdout.contains("removed on "));
    to.atlas(&["ls", &failed, "outputs"]).exits(1).says("was removed on");
    let log = to.command(&["get", "logs", "scheduler", &full]).output().unwrap().stdout;
    assert!(log.ends_with(b"odd \xff\x00\x1b[2J bytes without an end"));
    let differs = to.json(&["diff", &full, &failed]);
    assert_eq!(differs["params"]["lr"][0], "0.1");
    let project = to.atlas(&["project", "show", "mnist"]).exits(0).stdout;
    assert!(project.contains("# Digits") && project.contains("it learns"), "{project}");

    let two = to.path("two");
    to.atlas(&["export", "mnist", two.to_str().unwrap()]).exits(0);
    let (mut mine, mut theirs) = (content(&one), content(&two));
    let names: [Vec<&String>; 2] = [mine.keys().collect(), theirs.keys().collect()];
    assert_eq!(names[0], names[1]);
    // The cluster that it was written from, and when.
    let (mut from_one, mut from_two) = (about(&one), about(&two));
    for about in [&mut from_one, &mut from_two] {
        assert!(about["cluster"].take().is_string() && about["exported"].take().is_u64());
    }
    assert_eq!(from_one, from_two);
    mine.remove("export.json");
    theirs.remove("export.json");
    for (name, bytes) in mine {
        assert!(theirs[&name] == bytes, "{name} is another one");
    }

    // Nobody keeps secrets: whoever runs it again is asked for them.
    let rerun = ["rerun", "--quiet", "--secret", "MY_TOKEN", &failed];
    let run = to.command(&rerun).env("MY_TOKEN", "hidden").output().unwrap();
    assert_eq!(run.status.code(), Some(3));
    to.atlas(&["delete", "job", "--yes", "scheduler", &full]).exits(0);
    to.atlas(&["import", folder]).exits(0).says("Brought 1 job of");
    to.atlas(&["get", "logs", "scheduler", &full]).exits(0);
}

#[test]
fn an_export_that_was_changed_is_refused_by_the_name_of_the_file() {
    let from = Cluster::start(Settings { executor: "process", ..Settings::default() });
    let failed = done(&from, &[], &["fails.py"]);
    let folder = from.path("one");
    let shown = folder.to_str().unwrap();
    from.atlas(&["export", "mnist", shown]).exits(0);
    from.atlas(&["import", shown]).exits(0).says("1 was there");
    // As if it had been cut within a file.
    let half =
        folder.join("jobs").join(&failed).join("files/log/.0123456789abcdef0123456789abcdef.part");
    fs::write(&half, "hal").unwrap();
    fs::remove_file(folder.join("jobs").join(&failed).join("job.json")).unwrap();
    from.atlas(&["import", shown]).exits(0).says("Brought 0 jobs");
    from.atlas(&["export", "mnist", shown]).exits(0).says("Wrote 1 job of");
    assert!(!half.exists());
    from.atlas(&["delete", "job", "--yes", "scheduler", &failed]).exits(0);
    let job = folder.join("jobs").join(&failed);
    let log = job.join("files/log/1.log");
    let text = fs::read(&log).unwrap();
    fs::write(&log, "another log").unwrap();
    from.atlas(&["import", shown]).exits(126).says("1.log: is not what files.json says");
    fs::remove_file(&log).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &log).unwrap();
    from.atlas(&["import", shown]).exits(126).says("1.log: is not what files.json says");
    fs::remove_file(&log).unwrap();
    fs::write(&log, text).unwrap();
    let record = fs::read_to_string(job.join("job.json")).unwrap();
    fs::write(job.join("job.json"), record.replace("\"user\": \"", "\"user\": \"\\n")).unwrap();
    from.atlas(&["import", shown]).exits(126).says("spec.user");
    fs::write(job.join("job.json"), record).unwrap();
    let bundle = fs::read_dir(folder.join("bundles")).unwrap().next().unwrap().unwrap().path();
    assert!(from.atlas(&["jobs"]).exits(0).stdout.lines().count() == 1, "something of it came");
    from.atlas(&["export", "other", shown]).exits(1).says("there is no project");
    from.atlas(&["import", shown]).exits(0).says("Brought 1 job");
    assert!(bundle.exists());
}
