//! Runs outside the scheduler: they take nothing from anybody, and end as they say.

use expect_test::expect;

use super::check;

#[test]
fn a_run_outside_ends_as_it_says_and_takes_no_place_of_anybody() {
    let script = "
        join a
        begin 1
        begin 1
        submit 2
        heard 1
        jobs
        end 1 code-3
        heard 1
        begin 1
        delete 1
        trashed 1
    ";
    check(
        script,
        expect![[r#"
        > join a
          node a
          a <- session 1: []
        > begin 1
          1 begun at 1
        > begin 1
        > submit 2
          2 queued at 2
          2 placed on a#1
          a <- run 2#1
        > heard 1
        > jobs
        1 running
        2 starting
        > end 1 code-3
          1 ended: exit-code 3; archive complete
        > heard 1
        refused: there is no job 1
        > begin 1
        > delete 1
          1 deleting
          trash 1
        > trashed 1
          1 deleted
    "#]],
    );
}

#[test]
fn a_run_outside_hears_that_it_is_to_stop_and_may_end_otherwise() {
    let script = "
        begin 1
        begin 2
        stop 1 user=eve
        stop 1 user=bob
        stop 2
        jobs
        end 1 signal-15-stopped
        end 2 code-0
    ";
    check(
        script,
        expect![[r#"
        > begin 1
          1 begun at 1
        > begin 2
          2 begun at 2
        > stop 1 user=eve
          1 stopping by eve
        > stop 1 user=bob
        > stop 2
          2 stopping by ada
        > jobs
        1 stopping
        2 stopping
        > end 1 signal-15-stopped
          1 ended: stopped-by eve; archive complete
        > end 2 code-0
          2 ended: completed; archive complete
    "#]],
    );
}

#[test]
fn a_run_whose_machine_sleeps_goes_on_and_is_over_when_it_is_stopped() {
    let script = "
        begin 1
        wait 36000
        heard 1
        wait 59
        stop 1
        wait 1
        stop 1
        end 1 code-0
    ";
    check(
        script,
        expect![[r#"
        > begin 1
          1 begun at 1
        > wait 36000
        > heard 1
        > wait 59
        > stop 1
          1 stopping by ada
        > wait 1
        > stop 1
          1 ended: stopped-by ada (its machine was not heard); archive incomplete (its machine was not heard)
        > end 1 code-0
        refused: there is no job 1
    "#]],
    );
}

#[test]
fn a_run_that_is_silent_for_a_day_is_over_and_a_restart_begins_the_day_anew() {
    let script = "
        begin 1
        wait 86399
        restart
        wait 86399
        stall 3600
        wait 86399
        wait 1
    ";
    check(
        script,
        expect![[r#"
        > begin 1
          1 begun at 1
        > wait 86399
        > restart
        > wait 86399
        > stall 3600
        > wait 86399
        > wait 1
          1 ended: node-lost (its machine was not heard for 24 hours); archive incomplete (its machine was not heard for 24 hours)
    "#]],
    );
}
