//! What holds whatever happens, in whatever order, said by whomever.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::scenario::Scenario;

/// One line of a scenario; most make sense, some do not.
fn line() -> impl Strategy<Value = String> {
    let job = 1..=8u8;
    let node = prop::sample::select(vec!["a", "b", "c"]);
    let report = prop::sample::select(vec![
        "starting",
        "started",
        "code-0",
        "code-3",
        "code-0-stopped",
        "signal-9",
        "lease-ended",
        "not-started",
        "not-started-strike",
        "archived",
        "archived-partly",
        "lost",
    ]);
    let held = (job.clone(), 1..=4u8, report.clone());
    prop_oneof![
        6 => (job.clone(), 0..=3u8, prop::bool::ANY).prop_map(|(job, gpus, wait)| {
            format!("submit {job} gpus={gpus} {}", if wait { "wait" } else { "" })
        }),
        4 => (node.clone(), 0..=3u8, 1..=3u8, 1..=2u8, prop::collection::vec(held, 0..4)).prop_map(
            |(node, gpus, slots, boot, held)| {
                let held = held.iter().map(|(job, attempt, report)| {
                    format!(" held={job}#{attempt}:{report}")
                });
                let held: String = held.collect();
                format!("join {node} gpus={gpus} slots={slots} boot={boot}{held}")
            }
        ),
        12 => (node.clone(), job.clone(), 1..=4u8, report).prop_map(
            |(node, job, attempt, report)| format!("report {node} {job}#{attempt} {report}")
        ),
        2 => (job.clone(), prop::sample::select(vec!["begin #", "heard #", "end # code-0"]))
            .prop_map(|(job, line)| line.replace('#', &job.to_string())),
        2 => job.clone().prop_map(|job| format!("stop {job}")),
        1 => (1..=3u8).prop_map(|limit| format!("clear limit={limit}")),
        2 => node.clone().prop_map(|node| format!("leave {node}")),
        2 => node.clone().prop_map(|node| format!("beat {node}")),
        1 => node.clone().prop_map(|node| format!("troubles {node} disk")),
        1 => node.clone().prop_map(|node| format!("troubles {node}")),
        1 => node.prop_map(|node| format!("remove {node}")),
        1 => job.clone().prop_map(|job| format!("delete {job}")),
        3 => (job, prop::sample::select(vec!["trashed", "empty", "emptied"]))
            .prop_map(|(job, verb)| format!("{verb} {job}")),
        4 => (1..=20u8).prop_map(|secs| format!("wait {secs}")),
        1 => (1..=60u8).prop_map(|secs| format!("stall {secs}")),
        1 => Just("planned-stop".to_owned()),
        1 => Just("restart".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Playing a line checks the invariants, that what was kept is what is known, and that ends, attempts and positions stay.
    #[test]
    fn the_invariants_hold_after_every_step(lines in prop::collection::vec(line(), 1..60)) {
        let mut scenario = Scenario::with_lease(30);
        for line in &lines {
            scenario.play_if_possible(line);
        }
        prop_assert!(placements_count_up(scenario.output()));
    }

    #[test]
    fn what_is_refused_changes_nothing(lines in prop::collection::vec(line(), 1..40), last in line()) {
        let mut scenario = Scenario::with_lease(30);
        for line in &lines {
            scenario.play_if_possible(line);
        }
        let before = scenario.state();
        let refused = scenario.play_if_possible(&last).contains("refused:");
        prop_assert!(!refused || last.starts_with("wait") || scenario.state() == before);
    }

    #[test]
    fn a_restart_loses_nothing_that_was_kept(lines in prop::collection::vec(line(), 1..40)) {
        let mut scenario = Scenario::with_lease(30);
        for line in &lines {
            scenario.play_if_possible(line);
        }
        let before = scenario.live_jobs();
        scenario.play("restart");
        prop_assert_eq!(scenario.live_jobs(), before);
    }
}

/// Every placement of a job is its next attempt, and none follows its end.
fn placements_count_up(output: &str) -> bool {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for line in output.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [job, "queued", ..] => drop(last.insert(job, 0)),
            [job, "ended:", ..] => drop(last.insert(job, u64::MAX - 1)),
            [job, "placed", "on", place, ..] => {
                let attempt = place.split_once('#').and_then(|it| it.1.parse().ok());
                let before = last.insert(job, attempt.unwrap_or_default()).unwrap_or_default();
                if attempt != Some(before + 1) {
                    return false;
                }
            }
            _ => {}
        }
    }
    true
}
