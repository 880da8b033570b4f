//! Archives made by hand, most of them hostile, and jobs that do what jobs do.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// An archive in the making; its entries stand as they are given.
#[derive(Clone, Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u64,
}

impl Archive {
    fn file(self, name: &str, text: &str) -> Self {
        self.entry(b'0', name.as_bytes(), b"", 0o644, text.as_bytes())
    }

    fn folder(self, name: &str) -> Self {
        self.entry(b'5', name.as_bytes(), b"", 0o755, b"")
    }

    fn link(self, name: &str, target: &str) -> Self {
        self.entry(b'2', name.as_bytes(), target.as_bytes(), 0o644, b"")
    }

    fn entry(mut self, kind: u8, name: &[u8], target: &[u8], mode: u32, text: &[u8]) -> Self {
        if target.len() > 100 {
            self = self.raw(b'K', b"././@LongLink", b"", 0, &[target, b"\0"].concat());
        }
        if name.len() > 100 {
            self = self.raw(b'L', b"././@LongLink", b"", 0, &[name, b"\0"].concat());
        }
        self.entries += 1;
        self.raw(kind, name, target, mode, text)
    }

    fn raw(mut self, kind: u8, name: &[u8], target: &[u8], mode: u32, text: &[u8]) -> Self {
        self.bytes.extend(header(kind, name, target, mode, text.len() as u64));
        self.bytes.extend(text);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    /// Compressed, with what a job would say of it.
    fn finish(mut self) -> (Vec<u8>, Bundle) {
        self.bytes.resize((self.bytes.len() + 1024).next_multiple_of(10_240), 0);
        self.unfinished()
    }

    fn unfinished(self) -> (Vec<u8>, Bundle) {
        let id = BundleId::from_sha256(Sha256::digest(&self.bytes).into());
        let bundle = Bundle { id, tar_size: self.bytes.len() as u64, files: self.entries };
        (zstd::encode_all(&*self.bytes, 1).unwrap(), bundle)
    }
}

fn header(kind: u8, name: &[u8], target: &[u8], mode: u32, size: u64) -> [u8; 512] {
    let mut header = tar::Header::new_gnu();
    let field = |bytes: &[u8]| bytes.len().min(100);
    header.as_mut_bytes()[..field(name)].copy_from_slice(&name[..field(name)]);
    header.as_mut_bytes()[156] = kind;
    header.as_mut_bytes()[157..157 + field(target)].copy_from_slice(&target[..field(target)]);
    header.set_mode(mode);
    header.set_size(size);
    header.set_cksum();
    *header.as_bytes()
}

fn try_unpack(zstd: &[u8], bundle: &Bundle) -> (TempDir, Result<Snapshot, Error>) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("outside"), "untouched").unwrap();
    let unpacked = unpack(zstd, bundle, &dir.path().join("job"), None);
    (dir, unpacked)
}

/// Unpacks what is in order; the files are in `job/` of the directory.
fn unpacked(archive: Archive) -> (TempDir, Snapshot) {
    let (zstd, bundle) = archive.finish();
    let (dir, unpacked) = try_unpack(&zstd, &bundle);
    (dir, unpacked.unwrap())
}

/// After a refusal nothing is left and nothing outside was touched.
#[track_caller]
fn assert_nothing_left(dir: &TempDir) {
    let left: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, ["outside"]);
    assert_eq!(fs::read_to_string(dir.path().join("outside")).unwrap(), "untouched");
}

#[track_caller]
fn assert_refused(archive: Archive, expected: Refusal) {
    let (zstd, bundle) = archive.finish();
    assert_refused_as(&zstd, &bundle, expected);
}

#[track_caller]
fn assert_refused_as(zstd: &[u8], bundle: &Bundle, expected: Refusal) {
    let (dir, unpacked) = try_unpack(zstd, bundle);
    let error = unpacked.expect_err("hostile, and unpacked all the same");
    assert!(matches!(&error, Error::Refused { why, .. } if *why == expected), "{error:?}");
    assert!(error.is_of_the_bundle());
    assert_nothing_left(&dir);
}

