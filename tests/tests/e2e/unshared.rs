//! A node without the shared storage: slower, and the same result.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use atlas_tests::harness::{Cluster, Settings, eventually};

/// Writes, changes, links, nests, marks as program; says something; has parameters; leaves something behind.
const MAKES: &str = "import json, os, pathlib\n\
    print('lr is', json.load(open('foundations_job_parameters.json'))['lr'], flush=True)\n\
    for n in range(300):\n    \
        path = pathlib.Path('out/%d/file-%d' % (n % 7, n))\n    \
        path.parent.mkdir(parents=True, exist_ok=True)\n    \
        path.write_text('number %d' % n)\n    \
        os.utime(path, ns=(n * 10**9 + 7, n * 10**9 + 7))\n\
    open('empty', 'w').close()\n\
    open('large.bin', 'wb').write(bytes(range(256)) * 20_000)\n\
    os.utime('large.bin', ns=(10**18 + 3, 10**18 + 3))\n\
    os.symlink('large.bin', 'latest')\n\
    os.symlink('/somewhere/else', 'away')\n\
    open('run.sh', 'w').write('echo hello')\n\
    os.chmod('run.sh', 0o755)\n\
    open('data.txt', 'a').write('changed')\n\
    os.mkfifo('pipe')\n\
    open('w' * 200, 'w').write('a long name')\n\
    checkpoints = pathlib.Path(os.environ['ATLAS_CHECKPOINT_DIR'])\n\
    (checkpoints / 'deep').mkdir()\n\
    (checkpoints / 'deep' / 'step-1').write_text('1')\n\
    (checkpoints / 'secret').write_text('s')\n\
    os.chmod(checkpoints / 'secret', 0o600)\n\
    os.symlink('deep/step-1', checkpoints / 'last')\n\
    for n in range(2000):\n    print('line', n)\n";

fn start(executor: &'static str, shared: bool) -> Cluster {
    Cluster::start(Settings { executor, shared, ..Settings::default() })
}

fn archive(cluster: &Cluster, id: &str) -> PathBuf {
    cluster.path("shared/jobs").join(&id[..2]).join(id)
}

fn wait_done(cluster: &Cluster, id: &str) {
    eventually("it is archived", || (cluster.job(id)["phase"] == "done").then_some(()));
}

/// Everything of a folder: what it is, its mode, its time, its bytes. Folders and links have the time at which they were made there.
fn everything(root: &Path, times: bool) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let below = path.strip_prefix(root).unwrap().display().to_string();
            let mode = meta.permissions().mode();
            let what = if meta.is_dir() {
                folders.push(path);
                format!("folder {mode:o}")
            } else if meta.is_symlink() {
                format!("link to {}", fs::read_link(&path).unwrap().display())
            } else {
                let bytes = fs::read(&path).unwrap();
                // What a run itself writes has the time of that run.
                let time = if !times {
                    String::new()
                } else if below.contains("out/") || below.ends_with("large.bin") {
                    format!("{}.{:09}", meta.mtime(), meta.mtime_nsec())
                } else {
                    String::new()
                };
                let bytes = if below.ends_with(".idx") { Vec::new() } else { bytes };
                format!("file {mode:o} {time} {:?}", String::from_utf8_lossy(&bytes))
            };
            all.insert(below, what);
        }
    }
    all
}

fn ends_in_the_same_archive(executor: &'static str) {
    let run = |shared| {
        let cluster = start(executor, shared);
        let dir = cluster.project("makes", &[("main.py", MAKES), ("data.txt", "given\n")]);
        let mut submit = vec!["submit", "--quiet", "--detach", "--params", "{\"lr\": 0.5}"];
        submit.extend(["scheduler", dir.to_str().unwrap(), "main.py"]);
        let id = cluster.atlas(&submit).exits(0).stdout.trim().to_owned();
        cluster.atlas(&["wait", &id]).exits(0);
        wait_done(&cluster, &id);
        let left_behind = cluster.job(&id)["left_behind"].clone();
        let log = cluster.atlas(&["get", "logs", "scheduler", &id]).exits(0).stdout;
        let log = log.replace(&id, "ID").replace(cluster.path("").to_str().unwrap(), "/");
        let save = format!("--save_dir={}", cluster.path("got").display());
        cluster.atlas(&["get", "job", &save, "scheduler", &id]).exits(0);
        let got = everything(&cluster.path("got").join(&id), false);
        let listed = cluster.atlas(&["ls", "-R", &id]).stdout;
        let index = archive(&cluster, &id).join("log/1.idx").metadata().unwrap().len();
        assert!(index > 0 && index.is_multiple_of(16), "{index}");
        (everything(&archive(&cluster, &id), true), left_behind, log, got, listed.lines().count())
    };
    let (with, without) = (run(true), run(false));
    for (one, other) in [(&with.0, &without.0), (&with.3, &without.3)] {
        for (path, what) in one {
            if !path.starts_with("log/") {
                assert_eq!(Some(what), other.get(path), "{path}");
            }
        }
        assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    }
    assert!(with.0.contains_key("outputs/out/3/file-3") && with.0.contains_key("checkpoints/last"));
    assert_eq!(with.1, without.1, "what was left behind differs");
    assert!(with.1.as_str().unwrap().contains("pipe"));
    assert_eq!(with.2, without.2, "the log differs");
    assert!(with.2.contains("lr is 0.5\n") && with.2.ends_with("line 1999\n"));
    assert_eq!(with.4, without.4, "the listing differs");
}

