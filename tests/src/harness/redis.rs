//! A real Redis, on this machine or on a host.

use std::path::Path;
use std::process::Command;

#[path = "../../../master/src/store/redis/tests/server.rs"]
mod server;

pub use server::Server;

/// What an administrator reads.
#[track_caller]
pub fn cli(socket: &Path, words: &[&str]) -> String {
    let output = Command::new("redis-cli").arg("-s").arg(socket).args(words).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
