//! Paths of the node inside its jobs: what they ask for, and what every job gets.

use std::fs;

use atlas_core::Cause;
use atlas_core::agent::ExitKind;
use atlas_core::node::{AllowedVolume, ExecutorKind};
use atlas_core::spec::Volume;

use crate::harness::{Node, wanted};

/// The same path on both sides, so that it means the same in both executors.
fn volume(path: &std::path::Path, read_only: bool) -> Volume {
    let path = path.to_str().unwrap().to_owned();
    Volume { host: path.clone(), bind: path, read_only }
}

async fn reaches_its_volumes(executor: ExecutorKind) {
    let place = tempfile::Builder::new().prefix("atlas-volumes-").tempdir().unwrap();
    let [asked, default] = ["asked", "default"].map(|name| place.path().join(name));
    for folder in [&asked, &default] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("data"), "here\n").unwrap();
    }
    let given = volume(&default, true);
    let node = Node::start_with(executor, |settings| {
        let prefix = place.path().to_str().unwrap().to_owned();
        settings.volumes = vec![AllowedVolume { prefix, read_only: false }];
        settings.default_volumes = vec![given.clone()];
    })
    .await;
    let script =
        "cat $1/data $2/data; echo mine > $1/written; touch $2/written 2>/dev/null || echo closed";
    let [first, second] = [&asked, &default].map(|it| it.to_str().unwrap());
    let mut assignment = node.job(&[], &["sh", "-c", script, "sh", first, second]);
    wanted(&mut assignment).worker.volumes = vec![volume(&asked, false)];
    let job = assignment.job;
    node.master.assign(assignment).await;
    assert_eq!(node.master.exited(job).await.kind, ExitKind::Code(0));
    node.master.archived(job).await;
    // Without a container nobody holds a job to it.
    let closed = if executor == ExecutorKind::Docker { "closed\n" } else { "" };
    assert_eq!(node.said(job), format!("here\nhere\n{closed}"));
    assert_eq!(fs::read_to_string(asked.join("written")).unwrap(), "mine\n");
    assert_eq!(default.join("written").exists(), closed.is_empty());

    fs::remove_dir_all(&default).unwrap();
    let assignment = node.job(&[], &["true"]);
    let job = assignment.job;
    node.master.assign(assignment).await;
    let (cause, strike, message) = node.master.not_started(job).await;
    assert_eq!((cause, strike), (Cause::Internal, true), "{message}");
    assert!(message.starts_with("a default volume of this node cannot be mounted"), "{message}");
    assert!(!default.exists(), "it was made");
}

#[tokio::test]
async fn a_process_reaches_its_volumes_and_those_of_the_node() {
    reaches_its_volumes(ExecutorKind::Process).await;
}

#[tokio::test]
async fn a_container_reaches_its_volumes_and_those_of_the_node() {
    reaches_its_volumes(ExecutorKind::Docker).await;
}
