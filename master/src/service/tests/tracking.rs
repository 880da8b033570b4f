//! What jobs tell of themselves, with masters that come and go.

use atlas_core::run::{Relabel, Scalar, limits};
use atlas_core::{Attempt, Identity, Run};
use atlas_proto::convert::ship::Holder;

use super::shipping::holder;
use super::*;
use crate::tracker::{Files, Taken};

/// A line each, of a metric whose values are the numbers.
pub fn lines(numbers: std::ops::Range<u64>) -> String {
    let line = |it| format!("{{\"e\":\"metric\",\"key\":\"loss\",\"value\":{it},\"at\":{it}}}\n");
    numbers.map(line).collect()
}

/// A job that node `a` holds.
pub async fn job(world: &World) -> (Holder, mpsc::Receiver<Down>) {
    let link = world.join("a", 1, Says::Freezes("")).await;
    let holder = holder("a", world.submit().await, 1);
    std::fs::create_dir_all(world.service.archive.job(holder.job)).unwrap();
    (holder, link)
}

pub async fn append(world: &World, of: &Holder, offset: usize, data: &str) -> u64 {
    tell(world, of, offset, data, false).await.unwrap().length
}

async fn tell(
    world: &World,
    of: &Holder,
    offset: usize,
    data: &str,
    last: bool,
) -> Result<Taken, Error> {
    let data = data.to_owned().into();
    world.service.append_spool(of, offset as u64, data, last, Files::default()).await
}

pub async fn run(world: &World, of: &Holder) -> Arc<Run> {
    world.service.run(&of.job.to_string()).await.unwrap().1
}

/// Steps and values of the series.
pub async fn series(world: &World, of: &Holder) -> Vec<(u64, i64)> {
    let series = world.service.series(&of.job.to_string(), "loss", None, None).await.unwrap();
    let pair = |it: tracker::Sample| match it.value {
        Scalar::Int(value) => (it.step, value),
        other => panic!("{other}"),
    };
    series.samples.into_iter().map(pair).collect()
}

pub fn counted(to: u64) -> Vec<(u64, i64)> {
    (0..to).map(|it| (it, it.cast_signed())).collect()
}

#[tokio::test]
async fn every_event_counts_once_however_often_its_bytes_come() {
    let world = World::new().await;
    let (of, _link) = job(&world).await;
    let text = lines(0..100);
    assert_eq!(append(&world, &of, 0, "").await, 0);
    let half = text.len() / 2;
    let whole_lines = text[..half].rfind('\n').unwrap() + 1;
    assert_eq!(append(&world, &of, 0, &text[..half]).await, whole_lines as u64);
    assert_eq!(append(&world, &of, 0, &text[..half]).await, whole_lines as u64);
    assert_eq!(append(&world, &of, half, &text[half..]).await, whole_lines as u64, "a gap");
    assert_eq!(append(&world, &of, 7, &text[7..]).await, text.len() as u64);
    assert_eq!(series(&world, &of).await, counted(100));
    let run = run(&world, &of).await;
    assert_eq!((run.metrics["loss"].count, run.offset(Attempt(1))), (100, text.len() as u64));
    let few = world.service.series(&of.job.to_string(), "loss", None, Some(10)).await.unwrap();
    assert_eq!((few.total, few.samples.len(), few.rank), (100, 10, 0));
}

#[tokio::test]
async fn the_next_master_goes_on_behind_what_was_committed() {
    let world = World::new().await;
    let (of, _link) = job(&world).await;
    let text = lines(0..60);
    let (first, second) = (lines(0..20).len(), lines(0..40).len());
    append(&world, &of, 0, &text[..first]).await;
    // A leader that wrote points and died before it could commit them.
    let segment = world.service.archive.segment(of.job, of.attempt, world.epoch().await);
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes.extend(b"never committed");
    std::fs::write(&segment, bytes).unwrap();
    append(&world, &of, first, &text[first..second]).await;

    let next = World::over(world.dir.clone()).await;
    let _link = next.join("a", 1, Says::Freezes("")).await;
    assert_eq!(append(&next, &of, text.len(), "").await, second as u64);
    assert_eq!(append(&next, &of, 0, &text).await, text.len() as u64);
    assert_eq!(series(&next, &of).await, counted(60));
    assert_eq!(run(&next, &of).await.attempts[&Attempt(1)].segments.len(), 2);
    // The old one does not know that it was replaced, and can keep nothing.
    let late = tell(&world, &of, second, &lines(70..71), false).await;
    assert!(late.is_err(), "{late:?}");
    assert_eq!(series(&next, &of).await, counted(60));
}

