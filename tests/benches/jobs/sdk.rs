//! What the Python SDK costs the script that logs.

use std::path::Path;
use std::process::Command;

/// Prints for itself.
pub fn log_metric() {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../client/python");
    let mut python = Command::new("python3");
    python.arg(sdk.join("benches/log_metric.py")).env("PYTHONPATH", sdk.join("src"));
    assert!(python.status().unwrap().success(), "{python:?}");
}
