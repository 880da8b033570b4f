//! Jobs of another cluster: as they were there, and nothing of what somebody made up.

use std::io::Write;

use atlas_core::cluster::Rejection;
use atlas_core::{BundleId, Identity};
use atlas_proto::convert::ship::Holder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::compacting::{compacted, end};
use super::tracking::{append, counted, job, lines, series};
use super::*;
use crate::submission::Invalid;
use crate::transfer::Exported;

/// Of a tar with nothing in it.
const TAR: [u8; 1024] = [0; 1024];

/// A job that has ended with 20 points, and where it ended.
async fn exported() -> (World, Holder, Value) {
    let world = World::new().await;
    let (of, _link) = job(&world).await;
    append(&world, &of, 0, &lines(0..20)).await;
    end(&world, &of).await;
    compacted(&world, &of).await;
    let outgoing = world.service.export(&of.job.to_string()).await.unwrap();
    let mut json: Value = serde_json::from_str(&outgoing.json).unwrap();
    let id = BundleId::from_sha256(Sha256::digest(TAR).into()).to_string();
    json["spec"]["bundle"] = json!({ "id": id, "tar_size": TAR.len(), "files": 0 });
    (world, of, json)
}

/// A cluster that has the bundle, and what came of the job's points.
async fn other(from: &World, of: &Holder) -> World {
    let world = World::new().await;
    let bundle = BundleId::from_sha256(Sha256::digest(TAR).into());
    let mut packed = zstd::Encoder::new(Vec::new(), 1).unwrap();
    packed.write_all(&TAR).unwrap();
    let bundles = &world.service.bundles;
    bundles.offset(bundle, "upload").unwrap();
    bundles.write(bundle, "upload", 0, &packed.finish().unwrap()).unwrap();
    bundles.finish(bundle, "upload").unwrap();
    bring_points(from, of, &world);
    world
}

fn bring_points(from: &World, of: &Holder, to: &World) {
    let there = std::fs::read_dir(from.service.archive.series(of.job)).unwrap();
    let table = there.map(|it| it.unwrap().path()).find(|it| it.extension().is_some()).unwrap();
    let here = to.service.archive.series(of.job);
    std::fs::create_dir_all(&here).unwrap();
    std::fs::copy(table, here.join(tracker::POINTS)).unwrap();
}

async fn import(world: &World, json: &Value) -> Result<bool, Error> {
    import_with(world, json, &["series"]).await
}

async fn import_with(world: &World, json: &Value, folders: &[&str]) -> Result<bool, Error> {
    let who = Identity::unverified("eve");
    let folders = folders.iter().map(|it| (*it).to_owned()).collect();
    let json = json.to_string();
    let incoming = Incoming { json, git_diff: None, folders, only_check: false };
    world.service.import(&who, incoming).await
}

#[tokio::test]
async fn a_job_of_another_cluster_is_as_it_was_there_and_comes_once() {
    let (from, of, json) = exported().await;
    let to = other(&from, &of).await;
    std::fs::write(to.service.archive.job(of.job).join("stray"), "of a try before").unwrap();
    assert!(!import(&to, &json).await.unwrap());
    assert!(import(&to, &json).await.unwrap(), "it came twice");
    assert_eq!(series(&to, &of).await, counted(20));
    assert!(!to.service.archive.job(of.job).join("stray").exists());
    let text = of.job.to_string();
    let again: Value = serde_json::from_str(&to.service.export(&text).await.unwrap().json).unwrap();
    assert_eq!(again, json);
    let status = to.service.find(&text).await.unwrap().status;
    let imported = status.imported.clone().unwrap();
    assert_eq!((imported.from, imported.by), (from.service.cluster.clone(), "eve".into()));
    assert!(!status.had(of.attempt, &of.node), "a node of that name may write to it");
    // Nobody waits for it, also in the next master.
    let next = World::over(to.dir.clone()).await;
    assert_eq!(next.service.reactor.waiting(10).await.unwrap().1, 0);
    assert_eq!(series(&next, &of).await, counted(20));

    let mut differs = json.clone();
    differs["end"]["outcome"] = "failed".into();
    differs["end"]["cause"] = json!({ "kind": "exit-code", "value": 1 });
    differs["status"] = "failed".into();
    let refused = import(&next, &differs).await;
    assert!(matches!(refused, Err(Error::ImportDiffers { field: "end", .. })), "{refused:?}");
}

#[tokio::test]
async fn what_was_removed_is_said_here_too_unless_it_comes() {
    let (from, of, mut json) = exported().await;
    json["removed"] = json!({ "by": { "user": "ada" }, "at": 7, "bytes": 3 });
    for (folders, is_removed) in [(&["series"][..], true), (&["series", "outputs"], false)] {
        let to = other(&from, &of).await;
        assert!(!import_with(&to, &json, folders).await.unwrap());
        let job = to.service.find(&of.job.to_string()).await.unwrap();
        assert_eq!(job.status.state.removal().is_some(), is_removed);
        assert!(import_with(&to, &json, folders).await.unwrap(), "it is another job");
    }
}

