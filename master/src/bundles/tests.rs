//! Uploads of friends and others, and the day after.

use std::io::Write;
use std::sync::Arc;
use std::thread;

use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;

const MIB: u64 = 1 << 20;

/// A bundle with one file.
fn tar(text: &[u8]) -> Vec<u8> {
    archive(&[(b'0', "file", text)])
}

fn archive(entries: &[(u8, &str, &[u8])]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (kind, name, text) in entries {
        tar.extend(header(*kind, name, text.len() as u64));
        tar.extend_from_slice(text);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize((tar.len() + 1024).next_multiple_of(10_240), 0);
    tar
}

fn header(kind: u8, name: &str, size: u64) -> [u8; 512] {
    let mut header = ::tar::Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.as_mut_bytes()[156] = kind;
    header.set_size(size);
    header.set_cksum();
    *header.as_bytes()
}

fn id(tar: &[u8]) -> BundleId {
    BundleId::from_sha256(Sha256::digest(tar).into())
}

fn zstd_of(tar: &[u8]) -> Vec<u8> {
    zstd::encode_all(tar, 3).unwrap()
}

fn gzip_of(tar: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(tar).unwrap();
    encoder.finish().unwrap()
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u8::try_from(state & 0xff).unwrap()
    };
    (0..bytes).map(|_| next()).collect()
}

fn store() -> (TempDir, Bundles) {
    let dir = tempfile::tempdir().unwrap();
    let bundles = Bundles::open(dir.path(), MIB).unwrap();
    (dir, bundles)
}

/// Sends all of it, in chunks.
fn send(bundles: &Bundles, id: BundleId, token: &str, file: &[u8]) -> Result<u64, Error> {
    let start = bundles.offset(id, token)?;
    let rest = &file[usize::try_from(start).unwrap()..];
    rest.chunks(1000).try_fold(start, |offset, chunk| bundles.write(id, token, offset, chunk))?;
    bundles.finish(id, token)
}

fn content(bundles: &Bundles, id: BundleId) -> Vec<u8> {
    let mut tar = Vec::new();
    bundles.read_tar(id).unwrap().read_to_end(&mut tar).unwrap();
    tar
}

fn incoming(bundles: &Bundles) -> usize {
    list(&bundles.incoming).unwrap().len()
}

/// Refused, and nothing is left of it.
#[track_caller]
fn refusal(tar: &[u8], file: &[u8]) -> Error {
    let (_dir, bundles) = store();
    let error = send(&bundles, id(tar), "t", file).unwrap_err();
    assert!(error.is_clients_fault(), "{error:?}");
    assert_eq!(bundles.known(id(tar)).unwrap(), None);
    assert_eq!(incoming(&bundles), 0);
    error
}

#[test]
fn gzip_and_zstd_are_one_bundle_and_stored_as_zstd() {
    let tar = tar(&noise(20_000));
    for file in [zstd_of(&tar), gzip_of(&tar)] {
        let (dir, bundles) = store();
        assert_eq!(bundles.known(id(&tar)).unwrap(), None);
        let size = send(&bundles, id(&tar), "t", &file).unwrap();
        let measure = Measure { tar_bytes: tar.len() as u64, files: 1 };
        assert_eq!(bundles.known(id(&tar)).unwrap(), Some(Known { bytes: size, measure }));
        assert_eq!(content(&bundles, id(&tar)), tar);

        let name = id(&tar).to_string();
        let path = dir.path().join("bundles").join(&name[..2]).join(format!("{name}.tar.zst"));
        let stored = fs::read(path).unwrap();
        assert_eq!(stored.len() as u64, size);
        assert_eq!(zstd::decode_all(&*stored).unwrap(), tar);
        assert_eq!(incoming(&bundles), 0);
        let (mut file, sent) = bundles.open_file(id(&tar)).unwrap();
        let mut same = Vec::new();
        file.read_to_end(&mut same).unwrap();
        assert_eq!(same, stored);
        assert_eq!(zstd::decode_all(&stored[..usize::try_from(sent).unwrap()]).unwrap(), tar);
        assert_eq!(size - sent, 24, "the frame with its measure is the master's own");
    }
}

