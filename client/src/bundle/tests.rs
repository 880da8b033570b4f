//! What goes along, what it is called, and that Python calls it the same.

mod chosen;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// A directory of files, written as `path: text`; a path that ends in a slash is a folder, `path -> target` a link.
fn directory(files: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for line in files {
        let (path, text) = line.split_once(": ").unwrap_or((line, ""));
        if let Some((link, target)) = line.split_once(" -> ") {
            symlink(target, dir.path().join(link)).unwrap();
        } else if path.ends_with('/') {
            fs::create_dir_all(dir.path().join(path)).unwrap();
        } else {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text.replace('|', "\n")).unwrap();
        }
    }
    dir
}

fn render(tree: &Tree) -> String {
    let mut out = String::new();
    for entry in tree.entries() {
        out += &format!("{}\n", String::from_utf8_lossy(&entry.name));
    }
    for it in tree.excluded() {
        out += &format!(
            "- {}{} by {}\n",
            it.path.display(),
            if it.folder { "/" } else { "" },
            it.rule
        );
    }
    for notice in tree.notices() {
        out += &format!("! {notice}\n");
    }
    out
}

#[track_caller]
fn check(files: &[&str], rules: Rules, expected: &Expect) {
    let dir = directory(files);
    expected.assert_eq(&render(&collect(dir.path(), rules).unwrap()));
}

fn packed(dir: &Path) -> (Packed, Vec<u8>) {
    let mut out = Vec::new();
    let packed = pack(&collect(dir, Rules::SendAll).unwrap(), &mut out, |_| {}).unwrap();
    (packed, out)
}

/// What the `tar` crate reads from a bundle: name → text, `-> target` or `/`.
fn read_back(bundle: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut archive = ::tar::Archive::new(zstd::Decoder::new(bundle).unwrap());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut text = Vec::new();
        match entry.header().entry_type() {
            ::tar::EntryType::Directory => text.push(b'/'),
            ::tar::EntryType::Symlink => {
                text = [b"-> ", &*entry.link_name_bytes().unwrap()].concat();
            }
            kind => {
                assert_eq!(kind, ::tar::EntryType::Regular);
                entry.read_to_end(&mut text).unwrap();
            }
        }
        (entry.path_bytes().into_owned(), text)
    });
    entries.collect()
}

