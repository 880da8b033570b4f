//! The index beside a store that is being read.

use std::sync::Arc;

use atlas_core::run::Run;
use atlas_core::{Attempt, Outcome, Record, Timestamp};
use atlas_runtime::tasks::Tasks;

use super::index::Columns;
use super::keeper::Runs;
use super::query::Query;
use crate::store::contract::{changed, done, id, queued, running};
use crate::store::{StoredJob, StoredRun};

const NOW: Timestamp = Timestamp(1_795_168_800_000);

fn stored(number: u64) -> StoredJob {
    let Record::JobQueued { id, spec, status } = queued(number) else { unreachable!("it is one") };
    StoredJob { id, spec, status }
}

fn run(loss: u32) -> Arc<Run> {
    let mut run = Run::default();
    let line = format!(r#"{{"e":"metric","key":"loss","value":{loss}}}"#);
    run.take(Attempt(1), NOW, serde_json::from_str(&line).unwrap());
    Arc::new(run)
}

fn told(number: u64, loss: u32) -> Record {
    Record::RunChanged { id: id(number), run: run(loss) }
}

async fn found(runs: &Runs, text: &str) -> Vec<u64> {
    let (query, columns) = (Query::parse(text).unwrap(), Columns::All);
    let (found, _) = runs.find(query, None, 100, NOW, columns).await.unwrap();
    found.ids.iter().map(|it| (1..100).find(|number| id(*number) == *it).unwrap()).collect()
}

#[tokio::test]
async fn what_happens_while_the_store_is_read_is_newer_than_what_was_read() {
    let tasks = Tasks::new();
    let runs = Runs::empty(&tasks);
    let news = runs.listener();
    // Before their jobs are read.
    news(&changed(1, running("a")));
    news(&Record::JobDeleted { id: id(2) });
    news(&told(3, 30));
    news(&queued(6));
    runs.fill_jobs((1..=5).map(stored).collect()).await.unwrap();
    // And after.
    news(&changed(5, done(Outcome::Completed)));
    news(&told(4, 40));
    news(&Record::JobDeleted { id: id(6) });
    let old = |number| StoredRun {
        id: id(number),
        position: stored(number).status.position,
        run: run(1),
    };
    runs.fill_jobs(vec![stored(6), stored(5)]).await.unwrap();
    runs.fill_runs((2..=5).map(old).collect()).await.unwrap();
    runs.complete();
    assert_eq!(found(&runs, "").await, [5, 4, 3, 1]);
    assert_eq!(found(&runs, "status=running").await, [1]);
    assert_eq!(found(&runs, "status=completed").await, [5]);
    assert_eq!(found(&runs, "sort metrics.loss").await, [5, 3, 4, 1]);
    assert_eq!(found(&runs, "metrics.loss>=30").await, [4, 3]);
}

#[tokio::test]
async fn whoever_heard_that_something_is_kept_finds_it() {
    let tasks = Tasks::new();
    let runs = Runs::empty(&tasks);
    let news = runs.listener();
    runs.complete();
    for number in 1..=50 {
        news(&queued(number));
        assert_eq!(found(&runs, "").await.len() as u64, number);
    }
    news(&changed(7, running("a")));
    assert_eq!(found(&runs, "status=running and node=a").await, [7]);
    let project = runs.projects().await.unwrap().remove(0);
    assert_eq!((&*project.name, project.runs, project.running), ("my-project", 50, 1));
    assert_eq!(runs.keys("my-project".into()).await.unwrap(), []);
}

#[tokio::test]
async fn a_question_waits_until_the_index_is_complete() {
    let tasks = Tasks::new();
    let runs = Runs::empty(&tasks);
    let mut question = std::pin::pin!(found(&runs, ""));
    assert!(futures::poll!(&mut question).is_pending());
    runs.fill_jobs(vec![stored(1)]).await.unwrap();
    assert!(futures::poll!(&mut question).is_pending());
    runs.complete();
    assert_eq!(question.await, [1]);
}

#[tokio::test]
async fn an_index_ends_with_its_master() {
    let tasks = Tasks::new();
    let runs = Runs::empty(&tasks);
    runs.complete();
    assert_eq!(found(&runs, "").await, [0; 0]);
    tasks.shutdown(std::time::Duration::from_secs(5)).await.unwrap();
    let asked = runs.find(Query::default(), None, 1, NOW, Columns::All).await;
    assert_eq!(asked.unwrap_err().to_string(), "the master is stopping");
}
