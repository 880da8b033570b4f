//! Leases, and what is lost when they end.

use expect_test::expect;

use super::check;

#[test]
fn a_node_that_is_silent_for_15_s_gets_no_new_jobs() {
    let script = "
        join a slots=2
        join b slots=1 gpus=1
        submit 1
        wait 16 beats=b
        submit 2
        beat a
        submit 3
        jobs
    ";
    check(
        script,
        expect![[r#"
        > join a slots=2
          node a
          a <- session 1: []
        > join b slots=1 gpus=1
          node b
          b <- session 2: []
        > submit 1
          1 queued at 1
          1 placed on a#1
          a <- run 1#1
        > wait 16 beats=b
        > submit 2
          2 queued at 2
          2 placed on b#1
          b <- run 2#1
        > beat a
        > submit 3
          3 queued at 3
          3 placed on a#1
          a <- run 3#1
        > jobs
        1 starting
        2 starting
        3 starting
    "#]],
    );
}

#[test]
fn heartbeats_keep_a_lease_for_as_long_as_they_come() {
    let script = "
        join a
        submit 1
        report a 1#1 started
        wait 1000 beats=a
        jobs
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
        > wait 1000 beats=a
        > jobs
        1 running
    "#]],
    );
}

#[test]
fn after_its_lease_a_job_is_queued_again_at_its_old_position() {
    let script = "
        join a slots=1
        submit 1
        submit 2
        submit 3
        report a 1#1 started
        leave a
        wait 299
        jobs
        wait 2
        jobs
        join b slots=1
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
        > report a 1#1 started
          1 started
        > leave a
        > wait 299
        > jobs
        1 running
        2 queued: set aside: fits only a, which was last heard 299 s ago
        3 queued: set aside: fits only a, which was last heard 299 s ago
        > wait 2
          1 requeued lost=1
        > jobs
        1 queued: set aside: fits only a, which was last heard 301 s ago
        2 queued: set aside: fits only a, which was last heard 301 s ago
        3 queued: set aside: fits only a, which was last heard 301 s ago
        > join b slots=1
          node b
          1 placed on b#2
          b <- session 2: []
          b <- run 1#2
    "#]],
    );
}

#[test]
fn a_job_ends_after_three_lost_attempts() {
    let script = "
        policy lease=30
        join a
        submit 1
        leave a
        wait 31
        join a
        leave a
        wait 31
        join a
        leave a
        wait 31
        jobs
    ";
    check(
        script,
        expect![[r#"
        > policy lease=30
        > join a
          node a
          a <- session 1: []
        > submit 1
          1 queued at 1
          1 placed on a#1
          a <- run 1#1
        > leave a
        > wait 31
          1 requeued lost=1
        > join a
          1 placed on a#2
          a <- session 2: []
          a <- run 1#2
        > leave a
        > wait 31
          1 requeued lost=2
        > join a
          1 placed on a#3
          a <- session 3: []
          a <- run 1#3
        > leave a
        > wait 31
          1 ended: node-lost (node a was not heard for the time of its lease; this was lost attempt 3); archive incomplete (node a was not heard for the time of its lease)
        > jobs
    "#]],
    );
}

#[test]
fn a_stopped_job_whose_node_is_lost_is_stopped() {
    let script = "
        join a
        submit 1
        report a 1#1 started
        stop 1 user=eve
        leave a
        wait 301
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
        > leave a
        > wait 301
          1 ended: stopped-by eve (node a was not heard for the time of its lease); archive incomplete (node a was not heard for the time of its lease)
    "#]],
    );
}

#[test]
fn an_archive_whose_node_is_lost_is_incomplete_and_the_outcome_stays() {
    let script = "
        join a
        submit 1
        report a 1#1 code-0
        leave a
        wait 301
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
        > report a 1#1 code-0
          1 ended: completed
          a <- archive 1#1
        > leave a
        > wait 301
          1 done: archive incomplete (node a was not heard for the time of its lease)
          a <- release 1#1
    "#]],
    );
}