#[test]
fn the_same_tree_has_the_same_name_whenever_and_by_whomever_it_was_made() {
    let files = [
        "main.py: print(1)",
        "a/b/c.txt: text",
        "a-b: between",
        "run.sh: true",
        "empty/",
        "link -> a/b/c.txt",
    ];
    let (one, two) = (directory(&files), directory(&files));
    for dir in [&one, &two] {
        fs::set_permissions(dir.path().join("run.sh"), fs::Permissions::from_mode(0o700)).unwrap();
    }
    fs::set_permissions(two.path().join("a/b"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(two.path().join("main.py"), fs::Permissions::from_mode(0o600)).unwrap();
    let past = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::open(two.path().join("main.py")).unwrap().set_modified(past).unwrap();

    let ((one, first), (two, second)) = (packed(one.path()), packed(two.path()));
    assert_eq!(one, two);
    assert_eq!(first, second);
    // The name of this tree for ever: a change here makes every stored bundle a stranger.
    assert_eq!(one.bundle.id.to_string(), GOLDEN);
    assert_eq!((one.bundle.tar_size, one.bundle.files), (10_240, 8));
    assert_eq!(one.size, first.len() as u64);
}

const GOLDEN: &str = "07f363b87a2be0116ed5c5306b7c09d0e85300f3e7e84aeb407d281279ef1efd";

#[test]
fn a_bundle_needs_a_window_of_two_mebibytes_and_can_be_named_without_packing() {
    let dir = tempfile::tempdir().unwrap();
    let noise: Vec<u8> =
        (0..1_000_000_u32).flat_map(|it| it.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    fs::write(dir.path().join("noise"), &noise).unwrap();
    let tree = collect(dir.path(), Rules::Ignore).unwrap();
    let mut last = 0;
    let (mut file, packed) = pack_to_temp(&tree, |done| {
        assert!(done >= last);
        last = done;
    })
    .unwrap();
    assert!(last <= tree.tar_size());
    assert_eq!(packed.bundle.tar_size, tree.tar_size());
    assert_eq!(identify(&tree, |_| {}).unwrap(), packed.bundle);

    let mut bundle = Vec::new();
    file.read_to_end(&mut bundle).unwrap();
    assert_eq!(packed.size, bundle.len() as u64);
    let mut decoder = zstd::Decoder::new(&*bundle).unwrap();
    decoder.window_log_max(21).unwrap();
    assert_eq!(decoder.read_to_end(&mut Vec::new()).unwrap() as u64, tree.tar_size());
}

#[test]
fn names_are_bytes_and_may_be_long() {
    let dir = tempfile::tempdir().unwrap();
    let odd = OsStr::from_bytes(b"caf\xe9 \xff\n.txt");
    let long = format!("{}/{}/{}", "d".repeat(200), "e".repeat(255), "f".repeat(100));
    fs::write(dir.path().join(odd), "odd").unwrap();
    fs::create_dir_all(dir.path().join(&long).parent().unwrap()).unwrap();
    fs::write(dir.path().join(&long), "long").unwrap();
    for length in [99, 100, 101, 102] {
        fs::write(dir.path().join("n".repeat(length)), "edge").unwrap();
        symlink("t".repeat(length), dir.path().join(format!("link-{length}"))).unwrap();
    }
    symlink(OsStr::from_bytes(b"\xfe\xff"), dir.path().join("odd-link")).unwrap();

    let (_, bundle) = packed(dir.path());
    let files = read_back(&bundle);
    assert_eq!(files[odd.as_bytes()], b"odd");
    assert_eq!(files[long.as_bytes()], b"long");
    assert_eq!(files[&b"odd-link"[..]], b"-> \xfe\xff");
    for length in [99, 100, 101, 102] {
        assert_eq!(files["n".repeat(length).as_bytes()], b"edge");
        assert_eq!(
            files[format!("link-{length}").as_bytes()],
            format!("-> {}", "t".repeat(length)).as_bytes()
        );
    }
}

#[test]
fn a_file_that_changes_between_the_look_and_the_packing_is_refused() {
    type Change = fn(&Path);
    let changes: [Change; 4] = [
        |path| fs::write(path, "longer than before").unwrap(),
        |path| fs::write(path, "").unwrap(),
        |path| fs::remove_file(path).unwrap(),
        |path| {
            fs::remove_file(path).unwrap();
            symlink("/etc/passwd", path).unwrap();
        },
    ];
    for change in changes {
        let dir = directory(&["main.py: before"]);
        let tree = collect(dir.path(), Rules::Ignore).unwrap();
        change(&dir.path().join("main.py"));
        let error = pack(&tree, Vec::new(), |_| {}).unwrap_err();
        assert!(matches!(&error, Error::Changed { path } if path.ends_with("main.py")), "{error}");
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let dir = directory(&["sub/file: text"]);
    let tree = collect(dir.path(), Rules::Ignore).unwrap();
    fs::remove_file(dir.path().join("sub/file")).unwrap();
    fs::create_dir(dir.path().join("sub/file")).unwrap();
    let error = pack(&tree, Vec::new(), |_| {}).unwrap_err();
    assert!(matches!(&error, Error::Read { path, .. } if path.ends_with("sub/file")), "{error}");

    let missing = collect(&dir.path().join("nowhere"), Rules::Ignore).unwrap_err();
    assert!(missing.to_string().ends_with("/nowhere"), "{missing}");
    fs::write(dir.path().join("file"), "").unwrap();
    let file = collect(&dir.path().join("file"), Rules::Ignore).unwrap_err();
    assert!(matches!(file, Error::NotADirectory { .. }), "{file}");
}

#[test]
fn folders_too_deep_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("d/".repeat(128))).unwrap();
    assert_eq!(collect(dir.path(), Rules::Ignore).unwrap().entries().len(), 128);
    fs::create_dir(dir.path().join("d/".repeat(129))).unwrap();
    assert!(matches!(collect(dir.path(), Rules::Ignore).unwrap_err(), Error::TooDeep { .. }));
}

#[test]
fn twenty_thousand_small_files_are_one_bundle() {
    let dir = tempfile::tempdir().unwrap();
    for folder in 0..200 {
        let folder = dir.path().join(format!("{folder:03}"));
        fs::create_dir(&folder).unwrap();
        for file in 0..100 {
            fs::write(folder.join(format!("{file}.txt")), format!("{file}")).unwrap();
        }
    }
    let (packed, bundle) = packed(dir.path());
    assert_eq!(packed.bundle.files, 20_200);
    assert_eq!(read_back(&bundle).len(), 20_200);
}

/// The text between the fences in the page that describes the format.
fn python_of_the_docs() -> String {
    let page = fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/using/bundle-format.md"),
    )
    .unwrap();
    let (_, code) = page.split_once("```python\n").unwrap();
    code.split_once("```").unwrap().0.to_owned()
}

#[test]
fn python_writes_the_same_bytes() {
    let dir = directory(&[
        "main.py: print(1)",
        "a/b/c.txt: text",
        "a-b: -",
        "a.b: .",
        "run.sh: x",
        "empty/",
        "ümlaut: ü",
        "out -> /mnt/x",
    ]);
    fs::set_permissions(dir.path().join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(dir.path().join(OsStr::from_bytes(b"\xff\xfe")), vec![7; 20_000]).unwrap();
    fs::write(dir.path().join("block"), vec![7; 512]).unwrap();
    for length in [99, 100, 101, 240] {
        fs::write(dir.path().join("n".repeat(length)), "").unwrap();
        symlink("t".repeat(length), dir.path().join("l".repeat(length))).unwrap();
        fs::create_dir(dir.path().join("f".repeat(length))).unwrap();
    }
    let main = r#"
import gzip, io, sys
folder, names = sys.argv[1], []
for top, folders, files in os.walk(folder):
    for name in folders + files:
        path = os.path.join(top, name)
        is_folder = os.path.isdir(path) and not os.path.islink(path)
        names.append(os.path.relpath(path, folder) + "/" * is_folder)
with gzip.GzipFile(fileobj=io.BytesIO(), mode="wb") as out:
    zipped = write_bundle(folder, names, out.write)
assert zipped == write_bundle(folder, names, io.BytesIO().write)
print(zipped)
"#;
    let output = Command::new("python3")
        .arg("-c")
        .arg(python_of_the_docs() + main)
        .arg(dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap().trim(),
        packed(dir.path()).0.bundle.id.to_string()
    );
}

#[test]
fn headers_of_huge_files_are_those_of_python() {
    let sizes = [0, 0o77_777_777_777, 1 << 33, 5_000_000_000_000];
    let main = "
import sys
for size in map(int, sys.argv[1:]):
    print(header(b'0', b'weights.bin', 0o644, size).hex())
";
    let sizes_as_text = sizes.map(|it: u64| it.to_string());
    let output = Command::new("python3")
        .arg("-c")
        .arg(python_of_the_docs() + main)
        .args(sizes_as_text)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let ours: String = sizes
        .iter()
        .map(|size| {
            let mut header = Vec::new();
            let kind = Kind::File { size: *size, executable: false };
            super::tar::write_header(
                &Entry { name: b"weights.bin".as_slice().into(), kind },
                &mut header,
            );
            header.iter().map(|it| format!("{it:02x}")).collect::<String>() + "\n"
        })
        .collect();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), ours);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Any tree comes back as it was, in order, and as long as foretold.
    #[test]
    fn any_tree_comes_back_as_it_was(
        files in prop::collection::btree_map("[a-c.é-]{1,3}(/[a-z]{1,120}){0,3}", prop::collection::vec(any::<u8>(), 0..1500), 0..12),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut written = BTreeMap::new();
        for (path, text) in &files {
            let full = dir.path().join(path);
            let dots = path.split('/').any(|it| matches!(it, "." | ".."));
            // A path below a file cannot be made either.
            if !dots && fs::create_dir_all(full.parent().unwrap()).is_ok() && fs::write(&full, text).is_ok() {
                written.insert(path.as_bytes().to_vec(), text.clone());
            }
        }
        let tree = collect(dir.path(), Rules::SendAll).unwrap();
        prop_assert!(tree.entries().is_sorted_by(|a, b| a.name < b.name));
        let mut bundle = Vec::new();
        let packed = pack(&tree, &mut bundle, |_| {}).unwrap();
        prop_assert_eq!(packed.bundle.tar_size, tree.tar_size());
        let back: BTreeMap<_, _> = read_back(&bundle).into_iter().filter(|(name, _)| !name.ends_with(b"/")).collect();
        prop_assert_eq!(back, written);
    }
}

