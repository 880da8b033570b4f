//! What the Python SDK costs the script that logs.

use std::path::PathBuf;
use std::process::Command;

use super::{cluster, runs};

/// Those that MLflow is asked to find, too.
const RUNS: u32 = 10_000;

/// Prints for itself.
pub fn log_metric() {
    let mut python = script("python3", "log_metric.py");
    assert!(python.status().unwrap().success(), "{python:?}");
}

/// The tracker that most people know, on its own store, and a cluster of ours.
pub fn beside_mlflow() {
    let Ok(program) = std::env::var("ATLAS_BENCH_MLFLOW_PYTHON") else {
        println!("MLflow: not measured, ATLAS_BENCH_MLFLOW_PYTHON names no Python that has it");
        return;
    };
    let mut cluster = cluster("process", 1);
    runs::fill(&mut cluster, RUNS);
    cluster.start_master();
    let mut python = script(&program, "beside_mlflow.py");
    python.arg(runs::PROJECT).env("ATLAS_URL", cluster.grpc());
    assert!(python.status().unwrap().success(), "{python:?}");
}

fn script(python: &str, name: &str) -> Command {
    let sdk = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../client/python");
    let mut python = Command::new(python);
    python.arg(sdk.join("benches").join(name)).env("PYTHONPATH", sdk.join("src"));
    python
}