#[test]
fn an_upload_goes_on_where_it_stopped() {
    let (dir, bundles) = store();
    let tar = tar(&noise(5_000));
    let (id, file) = (id(&tar), zstd_of(&tar));
    assert_eq!(bundles.offset(id, "t").unwrap(), 0);
    assert_eq!(bundles.write(id, "t", 0, &file[..1000]).unwrap(), 1000);
    assert!(matches!(
        bundles.write(id, "t", 500, b"x"),
        Err(Error::Offset { expected: 1000, got: 500 })
    ));
    assert!(matches!(
        bundles.write(id, "t", 2000, b"x"),
        Err(Error::Offset { expected: 1000, got: 2000 })
    ));

    let bundles = Bundles::open(dir.path(), MIB).unwrap();
    assert_eq!(bundles.offset(id, "t").unwrap(), 1000);
    assert_eq!(bundles.offset(id, "other").unwrap(), 0);
    send(&bundles, id, "t", &file).unwrap();
    assert_eq!(content(&bundles, id), tar);
    // The other one finds it done.
    let stored = bundles.known(id).unwrap().unwrap().bytes;
    assert_eq!(bundles.finish(id, "other").unwrap(), stored);
    assert_eq!(incoming(&bundles), 0);
    assert!(matches!(bundles.write(id, "t", 0, b"x"), Err(Error::NoUpload { .. })));
}

#[test]
fn many_clients_send_the_same_bundle_at_once() {
    let (_dir, bundles) = store();
    let bundles = Arc::new(bundles);
    let tar = tar(&noise(100_000));
    let (id, files) = (id(&tar), [zstd_of(&tar), gzip_of(&tar)]);
    thread::scope(|scope| {
        for client in 0..8 {
            let (bundles, file) = (bundles.clone(), &files[client % 2]);
            scope.spawn(move || send(&bundles, id, &format!("client-{client}"), file).unwrap());
        }
    });
    assert_eq!(content(&bundles, id), tar);
    assert_eq!(incoming(&bundles), 0);
}

#[test]
fn one_upload_from_two_streams_is_whole_or_refused() {
    let (_dir, bundles) = store();
    let bundles = Arc::new(bundles);
    let (good, bad) = (tar(&noise(50_000)), tar(&noise(49_999)));
    let (id, good, bad) = (id(&good), zstd_of(&good), zstd_of(&bad));
    thread::scope(|scope| {
        for client in 0..6 {
            let (bundles, file) = (bundles.clone(), if client % 2 == 0 { &good } else { &bad });
            // Each fails or not as it happens; what counts is what is stored.
            scope.spawn(move || {
                for _ in 0..20 {
                    let _ =
                        bundles.offset(id, "same").and_then(|_| send(&bundles, id, "same", file));
                }
            });
        }
    });
    send(&bundles, id, "last", &good).unwrap();
    assert_eq!(BundleId::from_sha256(Sha256::digest(content(&bundles, id)).into()), id);
}

#[test]
fn what_is_not_what_it_is_called_is_removed() {
    let (one, other) = (tar(b"one"), tar(b"other"));
    for file in [zstd_of(&other), gzip_of(&other)] {
        let error = refusal(&one, &file);
        assert!(
            matches!(error, Error::Mismatch { expected, found } if expected == id(&one) && found == id(&other))
        );
    }
}

#[test]
fn what_cannot_be_decompressed_is_removed() {
    let tar = tar(&noise(5_000));
    let (zstd, gzip) = (zstd_of(&tar), gzip_of(&tar));
    for (file, magic) in [
        (b"".to_vec(), false),
        (b"x".to_vec(), false),
        (tar.clone(), false),
        (zstd[..zstd.len() - 3].to_vec(), true),
        (gzip[..gzip.len() - 3].to_vec(), true),
        ([&gzip[..], b"garbage"].concat(), true),
        ([&zstd[..], b"garbage"].concat(), true),
    ] {
        let error = refusal(&tar, &file);
        assert!(matches!(error, Error::Decompress(_)) == magic, "{error:?}");
    }
}

#[test]
fn windows_over_eight_mebibytes_are_refused() {
    let tar = tar(b"text");
    for (log, fits) in [(23, true), (24, false)] {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(log).unwrap();
        encoder.write_all(&tar).unwrap();
        let file = encoder.finish().unwrap();
        let (_dir, bundles) = store();
        assert_eq!(send(&bundles, id(&tar), "t", &file).is_ok(), fits, "2^{log}");
    }
}