/// Time and memory of large trees; run alone, in release: `cargo test --release -p atlas-cli measure -- --ignored --nocapture`.
#[test]
#[ignore = "writes gigabytes; for measuring"]
fn measure_large_trees() {
    let report = |what: &str, dir: &Path| {
        let start = std::time::Instant::now();
        let tree = collect(dir, Rules::Ignore).unwrap();
        let collected = start.elapsed();
        let start = std::time::Instant::now();
        identify(&tree, |_| {}).unwrap();
        let identified = start.elapsed();
        let start = std::time::Instant::now();
        let (_, packed) = pack_to_temp(&tree, |_| {}).unwrap();
        let peak = fs::read_to_string("/proc/self/status").unwrap();
        let peak = peak.lines().find(|it| it.starts_with("VmHWM")).unwrap().to_owned();
        println!(
            "{what}: collect {collected:?}, identify {identified:?}, pack {:?}, {packed:?}, {peak}",
            start.elapsed()
        );
    };
    let dir = tempfile::tempdir().unwrap();
    for index in 0..20_000 {
        let folder = dir.path().join(format!("{:03}", index / 100));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{index}.py")), format!("print({index})\n").repeat(100))
            .unwrap();
    }
    report("20,000 files of 1.5 kB", dir.path());

    let dir = tempfile::tempdir().unwrap();
    fs::File::create(dir.path().join("sparse")).unwrap().set_len(2 << 30).unwrap();
    report("2 GiB of nothing", dir.path());

    let dir = tempfile::tempdir().unwrap();
    let mut random = fs::File::open("/dev/urandom").unwrap().take(2 << 30);
    std::io::copy(&mut random, &mut fs::File::create(dir.path().join("dense")).unwrap()).unwrap();
    report("2 GiB of noise", dir.path());
}
