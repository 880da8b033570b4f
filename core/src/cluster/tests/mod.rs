//! Rules of the cluster as scenarios: a few words in, what was kept and what must happen out.
//!
//! After every step the invariants are checked, and that what was kept is what the cluster knows.

mod ends;
mod grants;
mod import;
mod joining;
mod late;
mod leases;
mod nodes;
mod not_started;
mod outside;
mod placement;
mod properties;
mod queue;
mod reboots;
mod restart;
mod scenario;
mod standstill;
mod stops;
mod troubles;
mod words;

use expect_test::Expect;

use scenario::Scenario;

/// Plays the lines of `script`. A line is one input (see [`scenario`]); lines of output follow it.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "so that a test reads `expect![[…]]`")]
fn check(script: &str, expected: Expect) {
    let mut scenario = Scenario::default();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        scenario.play(line);
    }
    expected.assert_eq(scenario.output());
}