#[tokio::test]
async fn what_people_call_a_job_holds_under_the_next_master_too() {
    let world = World::new().await;
    let (of, _link) = job(&world).await;
    let id = of.job.to_string();
    let tag = |key: &str| format!("{{\"e\":\"tag\",\"key\":\"{key}\",\"value\":\"\"}}\n");
    let told = tag("own") + &tag("kept");
    append(&world, &of, 0, &told).await;
    let tags = [("own".into(), None), ("new".into(), Some("1".into()))].into();
    let change = Relabel { name: Some("the best".into()), tags };
    world.service.relabel(&Identity::unverified("ada"), &id, change).await.unwrap();

    let next = World::over(world.dir.clone()).await;
    let _link = next.join("a", 1, Says::Freezes("")).await;
    let listing =
        Listing { filter: "tags.new=1 and tags.kept exists".into(), ..Listing::default() };
    let page = next.service.list(&listing).await.unwrap();
    let found = &page.jobs[0].job.spec;
    let tags: Vec<_> = found.tags.keys().map(String::as_str).collect();
    assert_eq!((found.name.as_deref(), tags), (Some("the best"), vec!["kept", "new"]));
    let stored = next.service.find(&id).await.unwrap();
    assert_eq!(next.service.labelled(stored.clone()).await.unwrap(), page.jobs[0].job);
    assert_ne!(stored, page.jobs[0].job, "what was submitted is what it was");
    append(&next, &of, told.len(), &tag("own")).await;
    let again = next.service.labelled(stored).await.unwrap();
    assert!(again.spec.tags.contains_key("own"), "the job spoke last");
}

#[tokio::test]
async fn who_does_not_wait_for_the_answer_breaks_nothing() {
    let world = World::new().await;
    let (of, _link) = job(&world).await;
    let text = lines(0..500);
    let mut offset = 0;
    while offset < text.len() {
        let end = (offset + 999).min(text.len());
        let mut appending = Box::pin(tell(&world, &of, offset, &text[offset..end], false));
        for _ in 0..offset % 7 {
            let _ = futures::poll!(&mut appending);
            tokio::task::yield_now().await;
        }
        drop(appending);
        offset = usize::try_from(append(&world, &of, offset, &text[offset..end]).await).unwrap();
    }
    assert_eq!(series(&world, &of).await, counted(500));
}

#[tokio::test]
async fn a_later_attempt_wins_and_what_comes_late_of_an_older_one_is_kept_as_its_own() {
    let world = World::new().await;
    let (first, _link) = job(&world).await;
    append(&world, &first, 0, &lines(0..4)).await;
    let _b = world.join("b", 2, Says::Freezes("")).await;
    world.remove("a", 1).await;
    let _a = world.join("a", 3, Says::Freezes("")).await;
    let second = holder("b", first.job, 2);
    append(&world, &second, 0, &lines(10..12)).await;
    append(&world, &first, lines(0..4).len(), &lines(4..6)).await;
    assert_eq!(series(&world, &first).await, [(0, 10), (1, 11), (2, 2), (3, 3), (4, 4), (5, 5)]);
    let run = run(&world, &first).await;
    assert_eq!((run.metrics["loss"].count, run.points()), (6, 8));
    let stranger = tell(&world, &holder("b", first.job, 1), 0, "", false).await;
    assert!(matches!(stranger, Err(Error::NotHeld { .. })), "{stranger:?}");
}

#[tokio::test]
async fn what_a_job_left_half_written_costs_itself() {
    let world = World::new().await;
    let (of, _link) = job(&world).await;
    let long = "x".repeat(limits::LINE);
    let text = format!("{}{long}{long}", lines(0..1));
    assert_eq!(append(&world, &of, 0, &text).await, text.len() as u64);
    let (more, torn) = (format!("{long}\nnonsense\n{}", lines(1..2)), "{\"e\":\"metr");
    let all = format!("{more}{torn}");
    let end = (text.len() + all.len()) as u64;
    assert_eq!(append(&world, &of, text.len(), &all).await, end - torn.len() as u64);
    let last = tell(&world, &of, text.len(), &all, true).await.unwrap();
    assert_eq!(last.length, end);
    let run = run(&world, &of).await;
    assert_eq!((run.left.unreadable, run.metrics["loss"].count), (3, 2));
    assert_eq!(series(&world, &of).await, counted(2));
}

