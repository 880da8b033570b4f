//! What a move must do between any two stores; here between two files, with Redis beside its other tests.

use std::sync::Arc;

use atlas_core::time::Millis;
use atlas_core::{Epoch, JobId, Position, Revision};

use super::*;
use crate::store::Embedded;
use crate::store::contract::{self, Leader};

/// A store of which every call is a connection of its own.
pub type Place<'a> = &'a (dyn Fn() -> Arc<dyn Movable> + Sync);

#[tokio::test]
async fn between_two_files() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [one, other] = folders.each_ref().map(|folder| {
        move || -> Arc<dyn Movable> { Arc::new(Embedded::open(folder.path()).unwrap()) }
    });
    everything_arrives(&one, &other).await;
    cuts_are_mended(&other, &one).await;
}

/// From a new store into a new one, where the cluster is then.
pub async fn everything_arrives(from: Place<'_>, to: Place<'_>) {
    assert!(matches!(go(from, to).await, Err(Error::Nothing(_))));
    let mut leader = Leader::of(from()).await;
    fill(&mut leader).await;
    let (before, cluster) = (content(from).await, from().facts().await.unwrap().cluster);
    let Outcome::Moved(moved) = go(from, to).await.unwrap() else { panic!("it was moved before") };
    assert_eq!((moved.counts.jobs, moved.nodes), (before.0.len() as u64, 2));
    assert_eq!(content(to).await, before);

    let refused = leader.try_commit(vec![contract::queued(77)]).await;
    assert!(matches!(refused, Err(CommitError::Overtaken { .. })), "{refused:?}");
    let refused = from().lead().await.unwrap_err().to_string();
    assert!(refused.contains("moved to the target"), "{refused}");
    assert!(matches!(go(from, to).await, Ok(Outcome::MovedBefore(_))));

    let lead = to().lead().await.unwrap();
    assert_eq!((Some(lead.cluster), lead.mark.revision), (cluster, leader.mark.revision));
    assert!(lead.mark.epoch > leader.mark.epoch);
    assert!(matches!(go(from, to).await, Ok(Outcome::MovedBefore(_))));
}

/// From where the cluster is into what is left of it, which is older; and there a move is cut wherever it can be.
pub async fn cuts_are_mended(from: Place<'_>, to: Place<'_>) {
    let cluster = from().facts().await.unwrap().cluster.unwrap();
    // While it copies.
    let begun = to().begin(&cluster, "the source").await.unwrap();
    to().commit(&Batch::next(begun, vec![contract::queued(99)])).await.unwrap();
    let refused = to().lead().await.unwrap_err().to_string();
    assert!(refused.contains("from the source") && refused.contains("migrate"), "{refused}");
    let mut leader = Leader::of(from()).await;
    let next = from().facts().await.unwrap().next_position;
    leader.commit([contract::queued(next.0)]).await;
    let before = content(from).await;
    let begun_anew = to().begin(&cluster, "the source").await.unwrap();
    let late = to().finish(begun, begun, Position(1)).await;
    assert!(matches!(late, Err(StoreError::Led { .. })), "{late:?}");

    // Just before its end.
    let stale = Mark { revision: Revision(0), ..leader.mark };
    let led_meanwhile = from().give_away(stale, "the target").await;
    assert!(matches!(led_meanwhile, Err(StoreError::Led { .. })), "{led_meanwhile:?}");
    from().give_away(leader.mark, "the target").await.unwrap();
    for place in [from, to] {
        assert!(place().lead().await.is_err(), "there is one cluster, not two");
    }
    assert!(matches!(go(from, to).await, Ok(Outcome::Moved(_))));
    assert_eq!(content(to).await, before);
    assert_eq!(to().facts().await.unwrap().mark, leader.mark);
    assert!(begun_anew.epoch > begun.epoch);
}

