//! What every store must do. Each implementation runs [`check`] on a place of its own.

mod projects;
mod runs;
mod values;

use std::sync::Arc;

use atlas_core::cluster::Snapshot;
use atlas_core::job::{End, JobState, Written};
use atlas_core::spec::Worker;
use atlas_core::time::Millis;
use atlas_core::{
    Cause, Demand, Epoch, JobId, JobSpec, Outcome, Position, Record, Revision, Status, Timestamp,
};
use futures::future::BoxFuture;

use super::{Batch, CommitError, Mark, Page, Store, StoredJob};
pub use projects::written;
pub use runs::told;
pub use values::{changed, done, id, job_queued, node, queued, running, spec, states, status};
use values::{changed_to, removals};

/// Where one store lies. Every `open` is a connection of its own, as another master, or the same one after a death, makes it.
pub type Place = Box<dyn Fn() -> Arc<dyn Store> + Send + Sync>;

/// Runs every rule, each on a new place.
pub async fn check(place: impl Fn() -> Place) {
    for (rule, case) in RULES {
        eprintln!("the store's contract: {rule}");
        case(place()).await;
    }
}

/// A sentence and its test.
type Rule = (&'static str, fn(Place) -> BoxFuture<'static, ()>);

const RULES: [Rule; 21] = [
    ("a new one is empty", |it| Box::pin(a_new_one_is_empty(it))),
    ("each leader has the next epoch", |it| Box::pin(each_leader_has_the_next_epoch(it))),
    ("a commit is all or nothing", |it| Box::pin(a_commit_is_all_or_nothing(it))),
    ("revisions follow", |it| Box::pin(revisions_follow(it))),
    ("an old leader is overtaken", |it| Box::pin(an_old_leader_is_overtaken(it))),
    ("the mark tells what was kept", |it| Box::pin(the_mark_tells_what_was_kept(it))),
    ("a contradiction is refused", |it| Box::pin(a_contradiction_is_refused(it))),
    ("a restore gives exactly what is live", |it| Box::pin(a_restore_gives_what_is_live(it))),
    ("a restore is in queue order", |it| Box::pin(a_restore_is_in_queue_order(it))),
    ("whole values are replaced", |it| Box::pin(whole_values_are_replaced(it))),
    ("a deleted job is gone", |it| Box::pin(a_deleted_job_is_gone(it))),
    ("a position is never given twice", |it| Box::pin(a_position_is_never_given_twice(it))),
    ("any text and number comes back", |it| Box::pin(any_text_and_number_comes_back(it))),
    ("a run stays with its job", |it| Box::pin(runs::a_run_stays_with_its_job(it))),
    ("what is written of a project is kept", |it| {
        Box::pin(projects::what_is_written_of_a_project_is_kept_apart_from_its_jobs(it))
    }),
    ("prefixes find ids", |it| Box::pin(prefixes_find_ids(it))),
    ("every filter holds", |it| Box::pin(jobs_are_looked_up_in_the_order_that_is_asked_for(it))),
    ("pages follow each other", |it| Box::pin(pages_follow_each_other(it))),
    ("what was kept is there after a death", |it| Box::pin(kept_is_there_after_a_death(it))),
    ("10,000 records are one commit", |it| Box::pin(many_records_are_one_commit(it))),
    ("readers see whole commits only", |it| Box::pin(readers_see_whole_commits_only(it))),
];

async fn a_new_one_is_empty(place: Place) {
    let store = place();
    let Snapshot { jobs, nodes, next_position, granted } = store.restore().await.unwrap();
    assert!(jobs.is_empty() && nodes.is_empty());
    assert_eq!((next_position, granted), (Position(1), None));
    assert_eq!(store.mark().await.unwrap(), Mark::default());
    assert_eq!(store.job(id(1)).await.unwrap(), None);
    assert_eq!(list(&store).await, []);
}

async fn each_leader_has_the_next_epoch(place: Place) {
    let (one, other) = (place(), place());
    let (first, second) = (one.lead().await.unwrap(), other.lead().await.unwrap());
    assert_eq!((first.mark.epoch, second.mark.epoch), (Epoch(1), Epoch(2)));
    assert_eq!(first.cluster, second.cluster);
    assert_eq!(place().lead().await.unwrap().cluster, first.cluster);
    for (above, epoch) in [(2, 4), (9, 10), (10, 11)] {
        let led = place().lead_above(Epoch(above)).await.unwrap();
        assert_eq!(led.mark.epoch, Epoch(epoch));
    }
}