#[test]
fn a_bundle_becomes_its_files() {
    let long = format!("d/{}", "n".repeat(150));
    let (dir, _) = unpacked(
        Archive::default()
            .file("a.py", "print(1)")
            .folder("d/")
            .entry(b'0', b"d/caf\xe9", b"", 0o644, b"bytes")
            .folder("d/e/")
            .file("d/e/deep", "deep")
            .file(&long, "long")
            .entry(b'2', b"data", "/mnt/".repeat(50).as_bytes(), 0o644, b"")
            .folder("empty/")
            .link("link", "d/e/deep")
            .entry(b'0', b"run.sh", b"", 0o755, b"#!/bin/sh"),
    );
    let job = dir.path().join("job");
    assert_eq!(fs::read_to_string(job.join("a.py")).unwrap(), "print(1)");
    assert_eq!(fs::read(job.join(path(b"d/caf\xe9"))).unwrap(), b"bytes");
    assert_eq!(fs::read_to_string(job.join(&long)).unwrap(), "long");
    assert_eq!(fs::read_to_string(job.join("link")).unwrap(), "deep");
    assert_eq!(
        fs::read_link(job.join("data")).unwrap().as_os_str().as_bytes(),
        "/mnt/".repeat(50).as_bytes()
    );
    assert!(job.join("empty").is_dir());
    let mode = |name: &str| fs::metadata(job.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("a.py"), mode("run.sh"), mode("d"), mode("")), (0o644, 0o755, 0o755, 0o755));
}

#[test]
fn what_python_packs_by_the_docs_is_unpacked() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/using/bundle-format.md");
    let page = fs::read_to_string(page).unwrap();
    let code = page.split_once("```python\n").unwrap().1.split_once("```").unwrap().0;
    let main = r#"
import sys, tempfile
folder = tempfile.mkdtemp()
open(folder + "/main.py", "w").write("print(1)")
os.mkdir(folder + "/sub")
open(folder + "/sub/" + "n" * 120, "w").write("x" * 1000)
os.symlink("/mnt", folder + "/out")
names = ["out", "main.py", "sub/", "sub/" + "n" * 120]
sys.stderr.write(write_bundle(folder, names, sys.stdout.buffer.write))
__import__("shutil").rmtree(folder)
"#;
    let output = Command::new("python3").arg("-c").arg(format!("{code}{main}")).output().unwrap();
    let id = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{id}");
    let bundle = Bundle { id: id.parse().unwrap(), tar_size: output.stdout.len() as u64, files: 4 };
    let (dir, unpacked) = try_unpack(&zstd::encode_all(&*output.stdout, 3).unwrap(), &bundle);
    unpacked.unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("job/main.py")).unwrap(), "print(1)");
    assert_eq!(
        fs::read_to_string(dir.path().join("job/sub").join("n".repeat(120))).unwrap(),
        "x".repeat(1000)
    );
    assert_eq!(fs::read_link(dir.path().join("job/out")).unwrap(), Path::new("/mnt"));
}

#[test]
fn names_that_lead_out_of_the_tree_are_refused() {
    for (name, why) in [
        ("/etc/cron.d/x", Refusal::Absolute),
        ("../outside", Refusal::Dots),
        ("a/../../outside", Refusal::Dots),
        ("a/..", Refusal::Dots),
        ("..", Refusal::Dots),
        ("./a", Refusal::Dots),
        ("a//b", Refusal::Dots),
        ("", Refusal::Name),
        ("a/", Refusal::Slash),
        ("missing/b", Refusal::NoFolder),
    ] {
        assert_refused(Archive::default().file(name, "x"), why);
        let link = if why == Refusal::Slash { name } else { name.trim_end_matches('/') };
        assert_refused(Archive::default().link(link, "x"), why);
    }
    assert_refused(Archive::default().folder("a"), Refusal::Slash);
    assert_refused(Archive::default().folder("/"), Refusal::Absolute);
    assert_refused(Archive::default().folder("../"), Refusal::Dots);
    assert_refused(
        Archive::default().file(&format!("/{}", "n".repeat(200)), "x"),
        Refusal::Absolute,
    );
    assert_refused(
        Archive::default().file(&format!("{}/../x", "n".repeat(200)), "x"),
        Refusal::Dots,
    );
}

#[test]
fn nothing_is_written_through_a_link() {
    let through = || Archive::default().link("way", "..");
    assert_refused(through().file("way/outside", "pwned"), Refusal::NoFolder);
    assert_refused(through().folder("way/"), Refusal::Twice);
    assert_refused(through().folder("way/").file("way/outside", "pwned"), Refusal::Twice);
    assert_refused(through().link("way/outside", "pwned"), Refusal::NoFolder);
    assert_refused(
        Archive::default().link("outside", "../outside").file("outside", "pwned"),
        Refusal::Order,
    );
    assert_refused(
        Archive::default().folder("a/").link("a/way", "../..").file("a/way/outside", "pwned"),
        Refusal::NoFolder,
    );
}

#[test]
fn other_kinds_of_entries_are_refused() {
    let of_kind = |kind: u8| Archive::default().entry(kind, b"a", b"outside", 0o644, b"");
    assert_refused(of_kind(b'1'), Refusal::HardLink);
    assert_refused(
        Archive::default().entry(b'1', b"a", b"/etc/shadow", 0o644, b""),
        Refusal::HardLink,
    );
    for device in *b"346" {
        assert_refused(of_kind(device), Refusal::Device);
    }
    for unknown in *b"7xgSDMNVAZ" {
        assert_refused(of_kind(unknown), Refusal::Kind);
    }
    assert_refused(of_kind(b'x').file("b", "x"), Refusal::Kind);
}

