//! Archives by hand: what is no bundle is refused where it is sent, and what only pretends to be one where it is unpacked.

use std::fs;
use std::io::Write;

use atlas_proto::wire::upload_bundle_request::Part;
use atlas_proto::wire::{self, FindBundleRequest, UploadBundleRequest, UploadStart};
use atlas_tests::harness::{Cluster, Settings};
use sha2::{Digest, Sha256};
use tonic::{Code, Status};

use super::{bundles, nothing_is_left};
use crate::rpc::{Rpc, signed, submission};

#[test]
fn what_is_no_bundle_is_refused_at_the_upload_and_gone() {
    let cluster =
        Cluster::start(Settings { master: &["--max-bundle", "1MB"], ..Settings::default() });
    let rpc = Rpc::new(&cluster);
    let good = tar(&[(b'0', "main.py", b"print(1)")]);
    let zeros = vec![0; 64 << 20];
    let mut cut = zstd_of(&good);
    cut.truncate(cut.len() / 2);
    for (what, id, data, words) in [
        ("another content", "11".repeat(32), zstd_of(&good), "send it again"),
        ("neither zstd nor gzip", id(&good), good.clone(), "neither zstd nor gzip"),
        ("nothing", id(b""), Vec::new(), "no bundle"),
        ("half of it", id(&good), cut, "decompress"),
        ("no tar", id(&[7; 2048]), zstd_of(&[7; 2048]), "not that of a GNU tar"),
        (
            "more behind the end",
            id(&[&good[..], b"x"].concat()),
            zstd_of(&[&good[..], b"x"].concat()),
            "behind the end",
        ),
        ("no end", id(&good[..1024]), zstd_of(&good[..1024]), "ends too early"),
        ("a hard link", id(&odd(b'1')), zstd_of(&odd(b'1')), "hard link"),
        ("a device", id(&odd(b'3')), zstd_of(&odd(b'3')), "other things"),
        ("a pipe", id(&odd(b'6')), zstd_of(&odd(b'6')), "other things"),
        ("a global header", id(&odd(b'g')), zstd_of(&odd(b'g')), "other things"),
        ("a sparse file", id(&odd(b'S')), zstd_of(&odd(b'S')), "other things"),
        ("a name without end", id(&long_name()), zstd_of(&long_name()), "larger than its kind"),
        ("a bomb", id(&zeros), zstd_of(&bomb(30 << 20)), "bytes when unpacked"),
        ("a bomb of gzip", id(&zeros), gzip_of(&bomb(30 << 20)), "bytes when unpacked"),
        ("a window of 128 MB", id(&good), wide_window(&bomb(9 << 20)), "decompress"),
        ("more than is taken", id(&good), noise(1_000_001), "larger than"),
    ] {
        let refused = send(&rpc, &id, &data).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{what}: {refused:?}");
        assert!(refused.message().contains(words), "{what}: {refused:?}");
        nothing_is_left(&cluster, what);
    }
    // And the master is none the worse for it.
    send(&rpc, &id(&good), &zstd_of(&good)).unwrap();
    assert_eq!(bundles(&cluster).len(), 1);
}

#[test]
fn an_upload_that_says_nonsense_of_itself_is_refused() {
    let cluster = Cluster::start(Settings::default());
    let rpc = Rpc::new(&cluster);
    let find = |bundle: &str, upload: &str, bytes| {
        let request = FindBundleRequest { bundle: bundle.into(), upload: upload.into(), bytes };
        rpc.wait(rpc.jobs().find_bundle(signed(request))).unwrap_err()
    };
    let id = "22".repeat(32);
    for (refused, words) in [
        (find("../../etc/passwd", "a", 1), "bundle"),
        (find(&id, "../../a", 1), "name of an upload"),
        (find(&id, "", 1), "name of an upload"),
        (find(&id, "a", u64::MAX), "larger than"),
    ] {
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(refused.message().contains(words), "{refused:?}");
        nothing_is_left(&cluster, words);
    }
    let start = UploadStart { bundle: id, upload: "a".into(), offset: 1 << 40, bytes: 1 };
    for parts in [
        vec![Part::Data(b"x".to_vec().into())],
        vec![],
        vec![Part::Start(start), Part::Data(b"x".to_vec().into())],
    ] {
        upload(&rpc, parts).unwrap_err();
        nothing_is_left(&cluster, "parts out of order");
    }
}