async fn a_commit_is_all_or_nothing(place: Place) {
    let mut leader = Leader::of(place()).await;
    leader.commit([queued(1)]).await;
    let node = Record::NodeChanged(node("a", None));
    let refused = leader.try_commit(vec![queued(2), node, queued(1), queued(3)]).await;
    assert!(matches!(refused, Err(CommitError::Contradiction(_))), "{refused:?}");
    let Snapshot { jobs, nodes, next_position, .. } = leader.store.restore().await.unwrap();
    assert_eq!((jobs.len(), nodes.len(), next_position), (1, 0, Position(2)));
    assert_eq!(leader.store.mark().await.unwrap(), leader.mark);
    // The same revision is free for the next one.
    leader.commit([queued(2)]).await;
}

async fn revisions_follow(place: Place) {
    let mut leader = Leader::of(place()).await;
    leader.commit([queued(1)]).await;
    let Mark { epoch, revision } = leader.mark;
    for wrong in [Revision(0), revision, Revision(revision.0 + 2)] {
        let after = Revision(wrong.0.saturating_sub(1));
        let batch = Batch { epoch, after, revision: wrong, records: vec![queued(2)] };
        match leader.store.commit(&batch).await {
            Err(CommitError::Overtaken { found, tried }) => {
                assert_eq!((found, tried), (leader.mark, Mark { epoch, revision: wrong }));
            }
            other => panic!("revision {wrong}: {other:?}"),
        }
    }
    assert_eq!(list(&leader.store).await, [id(1)]);
    leader.commit([]).await;
}

