//! What every store does with runs.

use atlas_core::run::{Scalar, Value};
use atlas_core::{Outcome, Record, Run};

use super::{Leader, Place, changed, done, id, queued};
use crate::store::{Page, StoredRun};

/// A run that is told from others by its weight.
pub fn told(number: u64, weight: u64) -> Record {
    let params = [("lr \0 é".into(), Value::from(Scalar::Float(f64::NAN)))].into();
    let run = Run { weight, params, ..Run::default() };
    Record::RunChanged { id: id(number), run: run.into() }
}

pub async fn a_run_stays_with_its_job(place: Place) {
    let mut leader = Leader::of(place()).await;
    leader.commit((1..=5).map(queued)).await;
    assert_eq!(leader.store.run(id(1)).await.unwrap(), None);
    leader.commit([told(1, 1), told(3, 3), told(4, 4), told(9, 9)]).await;
    leader.commit([told(1, 7), changed(3, done(Outcome::Completed))]).await;
    assert_eq!(weight(&leader, 1).await, Some(7));
    assert_eq!(weight(&leader, 3).await, Some(3));
    assert_eq!(weight(&leader, 9).await, None, "there is no such job");
    assert_eq!(weights(&leader, 9).await, [4, 3, 7]);
    assert_eq!(weights(&leader, 1).await, [4, 3, 7]);
    leader.commit([Record::JobDeleted { id: id(3) }, told(3, 8)]).await;
    assert_eq!(weights(&leader, 2).await, [4, 7]);
    leader.commit([queued(6), told(6, 6)]).await;
    assert_eq!(weights(&leader, 2).await, [6, 4, 7]);
    let (asked, all) = ([6, 2, 1, 9, 4].map(id), [Some(6), None, Some(7), None, Some(4)]);
    for (most, expected) in [(usize::MAX, &all[..]), (0, &all[..1])] {
        let runs = leader.store.runs_of(&asked, most).await.unwrap();
        let weights: Vec<_> = runs.iter().map(|it| it.as_ref().map(|it| it.weight)).collect();
        assert_eq!(weights, expected, "at most {most} bytes");
    }
    let Record::RunChanged { run, .. } = told(4, 4) else { unreachable!("it is one") };
    assert_eq!(place().run(id(4)).await.unwrap(), Some(run), "another reader sees it whole");
}

async fn weight(leader: &Leader, number: u64) -> Option<u64> {
    leader.store.run(id(number)).await.unwrap().map(|it| it.weight)
}

/// Of all runs, so many at a time.
async fn weights(leader: &Leader, limit: usize) -> Vec<u64> {
    let mut page = Page { before: None, limit };
    let mut weights = Vec::new();
    loop {
        let runs = leader.store.runs(&page).await.unwrap();
        let Some(StoredRun { position, .. }) = runs.last() else { return weights };
        page.before = Some(*position);
        weights.extend(runs.iter().map(|it| it.run.weight));
    }
}
