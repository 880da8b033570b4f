//! Jobs of another cluster are never live: they change nothing of what waits and runs.

use super::scenario;
use crate::cluster::*;
use crate::job::{End, JobState};
use crate::outcome::Outcome;
use crate::time::Timestamp;

fn now() -> Now {
    Now { wall: Timestamp(50), mono: Mono(50) }
}

fn ended() -> Box<Ended> {
    let end = End {
        outcome: Outcome::Completed,
        at: Timestamp(9),
        started: Some(Timestamp(8)),
        log_length: 3,
        spool_length: 0,
    };
    Box::new(Ended {
        submitted: Timestamp(7),
        attempt: Attempt(2),
        lost: 1,
        image: None,
        end,
        node: Some("a".parse().unwrap()),
        archive: Archive::Complete,
        removed: None,
        from: "45540b52-ffe2-44ab-9838-db467d3499c0".parse().unwrap(),
        by: "eve".into(),
    })
}

fn import(cluster: &mut Cluster, number: u8) -> Result<Step, Rejection> {
    let (id, spec) = (JobId::from_random([number; 16]), scenario::any_spec().into());
    let input = Input::Import { id, spec, ended: ended(), run: Arc::default() };
    let step = cluster.handle(now(), input);
    cluster.check(now()).unwrap();
    step
}

#[test]
fn a_job_that_comes_is_done_and_nothing_waits_for_it() {
    let mut cluster = Cluster::new(Policy::default(), now());
    let waiting = JobId::from_random([1; 16]);
    let spec = JobSpec { wait_for_capacity: true, ..scenario::any_spec() };
    let submit = Input::Submit { id: waiting, spec: spec.into(), sealed: Sealed::default() };
    let _ = cluster.handle(now(), submit).unwrap();
    let step = import(&mut cluster, 2).unwrap();
    assert!(step.effects.is_empty());
    let [Record::JobQueued { status, .. }, Record::RunChanged { .. }] = &step.records[..] else {
        panic!("{:?}", step.records);
    };
    assert!(matches!(status.state, JobState::Done { .. }));
    assert_eq!((status.submitted, status.position), (Timestamp(7), Position(2)));
    assert!(!status.had(Attempt(2), &"a".parse().unwrap()), "no node of this cluster had it");
    assert_eq!((cluster.live_jobs(), cluster.queued_jobs()), (1, 1));
    assert_eq!(import(&mut cluster, 1), Err(Rejection::IdTaken(waiting)));
    // Who looked for the id before it came has looked too early.
    assert_eq!(import(&mut cluster, 2), Err(Rejection::IdTaken(JobId::from_random([2; 16]))));
    let (id, spec) = (JobId::from_random([2; 16]), scenario::any_spec().into());
    let late = Input::Submit { id, spec, sealed: Sealed::default() };
    assert_eq!(cluster.handle(now(), late), Ok(Step::default()));
    // One that was deleted may come again.
    let id = JobId::from_random([2; 16]);
    let _ =
        cluster.handle(now(), Input::Delete { job: id, status: Box::new(status.clone()) }).unwrap();
    assert_eq!(import(&mut cluster, 2), Err(Rejection::IdTaken(id)));
    let _ = cluster.handle(now(), Input::Trashed { job: id, what: Trash::Everything }).unwrap();
    assert!(import(&mut cluster, 2).is_ok());
}