#[test]
fn what_is_too_large_is_refused_before_while_and_after_it_is_sent() {
    let (_dir, bundles) = store();
    bundles.admit(MIB).unwrap();
    assert!(matches!(bundles.admit(MIB + 1), Err(Error::TooLarge { limit: MIB })));

    let tar = tar(b"");
    let large = noise(MIB as usize + 1);
    assert!(matches!(refusal(&tar, &large), Error::TooLarge { .. }));

    let zeros = vec![0; 30 * MIB as usize];
    let bomb = zstd_of(&archive(&[(b'0', "zeros", &zeros)]));
    assert!(bomb.len() < 5_000);
    assert!(matches!(refusal(&tar, &bomb), Error::TooLargeUnpacked { .. }));
    let frames = zstd_of(&zeros[..1 << 16]).repeat(400);
    assert!(matches!(
        refusal(&tar, &frames),
        Error::TooLargeUnpacked { .. } | Error::NotABundle(_)
    ));
}

#[test]
fn archives_of_another_kind_are_refused() {
    let file = |kind: u8| archive(&[(kind, "name", b"")]);
    let mut trailing = archive(&[]);
    trailing.extend(header(b'0', "behind", 0));
    let long = archive(&[(b'L', "././@LongLink", &[b'n'; 5_000])]);
    let mut damaged = tar(b"x");
    damaged[0] = b'n';
    let mut huge = header(b'0', "huge", u64::MAX / 2).to_vec();
    huge.resize(10_240, 0);
    let pax = archive(&[(b'x', "pax", b"12 path=abc\n"), (b'0', "abc", b"")]);
    for bad in [
        file(b'1'),
        file(b'3'),
        file(b'6'),
        file(b'S'),
        trailing,
        long,
        damaged,
        huge,
        pax,
        b"".to_vec(),
        b"text".repeat(999),
    ] {
        let error = refusal(&bad, &zstd_of(&bad));
        assert!(matches!(error, Error::NotABundle(_)), "{error:?}");
    }
    let good = archive(&[
        (b'5', "a/", b""),
        (b'L', "././@LongLink", &[b'n'; 200]),
        (b'0', "n", b"text"),
        (b'2', "z", b""),
    ]);
    let (_dir, bundles) = store();
    send(&bundles, id(&good), "t", &zstd_of(&good)).unwrap();
}

#[test]
fn names_of_uploads_stay_in_their_folder() {
    let (dir, bundles) = store();
    let id = id(b"");
    for token in ["", "../../x", "a/b", ".", "a.b", "a\0b", "ü", &"t".repeat(65)] {
        assert!(matches!(bundles.offset(id, token), Err(Error::Token)), "{token:?}");
        assert!(matches!(bundles.write(id, token, 0, b"x"), Err(Error::Token)), "{token:?}");
        assert!(matches!(bundles.finish(id, token), Err(Error::Token)), "{token:?}");
    }
    assert!(matches!(bundles.write(id, "never-begun", 0, b"x"), Err(Error::NoUpload { .. })));
    assert!(matches!(bundles.finish(id, "never-begun"), Err(Error::NoUpload { .. })));
    let outside = dir.path().join("outside");
    fs::write(&outside, "").unwrap();
    std::os::unix::fs::symlink(&outside, bundles.incoming.join(format!("{id}-linked.part")))
        .unwrap();
    bundles.write(id, "linked", 0, b"pwned").unwrap_err();
    assert!(fs::read(&outside).unwrap().is_empty());
}

#[test]
fn only_so_many_uploads_are_under_way() {
    let (_dir, bundles) = store();
    for index in 0..1_000 {
        bundles.offset(id(b""), &index.to_string()).unwrap();
    }
    let error = bundles.offset(id(b""), "one-more").unwrap_err();
    assert!(matches!(error, Error::TooManyUploads { most: 1_000 }) && !error.is_clients_fault());
    assert_eq!(bundles.offset(id(b""), "7").unwrap(), 0);
    bundles.collect(|_| true, SystemTime::now() + STALE).unwrap();
    assert_eq!(bundles.offset(id(b""), "one-more").unwrap(), 0);
}

