//! Jobs that do what jobs do, and what of it is theirs to keep.

use super::*;

const ALL: Limits = Limits { bytes: u64::MAX, files: 100_000 };

fn outputs(job: &Path, since: &Snapshot, exclude: &[&str], limits: Limits) -> Outputs {
    changed(job, since, &Exclude::new(exclude).unwrap(), limits).unwrap()
}

fn names(outputs: &Outputs) -> Vec<String> {
    outputs.files.iter().map(|it| it.path.display().to_string()).collect()
}

fn job_of(names: &[&str]) -> (TempDir, Snapshot, std::path::PathBuf) {
    let archive = names.iter().fold(Archive::default(), |archive, name| match name {
        _ if name.ends_with('/') => archive.folder(name),
        _ if name.starts_with("link") => archive.link(name, "target"),
        _ => archive.file(name, "text"),
    });
    let (dir, snapshot) = unpacked(archive);
    let job = dir.path().join("job");
    (dir, snapshot, job)
}

#[test]
fn a_job_that_does_nothing_has_no_outputs() {
    let (_dir, snapshot, job) = job_of(&["a", "b/", "b/c", "link"]);
    let found = outputs(&job, &snapshot, &[], ALL);
    assert!(found.files.is_empty() && found.left_behind.named.is_empty(), "{found:?}");
    let kept: Snapshot = serde_json::from_str(&serde_json::to_string(&snapshot).unwrap()).unwrap();
    assert_eq!(kept, snapshot);
}

#[test]
fn whatever_was_changed_is_an_output_even_at_once_and_in_the_same_size() {
    let (_dir, snapshot, job) =
        job_of(&["append", "chmod", "d/", "d/same", "keep", "link", "replaced", "rewritten"]);
    fs::write(job.join("d/same"), "TEXT").unwrap();
    fs::File::options().append(true).open(job.join("append")).unwrap().write_all(b"!").unwrap();
    fs::write(job.join("new"), "text").unwrap();
    fs::create_dir(job.join("made")).unwrap();
    symlink("/etc", job.join("made/etc")).unwrap();
    fs::remove_file(job.join("link")).unwrap();
    symlink("elsewhere", job.join("link")).unwrap();
    fs::write(job.join("replacement"), "text").unwrap();
    fs::rename(job.join("replacement"), job.join("replaced")).unwrap();
    fs::File::options()
        .write(true)
        .open(job.join("rewritten"))
        .unwrap()
        .write_all(b"text")
        .unwrap();

    let found = outputs(&job, &snapshot, &[], ALL);
    assert_eq!(
        names(&found),
        ["append", "d/same", "link", "made/etc", "new", "replaced", "rewritten"]
    );
    assert_eq!(found.files[3].kind, OutputKind::Link { target: "/etc".into() });
    assert_eq!(found.bytes, 5 + 4 * 4);
}

#[test]
fn copies_and_moves_that_keep_the_time_are_outputs() {
    let (_dir, snapshot, job) = job_of(&["input", "mode", "moved"]);
    // The change time moves on with the clock of the file system, a few milliseconds at a time.
    let probe = job.join("probe");
    let started = Instant::now();
    loop {
        fs::write(&probe, "").unwrap();
        let probe = fs::metadata(&probe).unwrap();
        if serde_json::json!([probe.ctime(), probe.ctime_nsec()])
            != serde_json::to_value(snapshot).unwrap()["last"]
        {
            break;
        }
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "the clock of the file system stands still"
        );
    }
    fs::remove_file(&probe).unwrap();

    let modified = fs::metadata(job.join("input")).unwrap().modified().unwrap();
    fs::copy(job.join("input"), job.join("copy")).unwrap();
    fs::File::open(job.join("copy")).unwrap().set_modified(modified).unwrap();
    fs::rename(job.join("moved"), job.join("renamed")).unwrap();
    fs::set_permissions(job.join("mode"), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(names(&outputs(&job, &snapshot, &[], ALL)), ["copy", "mode", "renamed"]);
}

