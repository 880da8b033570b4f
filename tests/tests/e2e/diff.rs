//! What two jobs have told, and what differs between them.

use std::path::Path;
use std::process::Command;

use atlas_tests::harness::{Cluster, Settings, eventually};

/// Tells its parameter and a metric by hand, as a program in any language may.
const TELLS: &str = "import json, os, sys\n\
    def tell(**event):\n    \
        spool = os.open(os.environ['ATLAS_SPOOL'], os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n    \
        os.write(spool, (json.dumps(event) + '\\n').encode())\n    os.close(spool)\n\
    tell(e='param', key='depth', value=3)\n\
    tell(e='facts', value={'python': '3.11.7', 'packages': {'numpy': sys.argv[1], 'pip': '24'}})\n\
    for step in range(10):\n    tell(e='metric', key='loss', value=float(sys.argv[2]) / (step + 1), step=step)\n";

fn done(cluster: &Cluster, words: &[&str]) -> String {
    let id = cluster.atlas(words).exits(0).stdout.trim().to_owned();
    eventually("it is done", || (cluster.job(&id)["phase"] == "done").then_some(()));
    id
}

#[test]
fn what_two_jobs_were_and_told_is_compared() {
    let cluster = Cluster::start(Settings { executor: "process", ..Settings::default() });
    let submit = |name: &str, files: &[(&str, &str)], params: &str, words: &[&str]| {
        let dir = cluster.project(name, files);
        let quiet = ["submit", "--quiet", "--project-name", "sweep", "--params", params];
        let place = ["scheduler", dir.to_str().unwrap(), "main.py"];
        done(&cluster, &[&quiet[..], &place, words].concat())
    };
    let files = [("main.py", TELLS), ("old.txt", "x"), ("data.txt", "one")];
    let one = submit("one", &files, r#"{"lr": 0.1, "layers": [64, 64]}"#, &["1.26", "8"]);
    let files = [("main.py", TELLS), ("new.txt", "x"), ("data.txt", "two")];
    let other = submit("other", &files, r#"{"lr": 0.1, "layers": [64, 32]}"#, &["2.1", "4"]);

    let shown = cluster.atlas(&["show", &one]).exits(0).stdout;
    assert!(
        shown.contains("metric     loss=0.8 (step 9, 10 points, min 0.8, max 8.0)\n"),
        "{shown}"
    );
    assert!(shown.contains("param      depth=3\n"), "{shown}");
    assert_eq!(cluster.job(&one)["run"]["metrics"]["loss"]["count"], 10);

    let found = cluster.json(&["diff", &one, &other]);
    assert_eq!(found["params"], serde_json::json!({ "layers_1": ["64", "32"] }));
    assert_eq!(found["packages"], serde_json::json!({ "numpy": ["1.26", "2.1"] }));
    assert_eq!(found["metrics"], serde_json::json!({ "loss": ["0.8", "0.4"] }));
    let files = serde_json::json!({ "data.txt": "M", "new.txt": "A", "old.txt": "D" });
    assert_eq!(found["files"], files);
    let command = serde_json::json!({ "command": ["main.py 1.26 8", "main.py 2.1 4"] });
    assert_eq!(found["job"], command);
    let shown = cluster.atlas(&["diff", &one, &other]).exits(0).stdout;
    assert!(shown.contains("packages.numpy   1.26  "), "{shown}");
    assert!(shown.contains("M  data.txt\n"), "{shown}");

    let again = done(&cluster, &["rerun", "--quiet", &one]);
    let shown = cluster.atlas(&["diff", &one, &again]).exits(0).stdout;
    assert!(shown.ends_with("Nothing else differs.\n"), "{shown}");
    cluster.atlas(&["diff", &one, "ffff"]).exits(1).says("there is no job");
}

fn git(dir: &Path, words: &[&str]) {
    let identity = ["-c", "user.name=t", "-c", "user.email=t@t"];
    let run = Command::new("git").arg("-C").arg(dir).args(identity).args(words).output().unwrap();
    assert!(run.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&run.stderr));
}

#[test]
fn what_was_not_committed_goes_with_the_job_and_those_that_repeat_it() {
    let cluster = Cluster::start(Settings { executor: "process", ..Settings::default() });
    let dir = cluster.project("changed", &[("main.py", "print(1)\n")]);
    git(&dir, &["init", "--quiet"]);
    git(&dir, &["add", "."]);
    git(&dir, &["commit", "--quiet", "-m", "first"]);
    let words = ["submit", "--quiet", "scheduler", dir.to_str().unwrap(), "main.py"];
    let clean = done(&cluster, &words);
    assert_eq!(cluster.job(&clean)["git"]["diff"], serde_json::Value::Null);
    std::fs::write(dir.join("main.py"), "print(2)\n").unwrap();
    std::fs::write(dir.join("new.py"), "").unwrap();
    let changed = done(&cluster, &words);
    let again = done(&cluster, &["rerun", "--quiet", &changed]);

    let shown = cluster.atlas(&["show", &again]).exits(0).stdout;
    assert!(shown.contains(", changed since: 2 files, see git.diff\n"), "{shown}");
    let into = dir.join("fetched");
    let fetch = ["get", "job", "--source_dir", "git.diff", "--save_dir", into.to_str().unwrap()];
    cluster.atlas(&[&fetch[..], &["scheduler", &again]].concat()).exits(0);
    let diff = std::fs::read_to_string(into.join(&again).join("git.diff")).unwrap();
    assert!(diff.starts_with("diff --git a/main.py b/main.py\n"), "{diff}");
    assert!(diff.ends_with("\n-print(1)\n+print(2)\n# new: new.py\n"), "{diff}");

    let found = cluster.json(&["diff", &clean, &changed]);
    let told = found["job"]["git.diff"].as_array().unwrap();
    assert!(told[0].is_null() && told[1].as_str().unwrap().starts_with("2 files ("), "{found}");
    assert!(cluster.json(&["diff", &changed, &again])["job"]["git.diff"].is_null());
}