#[test]
fn names_out_of_order_or_twice_are_refused() {
    assert_refused(Archive::default().file("a", "1").file("a", "2"), Refusal::Order);
    assert_refused(Archive::default().file("b", "1").file("a", "2"), Refusal::Order);
    assert_refused(Archive::default().folder("a/").folder("a/"), Refusal::Order);
    assert_refused(Archive::default().link("a", "x").link("a", "y"), Refusal::Order);
    assert_refused(Archive::default().file("a", "1").folder("a/"), Refusal::Twice);
    assert_refused(Archive::default().folder("a/").file("a/x", "").file("a", "1"), Refusal::Order);
}

#[test]
fn more_than_declared_is_refused() {
    let (zstd, bundle) = Archive::default().file("a", "1").file("b", "2").finish();
    assert_refused_as(&zstd, &Bundle { files: 1, ..bundle }, Refusal::TooManyEntries);
    assert_refused_as(
        &zstd,
        &Bundle { tar_size: bundle.tar_size - 1, ..bundle },
        Refusal::TooManyBytes,
    );

    let mut bomb = Archive::default();
    bomb.bytes.extend(header(b'0', b"zeros", b"", 0o644, 1 << 30));
    bomb.bytes.resize(64 << 20, 0);
    let (zstd, bundle) = bomb.unfinished();
    assert!(zstd.len() < 10_000);
    assert_refused_as(
        &zstd,
        &Bundle { tar_size: 1 << 20, files: 1, ..bundle },
        Refusal::TooManyBytes,
    );
}

#[test]
fn sizes_that_are_not_there_are_refused() {
    for size in [1, 512 << 10, u64::from(u32::MAX), u64::MAX / 2] {
        let mut archive = Archive { entries: 1, ..Archive::default() };
        archive.bytes.extend(header(b'0', b"a", b"", 0o644, size));
        let (zstd, bundle) = archive.unfinished();
        assert_refused_as(&zstd, &bundle, Refusal::Truncated);
    }
    let folder = Archive::default().entry(b'5', b"a/", b"", 0o755, b"text");
    assert_refused(folder, Refusal::Header);
    let link = Archive::default().entry(b'2', b"a", b"b", 0o644, b"text");
    assert_refused(link, Refusal::Header);
}

#[test]
fn names_too_long_and_folders_too_deep_are_refused() {
    assert_refused(Archive::default().file(&"n".repeat(256), ""), Refusal::Name);
    assert_refused(Archive::default().file(&"n/".repeat(2048), ""), Refusal::Name);
    assert_refused(
        Archive::default().raw(b'L', b"././@LongLink", b"", 0, &vec![b'n'; 100 << 20]),
        Refusal::Name,
    );
    assert_refused(
        Archive::default().raw(b'L', b"././@LongLink", b"", 0, b"no zero at the end"),
        Refusal::Name,
    );
    assert_refused(
        Archive::default().raw(b'L', b"././@LongLink", b"", 0, b"a\0b\0").file("a", ""),
        Refusal::Name,
    );
    assert_refused(Archive::default().link("a", ""), Refusal::Name);
    let twice = Archive::default().raw(b'L', b"././@LongLink", b"", 0, b"a\0").raw(
        b'L',
        b"././@LongLink",
        b"",
        0,
        b"b\0",
    );
    assert_refused(twice.file("a", ""), Refusal::Kind);
    let deep =
        (1..=129).fold(Archive::default(), |archive, depth| archive.folder(&"d/".repeat(depth)));
    assert_refused(deep, Refusal::TooDeep);
}

#[test]
fn what_is_no_archive_is_refused() {
    assert_refused(Archive { bytes: vec![7; 512], entries: 0 }, Refusal::Header);
    let mut damaged = Archive::default().file("a", "x");
    damaged.bytes[0] = b'b';
    assert_refused(damaged, Refusal::Header);
    let mut ustar = Archive::default().file("a", "x");
    ustar.bytes[257..265].copy_from_slice(b"ustar\x0000");
    assert_refused(ustar, Refusal::Header);

    let mut trailing = Archive::default().file("a", "x");
    trailing.bytes.resize(trailing.bytes.len() + 1024, 0);
    trailing.bytes.extend(header(b'0', b"b", b"", 0o644, 0));
    assert_refused(trailing, Refusal::Trailing);
    let (zstd, bundle) = Archive::default().file("a", "x").unfinished();
    assert_refused_as(&zstd, &bundle, Refusal::Truncated);
    let (zstd, bundle) = Archive::default().unfinished();
    assert_refused_as(&zstd, &bundle, Refusal::Truncated);
}

