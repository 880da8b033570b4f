//! A seeded simulation of whole clusters: the real master's core and the real node's core, with everything around them
//! modelled, and everything going wrong that may. One seed is one world; it repeats exactly.
//!
//! A failure names its seed. `ATLAS_SIM_SEED=n cargo test -p atlas-tests --test sim replays -- --nocapture` shows that world
//! line by line; `ATLAS_SIM_WORLDS=n` plays more of them in each test.

mod agent;
mod clients;
mod faults;
mod judge;
mod machine;
mod master;
mod net;
mod rng;
mod schedule;
mod spool;
mod store;
mod tracker;
mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use world::World;

/// Worlds of each test, unless told otherwise; the tests run side by side.
const WORLDS: u64 = 120;
/// Kinds of worlds; a seed's remainder says which one it is.
const KINDS: u64 = 5;

#[test]
fn no_promise_is_broken_in_a_storm() {
    let seen = play(0);
    must_have_seen(
        &seen,
        &[
            "job queued again",
            "node cordoned",
            "troubled node joined",
            "machine crash",
            "agent adopted a running job",
            "commit of unknown fate",
            "commit refused",
            "supervisor stopped a job at the end of the lease",
            "exit heard after the attempt was given up",
            "a job was set aside and overtaken",
            "job stopped",
            "job ran into its time limit",
            "job lost three times",
            "job could start nowhere",
            "join refused",
            "planned stop",
            "job deleted",
            "node removed",
            "supervisor killed",
            "series compacted",
            "leader died between a segment and its commit",
            "answer of the tracker lost",
            "piece known already",
            "spool taken of an attempt that was given up",
        ],
    );
}

#[test]
fn no_promise_is_broken_by_a_bad_network() {
    let seen = play(1);
    must_have_seen(
        &seen,
        &[
            "heartbeat of an ended session",
            "supervisor stopped a job at the end of the lease",
            "supervisor refused a start after its deadline",
            "exit heard after the attempt was given up",
        ],
    );
}

#[test]
fn short_outages_touch_no_running_job() {
    let seen = play(2);
    must_have_seen(
        &seen,
        &["agent adopted a running job", "planned stop", "commit of unknown fate"],
    );
}

#[test]
fn a_planned_stop_lets_no_job_run_twice() {
    let seen = play(3);
    let expected =
        ["planned stop", "job queued again", "supervisor stopped a job at the end of the lease"];
    must_have_seen(&seen, &expected);
}

#[test]
fn on_one_machine_only_a_restart_of_it_ends_a_job() {
    let seen = play(4);
    must_have_seen(&seen, &["machine crash", "job queued again", "agent adopted a running job"]);
}

#[test]
fn a_seed_replays_the_same_world() {
    let asked = std::env::var("ATLAS_SIM_SEED").ok().map(|it| it.parse().expect("a number"));
    let seed = asked.unwrap_or(0);
    let lines = [trace_of(seed, asked.is_some()), trace_of(seed, false)];
    assert!(lines[0].len() > 100, "a world has a story");
    let differs = lines[0].iter().zip(&lines[1]).find(|(one, two)| one != two);
    assert_eq!(differs, None, "the second telling differs from the first");
}

/// Plays the worlds whose seeds are `kind` modulo [`KINDS`], and says what was seen in all of them together.
fn play(kind: u64) -> BTreeMap<&'static str, u64> {
    let worlds = std::env::var("ATLAS_SIM_WORLDS").ok().map(|it| it.parse().expect("a number"));
    let mut seen = BTreeMap::new();
    for seed in (0..worlds.unwrap_or(WORLDS)).map(|it| it * KINDS + kind) {
        let world = catch_unwind(|| {
            let mut world = World::new(seed, None);
            world.run();
            world.judge.seen
        });
        match world {
            Ok(counts) => {
                counts
                    .into_iter()
                    .for_each(|(what, count)| *seen.entry(what).or_default() += count);
            }
            Err(panic) => {
                eprintln!(
                    "seed {seed} failed; see the head of tests/sim/main.rs for how to replay it"
                );
                resume_unwind(panic);
            }
        }
    }
    seen
}

fn must_have_seen(seen: &BTreeMap<&'static str, u64>, expected: &[&'static str]) {
    let missing: Vec<_> = expected.iter().filter(|it| !seen.contains_key(*it)).collect();
    assert!(missing.is_empty(), "these worlds no longer reach {missing:?}; they saw {seen:#?}");
}

fn trace_of(seed: u64, print: bool) -> Vec<String> {
    let lines = Rc::new(RefCell::new(Vec::new()));
    let kept = lines.clone();
    let keep = move |line: String| {
        if print {
            println!("{line}");
        }
        kept.borrow_mut().push(line);
    };
    let run = catch_unwind(AssertUnwindSafe(|| World::new(seed, Some(Box::new(keep))).run()));
    if let (Err(panic), true) = (run, print) {
        resume_unwind(panic);
    }
    lines.take()
}