#[test]
fn a_bundle_goes_a_day_after_its_last_reference() {
    let (dir, bundles) = store();
    let tar = tar(b"text");
    let (id, start) = (id(&tar), SystemTime::now());
    send(&bundles, id, "t", &zstd_of(&tar)).unwrap();
    let after = |hours: u32| start + Duration::from_secs(60) + hours * Duration::from_secs(3600);

    // Referred to for ten days, looked at twice a day.
    for half_days in 1..20 {
        bundles.collect(|it| *it == id, after(12 * half_days)).unwrap();
    }
    let last = 12 * 19;
    bundles.collect(|_| false, after(last + 24)).unwrap();
    assert!(bundles.path(id).exists());
    bundles.collect(|_| false, after(last + 26)).unwrap();
    assert_eq!(bundles.known(id).unwrap(), None);
    let trashed = dir.path().join("trash/bundles").join(format!("{id}.tar.zst"));
    assert!(fs::read(trashed).unwrap().starts_with(&zstd_of(&tar)));
}

#[test]
fn a_bundle_that_is_asked_for_stays_though_no_job_refers_to_it() {
    let (dir, bundles) = store();
    let tar = tar(b"text");
    send(&bundles, id(&tar), "t", &zstd_of(&tar)).unwrap();
    let now = SystemTime::now();
    File::open(bundles.path(id(&tar))).unwrap().set_modified(now - 2 * KEEP).unwrap();

    let bundles = Bundles::open(dir.path(), MIB).unwrap();
    assert!(bundles.known(id(&tar)).unwrap().is_some());
    bundles.collect(|_| false, now + Duration::from_secs(3600)).unwrap();
    assert!(bundles.known(id(&tar)).unwrap().is_some());
    // Asked for between the look at the jobs and the decision.
    File::open(bundles.path(id(&tar))).unwrap().set_modified(now - 2 * KEEP).unwrap();
    bundles.collect(|id| bundles.known(*id).unwrap().is_none(), now).unwrap();
    assert!(bundles.known(id(&tar)).unwrap().is_some());
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let (_dir, bundles) = store();
    fs::create_dir(bundles.root.join("ab")).unwrap();
    let readme = bundles.root.join("ab/README");
    fs::write(&readme, "").unwrap();
    fs::write(bundles.root.join("note"), "").unwrap();
    bundles.collect(|_| false, SystemTime::now() + 10 * KEEP).unwrap();
    assert!(readme.exists() && bundles.root.join("note").exists());
}

#[test]
fn a_share_that_is_not_there_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Bundles::open(&dir.path().join("unmounted"), MIB), Err(Error::Io { .. })));
}

/// Time and memory; run alone, in release: `cargo test --release -p atlas-master measure -- --ignored --nocapture`.
#[test]
#[ignore = "writes gigabytes; for measuring"]
fn measure_a_large_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let bundles = Bundles::open(dir.path(), 3 << 30).unwrap();
    let (size, mut digest) = (2_u64 << 30, Sha256::new());
    let mut zstd = zstd::Encoder::new(File::create(dir.path().join("zstd")).unwrap(), 1).unwrap();
    let mut gzip =
        GzEncoder::new(File::create(dir.path().join("gzip")).unwrap(), flate2::Compression::fast());
    let mut write = |bytes: &[u8]| {
        digest.update(bytes);
        zstd.write_all(bytes).unwrap();
        gzip.write_all(bytes).unwrap();
    };
    write(&header(b'0', "large", size));
    let mut random = File::open("/dev/urandom").unwrap();
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..size >> 20 {
        random.read_exact(&mut buffer).unwrap();
        write(&buffer);
    }
    write(&[0; 1024]);
    zstd.finish().unwrap();
    gzip.finish().unwrap();
    let id = BundleId::from_sha256(digest.finalize().into());
    for form in ["zstd", "gzip"] {
        let mut file = File::open(dir.path().join(form)).unwrap();
        let start = std::time::Instant::now();
        let mut offset = bundles.offset(id, form).unwrap();
        loop {
            let length = read_full(&mut file, &mut buffer).unwrap();
            if length == 0 {
                break;
            }
            offset = bundles.write(id, form, offset, &buffer[..length]).unwrap();
        }
        let sent = start.elapsed();
        bundles.finish(id, form).unwrap();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find(|it| it.starts_with("VmHWM")).unwrap();
        println!(
            "2 GiB of noise as {form}: written in {sent:?}, all {:?}, {peak}",
            start.elapsed()
        );
        fs::remove_file(bundles.path(id)).unwrap();
    }
}
