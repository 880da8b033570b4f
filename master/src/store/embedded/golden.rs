//! A file of each layout as it was written once, readable for ever.

use std::path::Path;
use std::sync::Arc;

use atlas_core::node::AllowedVolume;
use atlas_core::resources::Gpu;
use atlas_core::spec::{Git, Outputs, Pull, Volume, Worker};
use atlas_core::time::Millis;
use atlas_core::{Demand, JobSpec, Record};
use expect_test::expect_file;
use rusqlite::Connection;

use super::tests::{leader, rows};
use super::{Embedded, FILE};
use crate::store::contract::{self, Leader};
use crate::store::{Store as _, StoredProject};

/// What is written of the project mnist.
const PROJECT: &str = "What it is: *it's* é";

const WRITTEN: [&str; 5] = [
    include_str!("../golden/layout-1.sql"),
    include_str!("../golden/layout-2.sql"),
    include_str!("../golden/layout-3.sql"),
    include_str!("../golden/layout-4.sql"),
    include_str!("../golden/layout-5.sql"),
];

#[tokio::test]
async fn a_file_of_every_layout_reads_as_what_was_written() {
    for text in WRITTEN {
        reads_as_what_is_written_today(text).await;
    }
}

async fn reads_as_what_is_written_today(text: &str) {
    let (then, now) = (written_then(text), written_today().await);
    let then = Embedded::open(then.path()).unwrap();
    let now = Embedded::open(now.path()).unwrap();
    let (old, new) = (then.restore().await.unwrap(), now.restore().await.unwrap());
    assert_eq!(old.jobs, new.jobs);
    assert_eq!(old.nodes, new.nodes);
    assert_eq!((old.next_position, old.granted), (new.next_position, new.granted));
    for number in (1..).take(contract::states().len()) {
        let job = then.job(contract::id(number)).await.unwrap();
        assert!(job.is_some());
        assert_eq!(job, now.job(contract::id(number)).await.unwrap());
    }
    let mut leader = Leader::of(Arc::new(then)).await;
    leader.commit([contract::queued(99)]).await;
}

#[tokio::test]
async fn what_was_written_of_a_project_in_layout_4_is_read() {
    let then = written_then(WRITTEN[3]);
    let projects = Embedded::open(then.path()).unwrap().projects().await.unwrap();
    let [StoredProject { name, about }] = projects.as_slice() else { panic!("{projects:?}") };
    let written = Record::ProjectChanged { name: name.clone(), about: about.clone() };
    assert_eq!(written, contract::written("mnist", PROJECT));
}

/// When this fails after a release, values have changed: keep this file, and begin one of the new kind beside it.
#[tokio::test]
async fn what_is_written_today_is_what_layout_5_holds() {
    let dump = dump(written_today().await.path());
    expect_file!["../golden/layout-5.sql"].assert_eq(&dump);
}

async fn written_today() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    leader(dir.path()).await.commit(records()).await;
    dir
}

fn written_then(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let connection = Connection::open(dir.path().join(FILE)).unwrap();
    connection.execute_batch(text).unwrap();
    dir
}

/// The statements that make this file again, but for the random id of its cluster.
fn dump(dir: &Path) -> String {
    let connection = Connection::open(dir.join(FILE)).unwrap();
    connection.execute_batch("UPDATE meta SET cluster = 'golden'").unwrap();
    let schema =
        rows(dir, "SELECT sql || ';' FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid");
    let tables = rows(dir, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid");
    let inserts = tables.iter().flat_map(|table| {
        let columns = format!(
            "SELECT group_concat(format('quote(%s)', name), '||'',''||') FROM pragma_table_info('{table}')"
        );
        let values = &rows(dir, &columns)[0];
        rows(dir, &format!("SELECT 'INSERT INTO {table} VALUES(' || {values} || ');' FROM {table}"))
    });
    let lines: Vec<String> = schema
        .into_iter()
        .chain(inserts)
        .chain(["PRAGMA user_version = 5;".into()])
        .map(|line| line + "\n")
        .collect();
    lines.concat()
}

fn full_spec() -> JobSpec {
    let volume =
        |host: &str, read_only| Volume { host: host.into(), bind: "/data".into(), read_only };
    JobSpec {
        name: Some("baseline".into()),
        tags: [("lr".into(), "0.1".into()), ("seed".into(), String::new())].into(),
        note: "don't stop".into(),
        command: vec!["main.py".into(), "--epochs".into(), "5".into()],
        entrypoint: Some(vec!["python3".into(), "-u".into()]),
        demand: Demand { gpus: 2, cpu_milli: 1500, memory: 8_000_000_000 },
        shm: Some(1_000_000_000),
        worker: Worker {
            image: Some("atlas/worker".into()),
            pull: Pull::Never,
            env: [("MY_ENV_VAR".into(), "MY_VALUE".into())].into(),
            volumes: vec![volume("/mnt/a", true), volume("/mnt/b", false)],
            python: Some("python3.11".into()),
            working_dir: Some("/job/src".into()),
            secrets: Default::default(), // later than this layout
        },
        params: Some(r#"{"epochs": 5}"#.into()),
        outputs: Outputs { exclude: vec!["*.tmp".into()], max_bytes: Some(5_000_000_000) },
        wait_for_capacity: true,
        fresh_requirements: true,
        git: Some(Git {
            commit: "c0ffee".into(),
            branch: "main".into(),
            dirty: true,
            diff: None, // later than this layout
        }),
        rerun: None,
        outside: None,
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        ..contract::spec()
    }
}

/// A job of each state, with a small and a full spec by turns, and two nodes.
fn records() -> Vec<Record> {
    let mut records = Vec::new();
    for (number, state) in (1..).zip(contract::states()) {
        let spec = if number % 2 == 0 { full_spec() } else { contract::spec() };
        records.push(contract::job_queued(number, number, spec));
        records.push(contract::changed(number, state));
    }
    let mut gpus = contract::node("gpus", Some("3 jobs in a row could not start".into()));
    gpus.spec.capacity.gpus =
        vec![Gpu { id: "GPU-0".parse().unwrap(), index: 0, model: "H200".into(), memory: 9 }];
    gpus.spec.volumes = vec![AllowedVolume { prefix: "/mnt".into(), read_only: true }];
    records.push(Record::NodeChanged(contract::node("plain", None)));
    records.push(Record::NodeChanged(gpus));
    records.push(Record::LeaseGranted(Millis(3_600_000)));
    records.push(contract::told(3, 300));
    records.push(contract::written("mnist", PROJECT));
    records
}