#[test]
fn a_process_without_the_shared_storage_ends_in_the_same_archive() {
    ends_in_the_same_archive("process");
}

#[test]
fn a_container_without_the_shared_storage_ends_in_the_same_archive() {
    ends_in_the_same_archive("docker");
}

/// A file of which some is seen to arrive before its end, and small ones.
const LARGE: usize = 200;
const SHIPS: &str = "for n in range(50):\n    open('small-%d' % n, 'w').write(str(n))\n\
    with open('the-last', 'wb') as file:\n    \
        for n in range(200):\n        file.write(bytes([n]) * (1 << 20))\n\
    print('written', flush=True)\n";

/// What is there of the file that is on its way: its name, and so many bytes.
fn on_its_way(outputs: &Path) -> Option<(PathBuf, u64)> {
    let mut entries = fs::read_dir(outputs).ok()?.flatten();
    let part = entries.find(|it| it.file_name().to_string_lossy().ends_with(".part"))?;
    Some((part.path(), part.metadata().ok()?.len()))
}

fn is_shipped_whole(kill: fn(&mut Cluster), start: fn(&mut Cluster)) {
    let mut cluster = self::start("process", false);
    let dir = cluster.project("ships", &[("main.py", SHIPS)]);
    let id = cluster.submit(&dir, &["main.py"]);
    let outputs = archive(&cluster, &id).join("outputs");
    eventually("some of the large file is there", || {
        on_its_way(&outputs).filter(|(_, bytes)| *bytes > 10 << 20)
    });
    kill(&mut cluster);
    let (part, before) = on_its_way(&outputs).expect("it came too late: the file is complete");
    let inode = part.metadata().unwrap().ino();
    start(&mut cluster);
    cluster.atlas(&["wait", &id]).exits(0);
    wait_done(&cluster, &id);
    assert_eq!(cluster.job(&id)["left_behind"], serde_json::Value::Null);
    let kept = outputs.join("the-last");
    assert_eq!(kept.metadata().unwrap().ino(), inode, "it began anew after {before} bytes");
    for (at, piece) in fs::read(&kept).unwrap().chunks(1 << 20).enumerate() {
        assert!(piece == vec![u8::try_from(at).unwrap(); 1 << 20], "piece {at} is another");
    }
    assert_eq!(kept.metadata().unwrap().len(), (LARGE << 20) as u64);
    assert_eq!(fs::read_dir(&outputs).unwrap().count(), 51);
    let log = cluster.atlas(&["get", "logs", "scheduler", &id]).exits(0).stdout;
    assert!(log.ends_with("written\n") && log.matches("written").count() == 1, "{log:?}");
}

#[test]
fn a_shipment_goes_on_where_it_was_when_the_master_was_killed() {
    is_shipped_whole(Cluster::kill_master, Cluster::start_master);
}

#[test]
fn a_shipment_goes_on_where_it_was_when_the_agent_was_killed() {
    is_shipped_whole(Cluster::kill_node, Cluster::start_node);
}

/// Leaves a folder, a link and a closed file, and waits for its end; finds them, removes one, and is done.
const RESUMES: &str = "import os, pathlib, time\n\
    folder = pathlib.Path(os.environ['ATLAS_CHECKPOINT_DIR'])\n\
    step = folder / 'deep' / 'step'\n\
    if not step.exists():\n    \
        step.parent.mkdir()\n    \
        step.write_text('7')\n    \
        step.chmod(0o600)\n    \
        (folder / 'last').symlink_to('deep/step')\n    \
        (folder / 'large').write_bytes(b'x' * 5_000_000)\n    \
        print('saved', flush=True)\n    \
        time.sleep(100000)\n\
    print('found', (folder / 'last').read_text(), (folder / 'large').stat().st_size)\n\
    (folder / 'large').unlink()\n\
    step.write_text('8')\n";

fn finds_what_the_first_attempt_shipped(executor: &'static str) {
    let cluster = start(executor, false);
    let dir = cluster.project("resumes", &[("main.py", RESUMES)]);
    let id = cluster.submit(&dir, &["main.py"]);
    eventually("it has saved a checkpoint", || {
        let log = cluster.atlas(&["get", "logs", "scheduler", &id]).stdout;
        log.contains("saved").then_some(())
    });
    cluster.kill_supervisor(&id, 1);
    cluster.atlas(&["wait", &id]).exits(0);
    wait_done(&cluster, &id);
    assert_eq!(cluster.job(&id)["attempt"], 2);
    let log = cluster.atlas(&["get", "logs", "scheduler", &id]).exits(0).stdout;
    assert!(log.ends_with("found 7 5000000\n"), "{log}");
    let kept = everything(&archive(&cluster, &id).join("checkpoints"), false);
    let kept: Vec<_> = kept.iter().map(|(path, what)| format!("{path}: {what}")).collect();
    let expected =
        ["deep: folder 40755", "deep/step: file 100600  \"8\"", "last: link to deep/step"];
    assert_eq!(kept, expected);
    let first = fs::read_to_string(archive(&cluster, &id).join("log/1.log")).unwrap();
    assert!(first.ends_with("saved\n"), "{first:?}");
}

#[test]
fn the_second_attempt_of_a_process_finds_what_the_first_one_shipped() {
    finds_what_the_first_attempt_shipped("process");
}

#[test]
fn the_second_attempt_of_a_container_finds_what_the_first_one_shipped() {
    finds_what_the_first_attempt_shipped("docker");
}