#[test]
fn a_file_that_the_agent_adds_is_no_output_until_the_job_changes_it() {
    let (_dir, mut snapshot, job) = job_of(&["a"]);
    fs::write(job.join("params.json"), "{}").unwrap();
    snapshot.adopt(&job, Path::new("params.json")).unwrap();
    assert!(outputs(&job, &snapshot, &[], ALL).files.is_empty());
    fs::write(job.join("params.json"), "{}").unwrap();
    assert_eq!(names(&outputs(&job, &snapshot, &[], ALL)), ["params.json"]);
    assert!(snapshot.adopt(&job, Path::new("../outside")).is_err());
}

#[test]
fn patterns_leave_files_out() {
    let (_dir, snapshot, job) = job_of(&["old.tmp"]);
    for path in
        ["a.tmp", "keep.tmp", "runs/1/log", "runs/2/log", "pkg/__pycache__/x.pyc", "result.json"]
    {
        fs::create_dir_all(job.join(path).parent().unwrap()).unwrap();
        fs::write(job.join(path), "").unwrap();
    }
    // As in ignore files, no class is a slash.
    let classes = ["runs[!a]2", "runs[+-9]2"];
    let patterns = [&["*.tmp", "!keep.tmp", "/runs/1/"][..], &classes].concat();
    let found = outputs(&job, &snapshot, &patterns, ALL);
    assert_eq!(names(&found), ["keep.tmp", "result.json", "runs/2/log"]);
    assert_eq!(found.left_behind.excluded, 3);
    assert!(matches!(Exclude::new(&["[z-a]"]), Err(Error::Pattern { .. })));
    assert!(Exclude::new(&vec!["a"; 1_001]).is_err());
}

#[test]
fn beyond_the_limits_the_smallest_are_kept_and_the_others_named() {
    let (_dir, snapshot, job) = job_of(&["a"]);
    for (name, size) in [("weights", 1_000), ("metrics", 10), ("plot", 100), ("curve", 100)] {
        fs::write(job.join(name), vec![0; size]).unwrap();
    }
    let found = outputs(&job, &snapshot, &[], Limits { bytes: 210, files: 10 });
    assert_eq!(names(&found), ["curve", "metrics", "plot"]);
    assert_eq!(found.left_behind.named, [("weights".into(), Reason::TooManyBytes { size: 1_000 })]);

    let found = outputs(&job, &snapshot, &[], Limits { bytes: u64::MAX, files: 3 });
    assert_eq!((found.files.len(), found.left_behind.named.len()), (3, 1));
    assert_eq!(found.left_behind.named[0].1, Reason::TooManyFiles);

    for index in 0..1_010 {
        fs::write(job.join(format!("many-{index}")), "").unwrap();
    }
    let found = outputs(&job, &snapshot, &[], Limits { bytes: u64::MAX, files: 4 });
    assert_eq!(
        (found.files.len(), found.left_behind.named.len(), found.left_behind.more),
        (4, 1_000, 10)
    );
}

