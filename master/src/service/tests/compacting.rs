//! What a job has told becomes one table when it has ended, and is read as before.

use atlas_core::job::{Archive as Kept, End, JobState};
use atlas_core::record::JobEvent;
use atlas_core::{Outcome, Record, Run};
use atlas_proto::convert::ship::Holder;

use super::tracking::{append, counted, job, lines, run, series};
use super::*;

/// As the node's last word would have it.
pub async fn end(world: &World, of: &Holder) {
    let mut status = world.service.find(&of.job.to_string()).await.unwrap().status;
    let end = End {
        outcome: Outcome::Completed,
        at: now().wall,
        started: None,
        log_length: 0,
        spool_length: lines(0..100).len() as u64,
    };
    let node = Some(of.node.clone());
    status.state = JobState::done(end, node, Kept::Complete);
    let record = Record::JobChanged { id: of.job, event: JobEvent::Archived, status };
    world.service.reactor.keep(vec![record]).await.unwrap();
}

/// The run, once nothing of it is in segments.
pub async fn compacted(world: &World, of: &Holder) -> Arc<Run> {
    let mut news = world.service.feed.follow(of.job);
    let found = async {
        loop {
            let run = run(world, of).await;
            if run.table.is_some() && !run.has_segments() {
                return run;
            }
            news.changed().await.unwrap();
        }
    };
    tokio::time::timeout(SOON, found).await.expect("nobody compacts it")
}

fn files(world: &World, of: &Holder) -> Vec<String> {
    let entries = std::fs::read_dir(world.service.archive.series(of.job)).unwrap();
    entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn a_job_that_has_ended_has_one_table_and_what_comes_late_goes_into_the_next_one() {
    let world = World::new().await;
    let (of, _link) = job(&world).await;
    append(&world, &of, 0, &lines(0..20)).await;
    world.service.tracker.compact(of.job).await.unwrap();
    assert!(run(&world, &of).await.has_segments(), "it runs still");
    end(&world, &of).await;
    let table = compacted(&world, &of).await.table.unwrap();
    assert_eq!((table.number, table.points), (1, 20));
    assert_eq!(series(&world, &of).await, counted(20));

    // Once more, and then from where it was.
    assert_eq!(append(&world, &of, 0, &lines(0..20)).await, lines(0..20).len() as u64);
    append(&world, &of, lines(0..20).len(), &lines(20..30)).await;
    assert!(run(&world, &of).await.has_segments());
    assert_eq!(series(&world, &of).await, counted(30));
    world.service.tracker.compact(of.job).await.unwrap();
    let next = run(&world, &of).await;
    assert_eq!((next.table.unwrap().number, next.table.unwrap().points), (2, 30));
    assert_eq!(series(&world, &of).await, counted(30));
    assert_eq!(files(&world, &of).len(), 1, "{:?}", files(&world, &of));
    assert_eq!(next.metrics["loss"].count, 30);
}

#[tokio::test]
async fn the_next_master_finishes_what_the_last_one_did_not() {
    let world = World::new().await;
    let (of, _link) = job(&world).await;
    append(&world, &of, 0, &lines(0..20)).await;
    end(&world, &of).await;
    compacted(&world, &of).await;
    append(&world, &of, lines(0..20).len(), &lines(20..30)).await;
    let next = World::over(world.dir.clone()).await;
    let run = compacted(&next, &of).await;
    assert_eq!(run.table.unwrap().points, 30);
    assert_eq!(series(&next, &of).await, counted(30));
    // Who was replaced can bring nothing about, and removes nothing.
    assert!(world.service.tracker.compact(of.job).await.is_ok());
    assert_eq!(series(&next, &of).await, counted(30));
}

#[tokio::test]
async fn a_store_that_was_put_back_from_a_copy_is_told_of_the_table() {
    let world = World::new().await;
    let (of, _link) = job(&world).await;
    append(&world, &of, 0, &lines(0..20)).await;
    let older = run(&world, &of).await;
    end(&world, &of).await;
    compacted(&world, &of).await;
    let put_back = Record::RunChanged { id: of.job, run: older };
    world.service.reactor.keep(vec![put_back]).await.unwrap();
    assert!(run(&world, &of).await.has_segments());
    assert_eq!(series(&world, &of).await, counted(20));
    assert_eq!(run(&world, &of).await.table.unwrap().points, 20);
}

#[tokio::test]
async fn who_read_the_run_before_its_segments_were_gone_reads_the_table() {
    let world = World::new().await;
    let (of, _link) = job(&world).await;
    append(&world, &of, 0, &lines(0..50)).await;
    let text = of.job.to_string();
    let reading = async {
        for _ in 0..50 {
            let series = world.service.series(&text, "loss", None, None).await.unwrap();
            assert_eq!(series.total, 50);
        }
    };
    tokio::join!(reading, async {
        end(&world, &of).await;
        compacted(&world, &of).await;
    });
    assert_eq!(series(&world, &of).await, counted(50));
}

#[tokio::test]
async fn a_job_that_told_no_points_gets_no_folder() {
    let world = World::new().await;
    let (of, _link) = job(&world).await;
    append(&world, &of, 0, "{\"e\":\"tag\",\"key\":\"a\",\"value\":\"b\"}\n").await;
    end(&world, &of).await;
    world.service.tracker.compact(of.job).await.unwrap();
    assert_eq!(run(&world, &of).await.table, None);
    assert!(!world.service.archive.series(of.job).exists());
}
