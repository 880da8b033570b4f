//! Jobs start once, are adopted, and later attempts take the place of earlier ones.

use expect_test::expect;

use super::check;

#[test]
fn a_job_is_started_reported_archived_and_forgotten() {
    let script = "
        list
        assign run:1#1
        local 1#1 started
        local 1#1 exited
        assign archive:1#1
        local 1#1 archived
        release 1#1
    ";
    check(
        script,
        expect![[r#"
        > list
        > assign run:1#1
          start 1#1
        > local 1#1 started
          report 1#1 started
        > local 1#1 exited
          report 1#1 exited
        > assign archive:1#1
          archive 1#1
        > local 1#1 archived
          report 1#1 archived
        > release 1#1
          remove 1#1
    "#]],
    );
}

#[test]
fn nothing_is_touched_before_a_complete_list_was_heard() {
    let script = "
        found 1#1:started 2#1:exited
        assign run:3#1
        release 1#1
        stop 1#1
        local 1#1 exited
        list run:1#1
    ";
    check(
        script,
        expect![[r#"
        > found 1#1:started 2#1:exited
        > assign run:3#1
        > release 1#1
        > stop 1#1
        > local 1#1 exited
          report 1#1 exited
        > list run:1#1
          remove 2#1
    "#]],
    );
}

#[test]
fn what_the_master_does_not_list_is_killed_and_removed() {
    let script = "
        found 1#1:started 2#1:exited 3#1:starting
        list run:1#1
    ";
    check(
        script,
        expect![[r#"
        > found 1#1:started 2#1:exited 3#1:starting
        > list run:1#1
          remove 2#1
          kill 3#1
          remove 3#1
    "#]],
    );
}

#[test]
fn jobs_that_run_are_adopted_when_the_agent_starts_again() {
    let script = "
        found 1#1:started 2#1:starting
        list run:1#1 run:2#1
        list run:1#1 run:2#1
        local 2#1 started
    ";
    check(
        script,
        expect![[r#"
        > found 1#1:started 2#1:starting
        > list run:1#1 run:2#1
          start 2#1
        > list run:1#1 run:2#1
        > local 2#1 started
          report 2#1 started
    "#]],
    );
}

#[test]
fn a_job_whose_start_never_happened_is_started_after_a_restart_of_the_agent() {
    let script = "
        found 1#1:starting
        list run:1#1
        assign run:1#1
    ";
    check(
        script,
        expect![[r#"
        > found 1#1:starting
        > list run:1#1
          start 1#1
        > assign run:1#1
    "#]],
    );
}

#[test]
fn a_message_that_comes_twice_starts_nothing_twice() {
    let script = "
        list run:1#1
        assign run:1#1
        list run:1#1
        local 1#1 started
        local 1#1 started
        list run:1#1
    ";
    check(
        script,
        expect![[r#"
        > list run:1#1
          start 1#1
        > assign run:1#1
        > list run:1#1
        > local 1#1 started
          report 1#1 started
        > local 1#1 started
        > list run:1#1
    "#]],
    );
}

#[test]
fn a_job_that_has_exited_is_not_started_again() {
    let script = "
        list run:1#1
        local 1#1 started
        local 1#1 exited
        list run:1#1
        assign run:1#1
    ";
    check(
        script,
        expect![[r#"
        > list run:1#1
          start 1#1
        > local 1#1 started
          report 1#1 started
        > local 1#1 exited
          report 1#1 exited
        > list run:1#1
        > assign run:1#1
    "#]],
    );
}

#[test]
fn a_later_attempt_replaces_an_earlier_one() {
    let script = "
        found 1#1:started
        list run:1#2
        local 1#1 exited
        assign run:1#1
        release 1#1
        local 1#2 started
    ";
    check(
        script,
        expect![[r#"
        > found 1#1:started
        > list run:1#2
          kill 1#1
          remove 1#1
          start 1#2
        > local 1#1 exited
        > assign run:1#1
        > release 1#1
        > local 1#2 started
          report 1#2 started
    "#]],
    );
}

#[test]
fn an_assignment_of_a_later_attempt_ends_the_earlier_one_first() {
    let script = "
        list run:1#1
        local 1#1 started
        assign run:1#2
    ";
    check(
        script,
        expect![[r#"
        > list run:1#1
          start 1#1
        > local 1#1 started
          report 1#1 started
        > assign run:1#2
          kill 1#1
          remove 1#1
          start 1#2
    "#]],
    );
}

#[test]
fn an_older_master_is_refused() {
    let script = "
        list epoch=2 run:1#1
        list epoch=1
        list epoch=2 run:1#1
        list epoch=3
    ";
    check(
        script,
        expect![[r#"
        > list epoch=2 run:1#1
          start 1#1
        > list epoch=1
        refused: master of epoch 1 was replaced by one of epoch 2
        > list epoch=2 run:1#1
        > list epoch=3
          kill 1#1
          remove 1#1
    "#]],
    );
}