#[tokio::test]
async fn a_job_of_the_id_of_one_that_was_deleted_begins_anew() {
    let world = World::new().await;
    let (of, _link) = job(&world).await;
    append(&world, &of, 0, &lines(0..9)).await;
    let delete = vec![atlas_core::Record::JobDeleted { id: of.job }];
    world.service.reactor.keep(delete).await.unwrap();
    world.service.tracker.forget(of.job).await;
    let queued = contract::job_queued(1, 9, contract::spec());
    let atlas_core::Record::JobQueued { spec, status, .. } = queued else { unreachable!() };
    let again = atlas_core::Record::JobQueued { id: of.job, spec, status };
    world.service.reactor.keep(vec![again]).await.unwrap();
    let piece = tracker::Piece {
        job: of.job,
        attempt: of.attempt,
        offset: 0,
        data: lines(0..2).into(),
        last: true,
        files: None,
    };
    let taken = world.service.tracker.take_in(piece).await.unwrap();
    assert_eq!(taken.length, lines(0..2).len() as u64);
    assert_eq!(run(&world, &of).await.metrics["loss"].count, 2);
}

#[tokio::test]
async fn what_was_never_logged_or_is_of_no_job_is_said_so() {
    let world = World::new().await;
    let (of, _link) = job(&world).await;
    append(&world, &of, 0, &lines(0..1)).await;
    let job = of.job.to_string();
    let unknown = world.service.series(&job, "acc", None, None).await.unwrap_err().to_string();
    assert_eq!(unknown, format!("job {job} has logged no metric \"acc\""));
    let unknown = world.service.series(&job, "loss", Some(3), None).await.unwrap_err().to_string();
    assert_eq!(unknown, format!("job {job} has logged no metric \"loss\" from rank 3"));
    let refused = tell(&world, &of, 0, &"\n".repeat((1 << 20) + 1), false).await;
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_storage_that_is_not_there_takes_nothing_and_loses_nothing() {
    let world = World::new().await;
    let (of, _link) = job(&world).await;
    let folder = world.service.archive.job(of.job);
    std::fs::remove_dir(&folder).unwrap();
    let refused = tell(&world, &of, 0, &lines(0..3), false).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    assert!(!folder.exists());
    std::fs::create_dir(&folder).unwrap();
    append(&world, &of, 0, &lines(0..3)).await;
    assert_eq!(series(&world, &of).await, counted(3));
}

#[tokio::test]
async fn what_names_a_file_waits_until_that_is_kept_or_known_to_be_missing() {
    let world = World::new().await;
    let (of, _link) = job(&world).await;
    let saves = |key: &str| {
        format!("{{\"e\":\"artifact\",\"key\":\"{key}\",\"path\":\"1/{key}\",\"bytes\":3}}\n")
    };
    let before = lines(0..2);
    let text = format!("{before}{}{}{}", saves("a"), saves("b"), lines(2..3));
    let taken = tell(&world, &of, 0, &text, false).await.unwrap();
    let wanted = vec!["1/a".to_owned(), "1/b".to_owned()];
    assert_eq!(taken, Taken { length: before.len() as u64, wanted });
    assert_eq!(append(&world, &of, 0, &text).await, before.len() as u64, "it goes on waiting");
    let files = Files {
        kept: ["1/a".to_owned()].into(),
        missing: [("1/b".to_owned(), "it is not there".to_owned())].into(),
    };
    let data = text.clone().into();
    let taken = world.service.append_spool(&of, 0, data, true, files).await.unwrap();
    assert_eq!(taken, Taken { length: text.len() as u64, wanted: vec![] });
    let run = run(&world, &of).await;
    assert_eq!(run.artifacts.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(run.left.why["b"], "it is not there");
    assert_eq!(series(&world, &of).await, counted(3));
}