#[test]
fn what_is_no_file_is_named() {
    let (dir, snapshot, job) = job_of(&["a"]);
    let short = dir.path().join("s");
    symlink(&job, &short).unwrap();
    let _socket = UnixListener::bind(short.join("socket")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        job.join("pipe"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    fs::create_dir_all(job.join("d/".repeat(129))).unwrap();
    fs::write(job.join("d/".repeat(129)).join("deep"), "").unwrap();
    let found = outputs(&job, &snapshot, &[], ALL);
    assert!(found.files.is_empty(), "{found:?}");
    let reasons: Vec<_> = found.left_behind.named.iter().map(|(_, why)| why.to_string()).collect();
    assert_eq!(reasons, ["more than 128 folders deep", "a named pipe", "a socket"]);
}

#[test]
fn outputs_are_opened_through_no_link() {
    let (dir, _, job) = job_of(&["a", "b/", "b/c"]);
    symlink("../outside", job.join("out")).unwrap();
    symlink("..", job.join("up")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        job.join("pipe"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    let root = open_root(&job).unwrap();
    let read = |name: &str| {
        atlas_runtime::storage::open(root.as_fd(), Path::new(name))
            .map(|it| io::read_to_string(it).unwrap())
    };
    assert_eq!(read("b/c").unwrap(), "text");
    for name in
        ["out", "up/outside", "../outside", "/etc/passwd", "b/../../outside", "pipe", "b", "", "."]
    {
        assert!(read(name).is_err(), "{name}");
    }
    drop(dir);
}

fn many(count: usize) -> (Vec<u8>, Bundle) {
    let text = "print('a line of code')\n".repeat(60);
    (0..count / 100)
        .fold(Archive::default(), |archive, folder| {
            let archive = archive.folder(&format!("{folder:03}/"));
            (0..100).fold(archive, |archive, file| {
                archive.file(&format!("{folder:03}/{file:02}.py"), &text)
            })
        })
        .finish()
}

#[test]
fn twenty_thousand_small_files_come_back() {
    let (zstd, bundle) = many(20_000);
    let (dir, unpacked) = try_unpack(&zstd, &bundle);
    let (job, snapshot) = (dir.path().join("job"), unpacked.unwrap());
    assert_eq!(fs::read_dir(job.join("199")).unwrap().count(), 100);
    assert!(outputs(&job, &snapshot, &[], ALL).files.is_empty());
    fs::write(job.join("123/45.py"), "changed").unwrap();
    assert_eq!(names(&outputs(&job, &snapshot, &[], ALL)), ["123/45.py"]);
}

/// Time and memory; run alone, in release: `cargo test --release -p atlas-node measure -- --ignored --nocapture`.
#[test]
#[ignore = "writes gigabytes; for measuring"]
fn measure_unpacking() {
    let peak = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        status.lines().find(|it| it.starts_with("VmHWM")).unwrap().to_owned()
    };
    let dir = tempfile::tempdir().unwrap();
    let five = ["a.py", "b.py", "c.py", "d.py", "e.py"];
    let (zstd, bundle) = five
        .iter()
        .fold(Archive::default(), |archive, name| archive.file(name, "print(1)"))
        .finish();
    let mut times: Vec<_> = (0..200)
        .map(|round| {
            let start = Instant::now();
            unpack(&*zstd, &bundle, &dir.path().join(round.to_string()), None).unwrap();
            start.elapsed()
        })
        .collect();
    times.sort();
    println!("5 files: median {:?}, slowest {:?}, {}", times[100], times[199], peak());

    let (zstd, bundle) = many(20_000);
    let before = peak();
    let start = Instant::now();
    let snapshot = unpack(&*zstd, &bundle, &dir.path().join("many"), None).unwrap();
    let took = start.elapsed();
    let start = Instant::now();
    outputs(&dir.path().join("many"), &snapshot, &[], ALL);
    println!(
        "20,000 files: {took:?}, looked through in {:?}, {before} before, {} after",
        start.elapsed(),
        peak()
    );

    let file = dir.path().join("large.tar.zst");
    let mut encoder = zstd::Encoder::new(fs::File::create(&file).unwrap(), 1).unwrap();
    let mut digest = Sha256::new();
    let size: u64 = 2 << 30;
    let mut write = |bytes: &[u8]| {
        digest.update(bytes);
        encoder.write_all(bytes).unwrap();
    };
    write(&header(b'0', b"large", b"", 0o644, size));
    let mut random = fs::File::open("/dev/urandom").unwrap();
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..size >> 20 {
        random.read_exact(&mut buffer).unwrap();
        write(&buffer);
    }
    write(&[0; 1024]);
    encoder.finish().unwrap();
    let bundle = Bundle {
        id: BundleId::from_sha256(digest.finalize().into()),
        tar_size: size + 1536,
        files: 1,
    };
    let start = Instant::now();
    unpack(fs::File::open(&file).unwrap(), &bundle, &dir.path().join("large"), None).unwrap();
    println!("2 GiB of noise: {:?}, {}", start.elapsed(), peak());
}