#[tokio::test]
async fn points_that_are_not_those_of_the_run_are_refused_and_nothing_is_there() {
    let (from, of, json) = exported().await;
    let to = other(&from, &of).await;
    let points = to.service.archive.series(of.job).join(tracker::POINTS);
    let whole = std::fs::read(&points).unwrap();
    let mut damaged = whole.clone();
    damaged[8] ^= 0xff;
    let mut counts = json.clone();
    counts["run"]["attempts"]["1"]["points"] = json!({ "loss": { "0": 19 }, "other": { "0": 1 } });
    for (bytes, json) in [(&b"PAR1"[..], &json), (&damaged, &json), (&whole, &counts)] {
        std::fs::write(&points, bytes).unwrap();
        let refused = import(&to, json).await;
        let named =
            matches!(&refused, Err(Error::Invalid { field, .. }) if field == "points.parquet");
        assert!(named, "{refused:?}");
        assert!(to.service.find(&of.job.to_string()).await.is_err());
    }
    std::fs::remove_file(&points).unwrap();
    assert!(import(&to, &json).await.is_err());
    std::fs::write(&points, &whole).unwrap();
    assert!(!import(&to, &json).await.unwrap());
}

#[tokio::test]
async fn an_id_that_is_taken_and_a_bundle_that_is_not_there_are_refused() {
    let (from, of, json) = exported().await;
    let to = World::new().await;
    bring_points(&from, &of, &to);
    assert!(matches!(import(&to, &json).await, Err(Error::NoBundle(_))));
    let to = other(&from, &of).await;
    let _link = to.join("a", 1, Says::Freezes("")).await;
    assert_eq!(to.submit().await, of.job);
    let refused = import(&to, &json).await;
    assert!(matches!(refused, Err(Error::Rejected(Rejection::IdTaken(_)))), "{refused:?}");
    let who = Identity::unverified("eve");
    for folder in ["..", "", "outputs/../../x", "source", "git.diff"] {
        assert!(to.service.folder_of_import(&who, &of.job.to_string(), folder).is_err());
    }
    let of_job = Identity::of_job("eve", of.job, of.attempt);
    let refused = to.service.folder_of_import(&of_job, &of.job.to_string(), "outputs");
    assert!(matches!(refused, Err(Error::Denied(_))));
    let here = Shipped::Import { job: of.job, folder: "outputs" };
    assert!(
        to.service.shipment(&here).await.is_err(),
        "the job is here, and its files are its own"
    );
}

#[tokio::test]
async fn what_no_cluster_would_have_recorded_is_refused_by_name() {
    let (_from, _of, json) = exported().await;
    let long = "x".repeat(20_000);
    let wrong: [(&str, &str, Value); 28] = [
        ("format", "/format", 2.into()),
        ("job.json", "/id", "../../etc".into()),
        ("job.json", "/cluster", "x\ny".into()),
        ("status", "/status", "failed".into()),
        ("name", "/name", "another".into()),
        ("tags", "/tags", json!({ "a": "b" })),
        ("points", "/points", 3.into()),
        ("end.at", "/end/at", u64::MAX.into()),
        ("end.at", "/submitted", u64::MAX.into()),
        ("job.json", "/node", "../x".into()),
        ("image_digest", "/image_digest", "\u{1b}[2J".into()),
        ("archive", "/archive", json!({ "archive": "incomplete", "reason": long })),
        ("job.json", "/spec/project", "../p".into()),
        ("spec.user", "/spec/user", "a\nb".into()),
        ("spec.command", "/spec/command", json!([])),
        ("spec.worker.env", "/spec/worker", json!({ "env": { "A=B": "c" } })),
        ("spec.worker.env", "/spec/worker", json!({ "env": { "ATLAS_JOB_ID": "c" } })),
        ("spec.worker.secrets", "/spec/worker", json!({ "secrets": { "A,B": "" } })),
        (
            "spec.worker.volumes",
            "/spec/worker",
            json!({ "volumes": [{ "host": "/a/../etc", "bind": "/b" }] }),
        ),
        ("spec.worker.image", "/spec/worker", json!({ "image": "--privileged" })),
        ("spec.params", "/spec/params", "[1]".into()),
        ("spec.demand.memory", "/spec/demand", json!({ "gpus": 0, "memory": u64::MAX })),
        ("spec.time_limit", "/spec/time_limit", u64::MAX.into()),
        ("spec.git.commit", "/spec/git", json!({ "commit": "$(id)" })),
        ("run.table", "/run/table", json!({ "epoch": 1, "number": 1, "bytes": 1, "points": 20 })),
        (
            "run.artifacts.m",
            "/run/artifacts",
            json!({ "m": [
            { "path": "../../x", "bytes": 1, "at": 1, "attempt": 1 },
        ] }),
        ),
        ("run.params.p", "/run/params", json!({ "p": long })),
        ("run.attempts.2", "/run/attempts/2", json!({})),
    ];
    assert!(Exported::parse(&json.to_string()).is_ok());
    for (field, pointer, value) in wrong {
        let mut wild = json.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        wild.pointer_mut(parent).unwrap()[name] = value;
        let Invalid { field: named, why } = Exported::parse(&wild.to_string()).unwrap_err();
        assert_eq!(named, field, "{pointer}: {why}");
    }
    assert!(Exported::parse("[").is_err());
}
