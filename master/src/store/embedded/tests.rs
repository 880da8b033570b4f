//! What only this store can get wrong: its file. The rest is in the contract.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::*;
use crate::store::contract::{self, Leader, Place};

/// Folders for places, removed at the end.
#[derive(Default)]
struct Folders(Mutex<Vec<tempfile::TempDir>>);

impl Folders {
    fn place(&self) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        self.0.lock().unwrap().push(folder);
        Box::new(move || Arc::new(Embedded::open(&path).unwrap()))
    }
}

pub async fn leader(dir: &Path) -> Leader {
    Leader::of(Arc::new(Embedded::open(dir).unwrap())).await
}

/// The only column of all rows.
pub fn rows(dir: &Path, sql: &str) -> Vec<String> {
    let connection = Connection::open(dir.join(FILE)).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn it_keeps_the_contract() {
    let folders = Folders::default();
    contract::check(|| folders.place()).await;
}

#[tokio::test]
async fn only_the_owner_may_read_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut leader = leader(dir.path()).await;
    leader.commit([contract::queued(1)]).await;
    let files: Vec<_> = fs::read_dir(dir.path()).unwrap().map(Result::unwrap).collect();
    assert!(files.len() >= 2, "there is no log beside the file: {files:?}");
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", file.path());
    }
}

#[tokio::test]
async fn what_a_killed_process_left_on_the_disk_holds_every_commit() {
    let (living, dead) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut leader = leader(living.path()).await;
    for number in 1..=20 {
        leader.commit([contract::queued(number)]).await;
    }
    // Nothing was closed, so nothing was tidied up: this is what a kill leaves.
    for name in [FILE.to_owned(), format!("{FILE}-wal")] {
        fs::copy(living.path().join(&name), dead.path().join(&name)).unwrap();
    }
    let reopened = Embedded::open(dead.path()).unwrap();
    assert_eq!(reopened.restore().await.unwrap().jobs.len(), 20);
    assert_eq!(reopened.mark().await.unwrap(), leader.mark);
}

#[tokio::test]
async fn a_full_disk_refuses_the_commit_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    drop(Embedded::open(dir.path()).unwrap());
    let path = dir.path().join(FILE);
    let connection = connect(&path).unwrap();
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    connection.pragma_update_and_check(None, "max_page_count", pages + 20, |_| Ok(())).unwrap();
    let store: Arc<dyn Store> = Arc::new(Embedded::over(connection, &path).unwrap());
    let mut leader = Leader::of(store).await;
    leader.commit([contract::queued(1)]).await;
    let many = (2..5_000).map(contract::queued).collect();
    let refused = leader.try_commit(many).await.unwrap_err();
    let CommitError::Refused(Error::Io { source, .. }) = &refused else { panic!("{refused:?}") };
    assert_eq!(source.to_string(), "database or disk is full");
    leader.commit([contract::queued(2)]).await;
    assert_eq!(leader.store.restore().await.unwrap().jobs.len(), 2);
}

#[tokio::test]
async fn a_write_into_a_file_that_somebody_locks_is_refused_and_works_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    drop(Embedded::open(dir.path()).unwrap());
    let connection = connect(&path).unwrap();
    connection.busy_timeout(Duration::ZERO).unwrap();
    let mut leader = Leader::of(Arc::new(Embedded::over(connection, &path).unwrap())).await;
    let somebody = Connection::open(&path).unwrap();
    somebody.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = leader.try_commit(vec![contract::queued(1)]).await;
    assert!(matches!(refused, Err(CommitError::Refused(_))), "{refused:?}");
    somebody.execute_batch("ROLLBACK").unwrap();
    leader.commit([contract::queued(1)]).await;
}

#[tokio::test]
async fn a_log_that_grew_is_moved_into_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut leader = leader(dir.path()).await;
    for batch in 0..20 {
        leader.commit((1..=500).map(|it| contract::queued(batch * 500 + it))).await;
    }
    let wal = fs::metadata(dir.path().join(format!("{FILE}-wal"))).unwrap().len();
    let file = fs::metadata(dir.path().join(FILE)).unwrap().len();
    assert!(file > 1 << 20, "{file} bytes in the file, {wal} in its log");
    assert!(wal < 8 << 20, "the log has {wal} bytes");
}

#[tokio::test]
async fn a_file_of_a_newer_layout_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(Embedded::open(dir.path()).unwrap());
    let connection = Connection::open(dir.path().join(FILE)).unwrap();
    connection.execute_batch("PRAGMA user_version = 1000").unwrap();
    let error = Embedded::open(dir.path()).unwrap_err();
    assert!(matches!(error, Error::TooNew { found: 1000, known: 5, .. }), "{error:?}");
    assert_eq!(rows(dir.path(), "SELECT cluster FROM meta").len(), 1);
}

#[tokio::test]
async fn a_file_that_is_no_store_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    fs::write(&path, "hello, this is my shopping list. ".repeat(100)).unwrap();
    let error = Embedded::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    assert!(fs::read_to_string(&path).unwrap().starts_with("hello"));

    let error = Embedded::open(&dir.path().join("missing")).unwrap_err();
    assert!(error.to_string().contains("missing/atlas.sqlite"), "{error}");
}

#[tokio::test]
async fn a_damaged_value_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut leader = leader(dir.path()).await;
    leader.commit([contract::queued(1)]).await;
    let connection = Connection::open(dir.path().join(FILE)).unwrap();
    for (damage, why) in [
        (r#"{"v":2,"value":{}}"#, "version 2"),
        (r#"{"v":1,"value":{}}"#, "missing field `submitted`"),
        ("{", "EOF"),
    ] {
        connection.execute("UPDATE jobs SET state = ?1", [damage]).unwrap();
        let error = leader.store.job(contract::id(1)).await.unwrap_err();
        let Error::Decode { key, source } = &error else { panic!("{error:?}") };
        assert_eq!(*key, format!("the state of job {}", contract::id(1)));
        assert!(source.to_string().contains(why), "{source}");
        assert!(matches!(leader.store.restore().await, Err(Error::Decode { .. })));
    }
}

#[test]
fn every_look_up_walks_an_index() {
    let dir = tempfile::tempdir().unwrap();
    drop(Embedded::open(dir.path()).unwrap());
    let plans = |sql: &str| -> Vec<String> {
        let connection = Connection::open(dir.path().join(FILE)).unwrap();
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let empty = vec![""; statement.parameter_count()];
        let rows =
            statement.query_map(rusqlite::params_from_iter(empty), |row| row.get(3)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    for (sql, index) in [
        (
            "SELECT 1 FROM jobs JOIN specs USING (position) WHERE live = 1 ORDER BY position",
            "live_jobs",
        ),
        ("SELECT id FROM jobs WHERE id >= ?1 AND id < ?1 || 'g' ORDER BY id", "autoindex_jobs"),
        ("SELECT 1 FROM jobs WHERE position < ?1 ORDER BY position DESC", "INTEGER PRIMARY KEY"),
        ("SELECT 1 FROM jobs WHERE bundle = ?1 LIMIT 1", "jobs_by_bundle"),
    ] {
        let plan = plans(sql).join("; ");
        assert!(plan.contains(index), "{sql}: {plan}");
        assert!(!plan.contains("SCAN") && !plan.contains("B-TREE"), "{sql}: {plan}");
    }
}
