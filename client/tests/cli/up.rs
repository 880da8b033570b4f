//! `atlas up` around parts that are not the real ones: what it says when something is wrong with them. The real ones are tried
//! in `tests/e2e`.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{Run, User};

/// The command in a folder of its own, with scripts in place of master and node.
pub fn installed(user: &User, script: &str) -> PathBuf {
    let bin = user.path("bin");
    fs::create_dir_all(&bin).unwrap();
    let source = user.path("part.sh");
    fs::write(&source, format!("#!/bin/sh\n{script}\n")).unwrap();
    install(&source, &bin.join("atlas-master"));
    install(&source, &bin.join("atlas-node"));
    let atlas = bin.join("atlas");
    install(Path::new(env!("CARGO_BIN_EXE_atlas")), &atlas);
    atlas
}

/// By a process of its own: a program that this one has open for writing cannot be run while another test starts a child, which
/// has it open too.
fn install(from: &Path, to: &Path) {
    let done = Command::new("install").arg("-m755").args([from, to]).status().unwrap();
    assert!(done.success(), "{}", to.display());
}

async fn up(user: &User, atlas: &Path, args: &[&str]) -> Run {
    let data = user.path("data");
    let all = [&["up", "--executor", "process", "--data", data.to_str().unwrap()], args].concat();
    Run::of(user.program(atlas, &all).output().await.unwrap())
}

const ANY: [&str; 6] = ["--http", "0", "--grpc", "0", "--node", "0"];

#[tokio::test]
async fn a_part_that_ends_is_named_with_its_last_words() {
    let user = User::new();
    let atlas = installed(&user, "echo 'the store is broken' >&2; exit 3");
    let run = up(&user, &atlas, &ANY).await.exits(126);
    run.says("atlas-master ended unexpectedly (exit status: 3)");
    run.says("\nthe store is broken");
    assert!(!user.path("data/endpoints.json").exists());
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_holder() {
    let user = User::new();
    let atlas = installed(&user, "exit 3");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap();
    let run = up(&user, &atlas, &["--http", "0", "--node", "0", "--grpc", &taken.to_string()])
        .await
        .exits(126);
    run.says(&format!("--grpc {taken} is taken by "));
    run.says(&format!("(pid {})", std::process::id()));
    drop(listener);
}

#[tokio::test]
async fn a_missing_part_is_named_with_where_it_belongs() {
    let user = User::new();
    let atlas = installed(&user, "exit 3");
    fs::remove_file(user.path("bin/atlas-node")).unwrap();
    up(&user, &atlas, &ANY)
        .await
        .exits(126)
        .says("bin/atlas-node is missing: it belongs beside the atlas command");
}

#[tokio::test]
async fn docker_that_cannot_be_had_is_said_when_it_was_asked_for() {
    let user = User::new();
    let atlas = installed(&user, "exit 3");
    let data = user.path("data");
    let socket = format!("unix://{}", user.path("no-socket").display());
    let args =
        [&["up", "--executor", "docker", "--data", data.to_str().unwrap()][..], &ANY].concat();
    let mut command = user.program(&atlas, &args);
    let run = Run::of(command.env("DOCKER_HOST", &socket).output().await.unwrap()).exits(126);
    run.says(&format!("--executor docker: no engine answers at {socket}"));
}