#[test]
fn hostile_names_end_their_own_job_and_write_nothing_elsewhere() {
    let cluster = Cluster::start(Settings::default());
    let rpc = Rpc::new(&cluster);
    let outside = cluster.path("outside");
    fs::create_dir(&outside).unwrap();
    let absolute = outside.join("absolute");
    let target = outside.to_str().unwrap().as_bytes();
    for (what, tar) in [
        ("a way up", tar(&[(b'0', "../../../../evil", b"x")])),
        ("a way up below", tar(&[(b'5', "a/", b""), (b'0', "a/../../evil", b"x")])),
        ("an absolute name", tar(&[(b'0', absolute.to_str().unwrap(), b"x")])),
        ("through a link", tar(&[(b'2', "link", target), (b'0', "link/evil", b"x")])),
        ("twice", tar(&[(b'0', "a", b"x"), (b'0', "a", b"y")])),
        ("out of order", tar(&[(b'0', "b", b"x"), (b'0', "a", b"y")])),
        ("without its folder", tar(&[(b'0', "a/b", b"x")])),
    ] {
        let entries = tar::Archive::new(&tar[..]).entries().unwrap().count() as u64;
        let bundle = wire::Bundle { id: id(&tar), tar_bytes: tar.len() as u64, files: entries };
        send(&rpc, &bundle.id, &zstd_of(&tar)).unwrap();
        ends_as_bundle(&cluster, &rpc, &bundle, what);
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{what}");
    }
    let tar = tar(&[(b'0', "a", b"x"), (b'0', "b", &[0; 100_000])]);
    send(&rpc, &id(&tar), &zstd_of(&tar)).unwrap();
    for (field, tar_bytes, files) in [
        ("bundle.tar_bytes", 20_480, 2),
        ("bundle.tar_bytes", 1 << 40, 2),
        ("bundle.files", tar.len() as u64, 1),
        ("bundle.files", tar.len() as u64, 3),
    ] {
        let bundle = wire::Bundle { id: id(&tar), tar_bytes, files };
        let job = uuid::Uuid::new_v4().to_string();
        let refused = rpc.submit(submission(&job, &bundle, &["true"])).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(refused.message().starts_with(&format!("{field}: it says")), "{refused:?}");
        cluster.atlas(&["show", &job]).exits(1);
    }
    // The node goes on.
    let dir = cluster.project("good", &[("main.py", "")]);
    cluster.atlas(&["submit", "scheduler", dir.to_str().unwrap(), "main.py"]).exits(0);
}

#[track_caller]
fn ends_as_bundle(cluster: &Cluster, rpc: &Rpc, bundle: &wire::Bundle, what: &str) {
    let job = uuid::Uuid::new_v4().to_string();
    rpc.submit(submission(&job, bundle, &["true"])).unwrap();
    let ended = cluster.atlas(&["wait", &job]);
    let job = cluster.job(&job);
    assert_eq!((ended.code, job["cause"].as_str()), (125, Some("bundle")), "{what}: {job:#}");
    assert!(!job["detail"].as_str().unwrap_or_default().is_empty(), "{what}: {job:#}");
}

fn send(rpc: &Rpc, bundle: &str, data: &[u8]) -> Result<u64, Status> {
    let bytes = data.len() as u64;
    let name = || (bundle.to_owned(), "by-hand".to_owned());
    let (bundle, upload) = name();
    let request = FindBundleRequest { bundle, upload, bytes };
    let found = rpc.wait(rpc.jobs().find_bundle(signed(request)))?.into_inner();
    assert!(!found.known);
    let (bundle, upload) = name();
    let start = UploadStart { bundle, upload, offset: found.offset, bytes };
    let data = data.chunks(1 << 16).map(|it| Part::Data(it.to_vec().into()));
    self::upload(rpc, std::iter::once(Part::Start(start)).chain(data).collect())
}

fn upload(rpc: &Rpc, parts: Vec<Part>) -> Result<u64, Status> {
    let parts = parts.into_iter().map(|part| UploadBundleRequest { part: Some(part) });
    let parts = tokio_stream::iter(parts.collect::<Vec<_>>());
    Ok(rpc.wait(rpc.jobs().upload_bundle(signed(parts)))?.into_inner().bytes)
}

fn tar(entries: &[(u8, &str, &[u8])]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (kind, name, text) in entries {
        let is_link = *kind == b'2';
        let size = if is_link { 0 } else { text.len() as u64 };
        let mut header = header(*kind, name, size);
        if is_link {
            header.as_mut_bytes()[157..157 + text.len()].copy_from_slice(text);
            header.set_cksum();
        }
        tar.extend(header.as_bytes());
        if !is_link {
            tar.extend_from_slice(text);
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
    }
    tar.resize((tar.len() + 1024).next_multiple_of(10_240), 0);
    tar
}

fn header(kind: u8, name: &str, size: u64) -> ::tar::Header {
    let mut header = ::tar::Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.as_mut_bytes()[156] = kind;
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    header
}

/// An archive with one entry of this kind.
fn odd(kind: u8) -> Vec<u8> {
    tar(&[(kind, "odd", b"")])
}

fn long_name() -> Vec<u8> {
    tar(&[(b'L', "././@LongLink", &[b'x'; 1 << 20])])
}

/// One file of zeros.
fn bomb(size: usize) -> Vec<u8> {
    tar(&[(b'0', "zeros", &vec![0; size])])
}

fn id(tar: &[u8]) -> String {
    Sha256::digest(tar).iter().map(|it| format!("{it:02x}")).collect()
}

fn zstd_of(tar: &[u8]) -> Vec<u8> {
    zstd::encode_all(tar, 3).unwrap()
}

fn wide_window(tar: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(tar).unwrap();
    encoder.finish().unwrap()
}

fn gzip_of(tar: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(tar).unwrap();
    encoder.finish().unwrap()
}

/// Bytes that no compression makes smaller.
fn noise(length: usize) -> Vec<u8> {
    let blocks = (0_u64..).flat_map(|it| Sha256::digest(it.to_le_bytes()).to_vec());
    blocks.take(length).collect()
}
