//! Nodes that could not start a job: exclusions, strikes and cordons.

use expect_test::expect;

use super::check;

#[test]
fn a_node_that_could_not_start_a_job_is_not_asked_again() {
    let script = "
        join a
        join b
        submit 1
        report a 1#1 not-started
        report b 1#2 started
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
        > report a 1#1 not-started
          1 requeued lost=0 not-on a
          1 placed on b#2
          a <- release 1#1
          b <- run 1#2
        > report b 1#2 started
          1 started
    "#]],
    );
}

#[test]
fn a_job_that_could_start_nowhere_ends_with_the_last_cause() {
    let script = "
        join a
        join b
        submit 1
        report a 1#1 not-started
        report b 1#2 not-started
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
        > report a 1#1 not-started
          1 requeued lost=0 not-on a
          1 placed on b#2
          a <- release 1#1
          b <- run 1#2
        > report b 1#2 not-started
          1 ended: image (no such image); archive of the bundle only
          b <- release 1#2
    "#]],
    );
}

#[test]
fn a_job_excluded_from_a_node_waits_for_the_other_at_its_old_position() {
    let script = "
        join a
        join b
        leave b
        wait 20 beats=a
        submit 1
        submit 2
        report a 1#1 not-started
        jobs
        join b
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
        > leave b
        > wait 20 beats=a
        > submit 1
          1 queued at 1
          1 placed on a#1
          a <- run 1#1
        > submit 2
          2 queued at 2
        > report a 1#1 not-started
          1 requeued lost=0 not-on a
          2 placed on a#1
          a <- release 1#1
          a <- run 2#1
        > jobs
        1 queued: set aside: fits only b, which was last heard 20 s ago
        2 starting
        > join b
          1 placed on b#2
          b <- session 3: []
          b <- run 1#2
        > jobs
        1 starting
        2 starting
    "#]],
    );
}

#[test]
fn a_job_whose_last_other_node_is_removed_ends_with_what_hindered_it() {
    let script = "
        join a
        join b
        leave b
        wait 20 beats=a
        submit 1
        report a 1#1 not-started
        remove b
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
        > leave b
        > wait 20 beats=a
        > submit 1
          1 queued at 1
          1 placed on a#1
          a <- run 1#1
        > report a 1#1 not-started
          1 requeued lost=0 not-on a
          a <- release 1#1
        > remove b
          node b removed
          1 ended: rejected (it could not start on a: no such image); archive of the bundle only
    "#]],
    );
}

#[test]
fn three_jobs_in_a_row_that_a_node_could_not_start_cordon_it() {
    let script = "
        join a slots=3
        join b slots=1
        submit 1
        submit 2
        submit 3
        submit 4
        report a 1#1 not-started-strike
        report a 2#1 not-started-strike
        report a 3#1 not-started-strike
        jobs
    ";
    check(
        script,
        expect![[r#"
        > join a slots=3
          node a
          a <- session 1: []
        > join b slots=1
          node b
          b <- session 2: []
        > submit 1
          1 queued at 1
          1 placed on a#1
          a <- run 1#1
        > submit 2
          2 queued at 2
          2 placed on a#1
          a <- run 2#1
        > submit 3
          3 queued at 3
          3 placed on a#1
          a <- run 3#1
        > submit 4
          4 queued at 4
          4 placed on b#1
          b <- run 4#1
        > report a 1#1 not-started-strike
          1 requeued lost=0 not-on a
          a <- release 1#1
        > report a 2#1 not-started-strike
          2 requeued lost=0 not-on a
          a <- release 2#1
        > report a 3#1 not-started-strike
          3 requeued lost=0 not-on a
          node a cordoned: 3 jobs in a row could not start here; the last: no such image
          a <- release 3#1
        > jobs
        1 queued: waits for 1 slot to be free (fits b)
        2 queued: waits behind 1
        3 queued: waits behind 1
        4 starting
    "#]],
    );
}

#[test]
fn one_job_that_starts_clears_the_strikes_of_its_node() {
    let script = "
        join a slots=4
        join b slots=4 gpus=1
        submit 1
        submit 2
        submit 3
        submit 4
        report a 1#1 not-started-strike
        report a 2#1 not-started-strike
        report a 3#1 started
        report a 4#1 not-started-strike
        jobs
    ";
    check(
        script,
        expect![[r#"
        > join a slots=4
          node a
          a <- session 1: []
        > join b slots=4 gpus=1
          node b
          b <- session 2: []
        > submit 1
          1 queued at 1
          1 placed on a#1
          a <- run 1#1
        > submit 2
          2 queued at 2
          2 placed on a#1
          a <- run 2#1
        > submit 3
          3 queued at 3
          3 placed on a#1
          a <- run 3#1
        > submit 4
          4 queued at 4
          4 placed on a#1
          a <- run 4#1
        > report a 1#1 not-started-strike
          1 requeued lost=0 not-on a
          1 placed on b#2
          a <- release 1#1
          b <- run 1#2
        > report a 2#1 not-started-strike
          2 requeued lost=0 not-on a
          2 placed on b#2
          a <- release 2#1
          b <- run 2#2
        > report a 3#1 started
          3 started
        > report a 4#1 not-started-strike
          4 requeued lost=0 not-on a
          4 placed on b#2
          a <- release 4#1
          b <- run 4#2
        > jobs
        1 starting
        2 starting
        3 running
        4 starting
    "#]],
    );
}

#[test]
fn a_missing_image_excludes_but_does_not_strike() {
    let script = "
        join a slots=3
        join b slots=3 gpus=1
        submit 1
        submit 2
        submit 3
        report a 1#1 not-started
        report a 2#1 not-started
        report a 3#1 not-started
        submit 4
        jobs
    ";
    check(
        script,
        expect![[r#"
        > join a slots=3
          node a
          a <- session 1: []
        > join b slots=3 gpus=1
          node b
          b <- session 2: []
        > submit 1
          1 queued at 1
          1 placed on a#1
          a <- run 1#1
        > submit 2
          2 queued at 2
          2 placed on a#1
          a <- run 2#1
        > submit 3
          3 queued at 3
          3 placed on a#1
          a <- run 3#1
        > report a 1#1 not-started
          1 requeued lost=0 not-on a
          1 placed on b#2
          a <- release 1#1
          b <- run 1#2
        > report a 2#1 not-started
          2 requeued lost=0 not-on a
          2 placed on b#2
          a <- release 2#1
          b <- run 2#2
        > report a 3#1 not-started
          3 requeued lost=0 not-on a
          3 placed on b#2
          a <- release 3#1
          b <- run 3#2
        > submit 4
          4 queued at 4
          4 placed on a#1
          a <- run 4#1
        > jobs
        1 starting
        2 starting
        3 starting
        4 starting
    "#]],
    );
}