#[tokio::test]
async fn a_target_that_holds_a_cluster_is_refused_and_nothing_is_touched() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [one, other] = folders.each_ref().map(|folder| {
        move || -> Arc<dyn Movable> { Arc::new(Embedded::open(folder.path()).unwrap()) }
    });
    let (mut source, mut target) = (Leader::of(one()).await, Leader::of(other()).await);
    source.commit([contract::queued(1)]).await;
    target.commit([contract::queued(2)]).await;
    let refused = go(&one, &other).await.unwrap_err().to_string();
    assert!(refused.contains("not empty") && refused.contains("1 jobs"), "{refused}");
    // Both are led as before.
    source.commit([contract::queued(3)]).await;
    target.commit([contract::queued(4)]).await;

    let stranger = "5f0c7c1e-7d3b-4f0e-9a50-0d2a3f1b9c11".parse().unwrap();
    let third = tempfile::tempdir().unwrap();
    let third = || -> Arc<dyn Movable> { Arc::new(Embedded::open(third.path()).unwrap()) };
    third().begin(&stranger, "elsewhere").await.unwrap();
    let refused = go(&one, &third).await.unwrap_err().to_string();
    assert!(refused.contains("on its way into it from elsewhere"), "{refused}");
}

#[tokio::test]
async fn what_went_elsewhere_is_not_taken_for_what_is_here() {
    let folders: [_; 3] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let [one, whole, unfinished] = folders.each_ref().map(|folder| {
        move || -> Arc<dyn Movable> { Arc::new(Embedded::open(folder.path()).unwrap()) }
    });
    let leader = Leader::of(one()).await;
    let cluster = one().facts().await.unwrap().cluster.unwrap();
    unfinished().begin(&cluster, "the source").await.unwrap();
    let stands = whole().begin(&cluster, "the source").await.unwrap();
    whole().finish(stands, leader.mark, Position(1)).await.unwrap();
    one().give_away(leader.mark, "a third place").await.unwrap();
    for target in [&whole as Place<'_>, &unfinished] {
        let refused = go(&one, target).await.unwrap_err();
        assert!(matches!(refused, Error::Store(StoreError::GivenAway { .. })), "{refused}");
        assert!(refused.to_string().contains("moved to a third place"), "{refused}");
    }
    assert!(unfinished().lead().await.is_err(), "a second store can be led");
}

async fn go(from: Place<'_>, to: Place<'_>) -> Result<Outcome, Error> {
    let (from, to) = (from(), to());
    let from = Side { store: from.as_ref(), name: "the source" };
    let to = Side { store: to.as_ref(), name: "the target" };
    migrate(from, to, &mut |done, of| assert!(done <= of)).await
}

/// A job of each state, more than travel at once, and one of the last that is gone again.
async fn fill(leader: &mut Leader) {
    for (number, state) in (1..).zip(contract::states()) {
        leader.commit([contract::queued(number), contract::changed(number, state)]).await;
    }
    leader.commit((1..100).map(|it| contract::told(it, it))).await;
    leader.commit([contract::written("a", "What it is"), contract::written("b", "")]).await;
    leader.commit((100..100 + BATCH as u64 + 5).map(contract::queued)).await;
    let nodes = [contract::node("a", None), contract::node("b", Some("its disk is full".into()))];
    leader.commit(nodes.map(Record::NodeChanged)).await;
    leader.commit([contract::queued(9000), Record::LeaseGranted(Millis(7))]).await;
    leader.commit([Record::JobDeleted { id: contract::id(9000) }]).await;
}

type Content = (Vec<StoredJob>, Vec<StoredRun>, Vec<StoredProject>, Vec<JobId>, Facts);

/// All jobs, and all else that is no number of whoever leads.
async fn content(place: Place<'_>) -> Content {
    let store = place();
    let page = Page { before: None, limit: 10_000 };
    let jobs = store.jobs(&page).await.unwrap();
    let runs = store.runs(&page).await.unwrap();
    let projects = store.projects().await.unwrap();
    assert!(!runs.is_empty() && projects.len() == 1);
    let live = store.restore().await.unwrap().jobs.into_iter().map(|it| it.0).collect();
    let mut facts = store.facts().await.unwrap();
    facts.mark.epoch = Epoch(0);
    facts.standing = Standing::Whole;
    (jobs, runs, projects, live, facts)
}
