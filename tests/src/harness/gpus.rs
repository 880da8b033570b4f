//! GPUs that are not there: a library of our own in place of the driver's.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// The stand-in, built.
pub struct Gpus(TempDir);

impl Gpus {
    pub fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/harness/nvml.c");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"]);
        cc.arg(folder.path().join("libnvidia-ml.so.1")).arg(source);
        assert!(cc.status().unwrap().success(), "cc builds the stand-in for the driver's library");
        Self(folder)
    }

    /// Variables with which an agent finds so many GPUs, and one more that fell off the bus.
    pub fn env(&self, gpus: u32) -> Vec<(&'static str, String)> {
        let path = self.0.path().display().to_string();
        vec![("LD_LIBRARY_PATH", path), ("STAND_IN_GPUS", gpus.to_string())]
    }
}
