//! What many tests need.

use atlas_core::spec::{Bundle, JobSpec, Outputs, Worker};
use atlas_core::{BundleId, Demand};
use sha2::{Digest, Sha256};

/// The shortest job.
pub fn spec() -> JobSpec {
    JobSpec {
        project: "p".parse().unwrap(),
        user: "ada".into(),
        name: None,
        tags: Default::default(),
        note: String::new(),
        bundle: Bundle { id: "ab".repeat(32).parse().unwrap(), tar_size: 0, files: 0 },
        command: vec!["true".into()],
        entrypoint: None,
        demand: Demand::default(),
        shm: None,
        time_limit: None,
        worker: Worker::default(),
        params: None,
        outputs: Outputs::default(),
        wait_for_capacity: false,
        fresh_requirements: false,
        git: None,
        rerun: None,
        outside: None,
        traceparent: None,
    }
}

/// A bundle of these files at the top of it, sorted by name, and what it is called by.
pub fn bundle(files: &[(&str, &[u8])]) -> (Vec<u8>, Bundle) {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *content).unwrap();
    }
    let mut bytes = tar.into_inner().unwrap();
    bytes.resize(bytes.len().next_multiple_of(10240), 0);
    let bundle = Bundle {
        id: BundleId::from_sha256(Sha256::digest(&bytes).into()),
        tar_size: bytes.len() as u64,
        files: files.len() as u64,
    };
    (zstd::encode_all(&bytes[..], 1).unwrap(), bundle)
}
