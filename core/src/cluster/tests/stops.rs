//! Jobs are stopped: before they start, while they run, too late.

use expect_test::expect;

use super::check;

#[test]
fn a_job_that_exits_0_on_a_stop_is_stopped_by_whoever_asked() {
    let script = "
        join a
        submit 1
        report a 1#1 started
        stop 1 user=eve
        stop 1 user=bob
        report a 1#1 code-0-stopped
        stop 1
    ";
    check(
        script,
        expect![[r#"
        > join a
          node a
          a <- session 1: []
        > submit 1
          1 queued at 1
          1 placed on a#1
          a <- run 1#1
        > report a 1#1 started
          1 started
        > stop 1 user=eve
          1 stopping by eve
          a <- stop 1#1
        > stop 1 user=bob
        > report a 1#1 code-0-stopped
          1 ended: stopped-by eve
          a <- archive 1#1
        > stop 1
        refused: job 1 is failed and cannot be stopped
    "#]],
    );
}

#[test]
fn a_job_that_ends_before_the_stop_arrives_has_the_end_it_had() {
    let script = "
        join a
        submit 1
        report a 1#1 started
        stop 1
        report a 1#1 code-0
    ";
    check(
        script,
        expect![[r#"
        > join a
          node a
          a <- session 1: []
        > submit 1
          1 queued at 1
          1 placed on a#1
          a <- run 1#1
        > report a 1#1 started
          1 started
        > stop 1
          1 stopping by ada
          a <- stop 1#1
        > report a 1#1 code-0
          1 ended: completed
          a <- archive 1#1
    "#]],
    );
}

#[test]
fn a_queued_job_is_stopped_at_once() {
    let script = "
        join a slots=1
        submit 1
        submit 2
        submit 3
        stop 2
        stop 2
        jobs
    ";
    check(
        script,
        expect![[r#"
        > join a slots=1
          node a
          a <- session 1: []
        > submit 1
          1 queued at 1
          1 placed on a#1
          a <- run 1#1
        > submit 2
          2 queued at 2
        > submit 3
          3 queued at 3
        > stop 2
          2 ended: stopped-by ada; archive of the bundle only
        > stop 2
        refused: there is no job 2
        > jobs
        1 starting
        3 queued: waits for 1 slot to be free (fits a)
    "#]],
    );
}

#[test]
fn a_job_that_is_stopped_before_it_starts_never_starts_elsewhere() {
    let script = "
        join a
        join b
        submit 1
        stop 1
        report a 1#1 not-started
        jobs
    ";
    check(
        script,
        expect![[r#"
        > join a
          node a
          a <- session 1: []
        > join b
          node b
          b <- session 2: []
        > submit 1
          1 queued at 1
          1 placed on a#1
          a <- run 1#1
        > stop 1
          1 stopping by ada
          a <- stop 1#1
        > report a 1#1 not-started
          1 ended: stopped-by ada (no such image); archive of the bundle only
          a <- release 1#1
        > jobs
    "#]],
    );
}

#[test]
fn a_job_may_start_after_the_stop_and_is_stopped_all_the_same() {
    let script = "
        join a
        submit 1
        stop 1
        report a 1#1 started
        report a 1#1 signal-15-stopped
    ";
    check(
        script,
        expect![[r#"
        > join a
          node a
          a <- session 1: []
        > submit 1
          1 queued at 1
          1 placed on a#1
          a <- run 1#1
        > stop 1
          1 stopping by ada
          a <- stop 1#1
        > report a 1#1 started
          1 started
        > report a 1#1 signal-15-stopped
          1 ended: stopped-by ada
          a <- archive 1#1
    "#]],
    );
}

#[test]
fn a_stop_while_the_node_is_away_is_in_the_list_that_it_hears_when_it_is_back() {
    let script = "
        join a slots=2
        submit 1
        submit 2
        report a 1#1 started
        leave a
        stop 1
        stop 2
        join a slots=2 held=1#1:started
        report a 1#1 signal-15-stopped
        report a 2#1 not-started
    ";
    check(
        script,
        expect![[r#"
        > join a slots=2
          node a
          a <- session 1: []
        > submit 1
          1 queued at 1
          1 placed on a#1
          a <- run 1#1
        > submit 2
          2 queued at 2
          2 placed on a#1
          a <- run 2#1
        > report a 1#1 started
          1 started
        > leave a
        > stop 1
          1 stopping by ada
          a <- stop 1#1
        > stop 2
          2 stopping by ada
          a <- stop 2#1
        > join a slots=2 held=1#1:started
          a <- session 2: [stop 1#1, stop 2#1]
        > report a 1#1 signal-15-stopped
          1 ended: stopped-by ada
          a <- archive 1#1
        > report a 2#1 not-started
          2 ended: stopped-by ada (no such image); archive of the bundle only
          a <- release 2#1
    "#]],
    );
}

#[test]
fn a_stop_that_nobody_is_known_to_have_asked_for_is_still_a_stop() {
    let script = "
        join a
        submit 1
        report a 1#1 code-0-stopped
    ";
    check(
        script,
        expect![[r#"
        > join a
          node a
          a <- session 1: []
        > submit 1
          1 queued at 1
          1 placed on a#1
          a <- run 1#1
        > report a 1#1 code-0-stopped
          1 ended: stopped-by unknown
          a <- archive 1#1
    "#]],
    );
}

#[test]
fn what_is_unknown_cannot_be_stopped() {
    let script = "
        stop 9
    ";
    check(
        script,
        expect![[r#"
        > stop 9
        refused: there is no job 9
    "#]],
    );
}
