//! Archives made by hand, most of them hostile, and jobs that do what jobs do.

mod changed;
mod hostile;

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