async fn an_old_leader_is_overtaken(place: Place) {
    let mut old = Leader::of(place()).await;
    old.commit([queued(1)]).await;
    let mut new = Leader::of(place()).await;
    assert_eq!(new.mark, Mark { epoch: Epoch(2), revision: Revision(1) });
    for _ in 0..2 {
        let refused = old.try_commit(vec![queued(2)]).await;
        let Err(CommitError::Overtaken { found, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(found.epoch, Epoch(2));
        new.commit([changed(1, running("a"))]).await;
    }
    let never_led = Batch::next(Mark { epoch: Epoch(9), ..new.mark }, vec![]);
    let refused = new.store.commit(&never_led).await;
    assert!(matches!(refused, Err(CommitError::Overtaken { .. })), "{refused:?}");
    assert_eq!(list(&old.store).await, [id(1)]);
}

async fn the_mark_tells_what_was_kept(place: Place) {
    let mut leader = Leader::of(place()).await;
    for number in 1..4 {
        let before = leader.mark;
        leader.commit([queued(number)]).await;
        let mark = leader.store.mark().await.unwrap();
        assert_eq!(mark, Mark { revision: before.revision.next(), ..before });
    }
}

async fn a_contradiction_is_refused(place: Place) {
    let mut leader = Leader::of(place()).await;
    leader.commit([queued(1), queued(2), changed(1, done(Outcome::Completed))]).await;
    let same_position = Record::JobQueued {
        id: id(7),
        spec: spec().into(),
        status: status(2, JobState::Queued { excluded: vec![] }),
    };
    for record in [queued(1), queued(2), same_position, changed(9, running("a"))] {
        let refused = leader.try_commit(vec![record.clone()]).await;
        assert!(matches!(refused, Err(CommitError::Contradiction(_))), "{record:?}: {refused:?}");
    }
    let one = leader.store.job(id(1)).await.unwrap().unwrap();
    assert_eq!(one.status.status(), Status::Completed);
}

async fn a_restore_gives_what_is_live(place: Place) {
    let mut leader = Leader::of(place()).await;
    let states = [states(), removals()].concat();
    let names: Vec<u64> = (1..).take(states.len()).collect();
    leader.commit(names.iter().map(|it| queued(*it))).await;
    leader.commit(names.iter().zip(&states).map(|(it, state)| changed(*it, state.clone()))).await;
    let cordoned = node("b", Some("its disk is full".into()));
    let nodes = [node("a", None), cordoned];
    leader.commit(nodes.iter().cloned().map(Record::NodeChanged)).await;
    leader.commit([Record::LeaseGranted(Millis(3_600_000))]).await;

    let restored = leader.store.restore().await.unwrap();
    let is_live = |state: &JobState| {
        let removing = matches!(state, JobState::Done { written: Written::Removing(_), .. });
        removing || !matches!(state, JobState::Done { .. })
    };
    let live = names.iter().zip(states.clone()).filter(|it| is_live(&it.1));
    let live: Vec<_> =
        live.map(|(it, state)| (id(*it), Arc::new(spec()), status(*it, state))).collect();
    assert_eq!(restored.jobs, live);
    assert_eq!(restored.nodes, nodes);
    assert_eq!(restored.granted, Some(Millis(3_600_000)));
    assert_eq!(restored.next_position, Position(names.len() as u64 + 1));
    for (number, state) in names.iter().zip(states) {
        let job = leader.store.job(id(*number)).await.unwrap().unwrap();
        let expected =
            StoredJob { id: id(*number), spec: spec().into(), status: status(*number, state) };
        assert_eq!(job, expected);
    }
}

async fn a_restore_is_in_queue_order(place: Place) {
    let mut leader = Leader::of(place()).await;
    for number in [3, 1, 2] {
        leader.commit([queued(number)]).await;
    }
    // Taken out and queued again at the old position.
    leader.commit([changed(1, running("a"))]).await;
    leader.commit([changed(1, JobState::Queued { excluded: vec![] })]).await;
    let jobs = leader.store.restore().await.unwrap().jobs;
    let order: Vec<_> = jobs.iter().map(|(id, _, status)| (*id, status.position.0)).collect();
    assert_eq!(order, [(id(1), 1), (id(2), 2), (id(3), 3)]);
}

async fn whole_values_are_replaced(place: Place) {
    let mut leader = Leader::of(place()).await;
    let grant = |span| Record::LeaseGranted(Millis(span));
    let first = [queued(1), Record::NodeChanged(node("a", Some("x".into()))), grant(9)];
    leader.commit(first).await;
    leader.commit([changed(1, running("a")), Record::NodeChanged(node("a", None)), grant(8)]).await;
    let Snapshot { jobs, nodes, granted, .. } = leader.store.restore().await.unwrap();
    assert_eq!(jobs, [(id(1), spec().into(), status(1, running("a")))]);
    assert_eq!((nodes, granted), (vec![node("a", None)], Some(Millis(8))));
    leader.commit([Record::NodeRemoved("a".parse().unwrap()), grant(0)]).await;
    let Snapshot { nodes, granted, .. } = leader.store.restore().await.unwrap();
    assert_eq!((nodes, granted), (vec![], None), "no span is no grant");
    // Several changes of one job in one commit: the last one counts.
    leader.commit([changed(1, running("b")), changed(1, done(Outcome::Completed))]).await;
    let job = leader.store.job(id(1)).await.unwrap().unwrap();
    assert_eq!(job.status, status(1, done(Outcome::Completed)));
}

async fn a_deleted_job_is_gone(place: Place) {
    let mut leader = Leader::of(place()).await;
    leader.commit([queued(1), queued(2)]).await;
    assert!(leader.store.uses_bundle(spec().bundle.id).await.unwrap());
    leader.commit([Record::JobDeleted { id: id(1) }]).await;
    assert_eq!(leader.store.job(id(1)).await.unwrap(), None);
    assert_eq!(list(&leader.store).await, [id(2)]);
    let prefix = id(1).to_string();
    assert_eq!(leader.store.jobs_with_prefix(&prefix, 9).await.unwrap(), []);
    assert_eq!(leader.store.restore().await.unwrap().jobs.len(), 1);
    assert!(leader.store.uses_bundle(spec().bundle.id).await.unwrap(), "job 2 uses it");
    // Finished jobs hold their bundle too.
    leader.commit([changed(2, done(Outcome::Completed))]).await;
    assert!(leader.store.uses_bundle(spec().bundle.id).await.unwrap(), "job 2 still uses it");
    leader.commit([Record::JobDeleted { id: id(2) }, Record::JobDeleted { id: id(2) }]).await;
    assert!(!leader.store.uses_bundle(spec().bundle.id).await.unwrap());
    // Its id is free again, as that of a job that never was.
    leader.commit([job_queued(1, 3, spec())]).await;
}

async fn a_position_is_never_given_twice(place: Place) {
    let mut leader = Leader::of(place()).await;
    leader.commit([queued(7)]).await;
    leader.commit([Record::JobDeleted { id: id(7) }]).await;
    assert_eq!(place().restore().await.unwrap().next_position, Position(8));
    leader.commit([queued(3)]).await;
    assert_eq!(place().restore().await.unwrap().next_position, Position(8));
}

async fn any_text_and_number_comes_back(place: Place) {
    const TEXT: &str =
        "'; DROP TABLE jobs;-- \" \\ \0 \u{1} \r\n\t é 🚀 \u{2028} %s {} [] redis.call";
    let mut leader = Leader::of(place()).await;
    let spec = JobSpec {
        user: TEXT.into(),
        note: TEXT.into(),
        command: vec![TEXT.into(), String::new()],
        params: Some("{\"seed\": 123456789012345678901234567890, \"lr\": 1e-3}".into()),
        demand: Demand { gpus: u32::MAX, cpu_milli: u64::MAX, memory: u64::MAX - 1 },
        worker: Worker { env: [(TEXT.into(), TEXT.into())].into(), ..Worker::default() },
        ..spec()
    };
    let end = End {
        outcome: Outcome::failed(Cause::StoppedBy(TEXT.into()), TEXT),
        at: Timestamp(u64::MAX),
        started: None,
        log_length: u64::MAX,
        spool_length: (1 << 53) + 1,
    };
    let status = status(1, JobState::Deleting { end });
    leader.commit([job_queued(1, 1, spec.clone())]).await;
    leader.commit([changed_to(1, status.clone())]).await;
    let expected = StoredJob { id: id(1), spec: spec.into(), status };
    assert_eq!(leader.store.job(id(1)).await.unwrap().as_ref(), Some(&expected));
    let restored = place().restore().await.unwrap().jobs;
    assert_eq!(restored, [(id(1), expected.spec.clone(), expected.status.clone())]);
    assert_eq!(list(&leader.store).await, [id(1)]);
}

async fn prefixes_find_ids(place: Place) {
    let mut leader = Leader::of(place()).await;
    let ids = [
        "45540b52-ffe2-44ab-9838-db467d3499c0",
        "45540b52-ffe2-44ab-9838-db467d3499ff",
        "4554ffff-ffff-4fff-bfff-ffffffffffff",
        "ffffffff-ffff-4fff-bfff-ffffffffffff",
    ];
    let job = |(at, id): (usize, &&str)| Record::JobQueued {
        id: id.parse().unwrap(),
        spec: spec().into(),
        status: status(at as u64 + 1, JobState::Queued { excluded: vec![] }),
    };
    leader.commit(ids.iter().enumerate().map(job)).await;
    let find = async |prefix: &str, limit| {
        let found = leader.store.jobs_with_prefix(prefix, limit).await.unwrap();
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(find("4554", 9).await, ids[..3]);
    assert_eq!(find("45540", 9).await, ids[..2]);
    assert_eq!(find("45540b52-ffe2-44ab-9838-db467d3499c", 9).await, ids[..1]);
    assert_eq!(find(ids[0], 9).await, ids[..1], "a whole id is its own prefix");
    assert_eq!(find("ffff", 9).await, ids[3..]);
    assert_eq!(find("4554", 2).await.len(), 2);
    assert_eq!(find("", 9).await.len(), 4);
    for nothing in ["4555", "FFFF", "%", "_554", "4*", "45540b52ffe2", "'", "4554\0", "é"] {
        assert_eq!(find(nothing, 9).await, [""; 0], "{nothing:?}");
    }
}

async fn jobs_are_looked_up_in_the_order_that_is_asked_for(place: Place) {
    let mut leader = Leader::of(place()).await;
    leader.commit((1..=10).map(queued)).await;
    leader.commit([changed(7, running("a"))]).await;
    let asked = [id(3), id(11), id(7), id(1), id(10)];
    let found = leader.store.jobs_of(&asked).await.unwrap();
    let found: Vec<_> = found.iter().map(|it| (it.id, it.status.status())).collect();
    let queued = |number| (id(number), Status::Queued);
    assert_eq!(found, [queued(3), (id(7), Status::Running), queued(1), queued(10)]);
    assert_eq!(leader.store.jobs_of(&[]).await.unwrap(), []);
}

async fn pages_follow_each_other(place: Place) {
    let mut leader = Leader::of(place()).await;
    leader.commit((1..=10).map(queued)).await;
    let mut page = Page { before: None, limit: 4 };
    let mut pages = Vec::new();
    loop {
        let jobs = leader.store.jobs(&page).await.unwrap();
        let Some(last) = jobs.last() else { break };
        page.before = Some(last.status.position);
        pages.push(jobs.iter().map(|it| it.status.position.0).collect::<Vec<_>>());
        // What comes meanwhile is newer, and no page shows it or moves because of it.
        leader.commit([queued(10 + pages.len() as u64)]).await;
    }
    assert_eq!(pages, [vec![10, 9, 8, 7], vec![6, 5, 4, 3], vec![2, 1]]);
    let none = Page { before: None, limit: 0 };
    assert_eq!(leader.store.jobs(&none).await.unwrap(), []);
}

async fn kept_is_there_after_a_death(place: Place) {
    let mut leader = Leader::of(place()).await;
    leader.commit([queued(1), Record::NodeChanged(node("a", None))]).await;
    leader.commit([changed(1, running("a"))]).await;
    // The dead one closes nothing: it is still there, and so is whatever it holds open.
    let mut next = Leader::of(place()).await;
    assert_eq!(next.mark, Mark { epoch: Epoch(2), revision: Revision(2) });
    let Snapshot { jobs, nodes, .. } = next.store.restore().await.unwrap();
    assert_eq!(jobs, [(id(1), spec().into(), status(1, running("a")))]);
    assert_eq!(nodes, [node("a", None)]);
    next.commit([queued(2)]).await;
    drop(leader);
    assert_eq!(list(&place()).await, [id(2), id(1)]);
}

async fn many_records_are_one_commit(place: Place) {
    let mut leader = Leader::of(place()).await;
    leader.commit((1..=5_000).flat_map(|it| [queued(it), changed(it, running("a"))])).await;
    assert_eq!(leader.mark.revision, Revision(1));
    let jobs = place().restore().await.unwrap().jobs;
    assert_eq!(jobs.len(), 5_000);
    assert!(jobs.iter().all(|it| it.2.status() == Status::Running));
}

async fn readers_see_whole_commits_only(place: Place) {
    let mut leader = Leader::of(place()).await;
    leader.commit([queued(1), queued(2)]).await;
    let reader = place();
    let both = async {
        loop {
            let jobs = reader.restore().await.unwrap().jobs;
            let hosts: Vec<_> = jobs.iter().map(|it| it.2.state.placement()).collect();
            assert_eq!(hosts[0], hosts[1], "half of a commit was seen");
            if hosts[0].is_some_and(|it| it.node.as_str() == "last") {
                return;
            }
        }
    };
    let writing = async {
        let hosts = (0..50).map(|it| format!("n{it}")).chain(["last".into()]);
        for host in hosts {
            leader.commit([changed(1, running(&host)), changed(2, running(&host))]).await;
        }
    };
    futures::future::join(both, writing).await;
}

/// A store with its present leader.
pub struct Leader {
    pub store: Arc<dyn Store>,
    pub mark: Mark,
}

impl Leader {
    pub async fn of(store: Arc<dyn Store>) -> Self {
        let mark = store.lead().await.unwrap().mark;
        Self { store, mark }
    }

    pub async fn commit(&mut self, records: impl IntoIterator<Item = Record>) {
        self.try_commit(records.into_iter().collect()).await.unwrap();
    }

    pub async fn try_commit(&mut self, records: Vec<Record>) -> Result<(), CommitError> {
        let batch = Batch::next(self.mark, records);
        self.store.commit(&batch).await?;
        self.mark = batch.mark();
        Ok(())
    }
}

async fn list(store: &Arc<dyn Store>) -> Vec<JobId> {
    let page = Page { before: None, limit: 1000 };
    store.jobs(&page).await.unwrap().iter().map(|it| it.id).collect()
}