#[test]
fn a_damaged_file_is_not_the_fault_of_the_bundle() {
    let (zstd, bundle) = Archive::default().file("a", "text").finish();
    let (_, other) = Archive::default().file("a", "other").finish();
    let (noise, half) = (vec![7; 100], &zstd[..zstd.len() - 5]);
    for (bytes, expected) in
        [(&zstd[..], &other), (&noise, &bundle), (half, &bundle), (b"", &bundle)]
    {
        let (dir, unpacked) = try_unpack(bytes, expected);
        let error = unpacked.unwrap_err();
        if !bytes.is_empty() {
            assert!(!error.is_of_the_bundle(), "{error:?}");
        }
        assert_nothing_left(&dir);
    }
}

#[test]
fn windows_over_eight_mebibytes_are_refused() {
    let (_, bundle) = Archive::default().file("a", "x").finish();
    let tar = zstd::decode_all(&*Archive::default().file("a", "x").finish().0).unwrap();
    for (log, fits) in [(23, true), (24, false)] {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(log).unwrap();
        encoder.write_all(&tar).unwrap();
        let (dir, unpacked) = try_unpack(&encoder.finish().unwrap(), &bundle);
        assert_eq!(unpacked.is_ok(), fits, "2^{log}");
        if !fits {
            assert_nothing_left(&dir);
        }
    }
}

#[test]
fn bits_that_give_rights_are_dropped() {
    let (dir, _) = unpacked(
        Archive::default()
            .entry(b'0', b"su", b"", 0o6777, b"")
            .entry(b'5', b"sub/", b"", 0o7777, b""),
    );
    let mode = |name: &str| {
        fs::metadata(dir.path().join("job").join(name)).unwrap().permissions().mode() & 0o7777
    };
    assert_eq!((mode("su"), mode("sub")), (0o755, 0o755));
}

#[test]
fn a_directory_that_is_there_is_left_alone() {
    let (zstd, bundle) = Archive::default().file("a", "x").finish();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("mine"), "").unwrap();
    assert!(matches!(unpack(&*zstd, &bundle, dir.path(), None), Err(Error::Write { .. })));
    assert!(dir.path().join("mine").exists());
}

#[test]
fn files_belong_to_whom_they_should() {
    let (zstd, bundle) = Archive::default().file("a", "x").folder("b/").link("l", "/").finish();
    let dir = tempfile::tempdir().unwrap();
    let job = dir.path().join("job");
    // Root can give files away; anybody else only to himself.
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    let owner = if uid.is_root() {
        Owner { uid: 4321, gid: 1234 }
    } else {
        Owner { uid: uid.as_raw(), gid: gid.as_raw() }
    };
    unpack(&*zstd, &bundle, &job, Some(owner)).unwrap();
    for name in ["", "a", "b", "l"] {
        let file = fs::symlink_metadata(job.join(name)).unwrap();
        assert_eq!((file.uid(), file.gid()), (owner.uid, owner.gid), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Bytes changed anywhere, headers given a right sum again: never a panic, nothing outside, nothing left after an error.
    #[test]
    fn whatever_is_in_an_archive_stays_in_its_directory(
        changes in prop::collection::vec((0usize..5_120, any::<u8>()), 1..6),
        texts in prop::collection::vec((0usize..10, 0usize..2, "(\\.\\./|/|\\./)?(way|d|outside|\\.\\.)?(/outside|/way|/)?"), 0..3),
    ) {
        let mut archive = Archive::default()
            .folder("d/").file("d/a", "x").link("d/way", "../..").file("e", "y").link("way", "..").folder("z/").file("z/outside", "z");
        for (at, byte) in changes {
            if let Some(it) = archive.bytes.get_mut(at) {
                *it = byte;
            }
        }
        for (block, field, text) in texts {
            let at = block * 512 + field * 157;
            if let Some(it) = archive.bytes.get_mut(at..at + 100) {
                it.fill(0);
                it[..text.len()].copy_from_slice(text.as_bytes());
            }
        }
        for block in archive.bytes.chunks_mut(512).filter(|it| it[0] != 0 && it[257..262] == *b"ustar") {
            let mut header = tar::Header::new_gnu();
            header.as_mut_bytes().copy_from_slice(block);
            header.set_cksum();
            block.copy_from_slice(header.as_bytes());
        }
        let (zstd, bundle) = archive.finish();
        let (dir, unpacked) = try_unpack(&zstd, &bundle);
        match unpacked {
            Err(_) => assert_nothing_left(&dir),
            Ok(_) => {
                prop_assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
                prop_assert_eq!(fs::read_to_string(dir.path().join("outside")).unwrap(), "untouched");
            }
        }
    }
}

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
    let found = outputs(&job, &snapshot, &["*.tmp", "!keep.tmp", "/runs/1/"], ALL);
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
