//! What is wrong gets a clear error and leaves nothing behind. One table per place where it can come in.

mod bundles;
mod machines;
mod network;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

use atlas_tests::harness::{Cluster, Run};

/// The bundles that the master keeps, and what has come of others.
fn bundles(cluster: &Cluster) -> Vec<PathBuf> {
    fn files(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { files(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    files(&cluster.path("shared/bundles"), &mut found);
    found
}

/// No job, no bundle, no part of one.
#[track_caller]
fn nothing_is_left(cluster: &Cluster, after: &str) {
    assert_eq!(cluster.json(&["jobs"]), serde_json::json!([]), "after {after}");
    assert_eq!(bundles(cluster), Vec::<PathBuf>::new(), "after {after}");
}

/// Runs `atlas` with these arguments, which have to be refused in these words.
#[track_caller]
fn refused(cluster: &Cluster, args: &[&str], code: i32, words: &[&str]) -> Run {
    let run = cluster.atlas(args).exits(code);
    words.iter().fold(run, |run, words| run.says(words))
}
