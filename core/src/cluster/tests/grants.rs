//! A master that stops on purpose grants more than a lease.

use expect_test::expect;

use super::check;

#[test]
fn a_planned_stop_lasts_an_hour_from_the_next_start() {
    let script = "
        join a
        submit 1
        report a 1#1 started
        planned-stop
        restart
        wait 3590
        jobs
        wait 20
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
        > planned-stop
          granted 1h
          a <- lease of 1h
        > restart
        > wait 3590
        > jobs
        1 running
        > wait 20
          1 requeued lost=1
          granted 0s
        > jobs
        1 queued: set aside: fits only a, which was last heard 3610 s ago
    "#]],
    );
}

#[test]
fn a_grant_is_forgotten_only_when_no_node_counts_by_it_any_more() {
    let script = "
        join a
        join b
        submit 1
        submit 2
        planned-stop
        restart
        join a held=1#1:started
        wait 10 beats=a
        join b held=2#1:started
        wait 1 beats=a
        wait 1 beats=a,b
        restart
        wait 301
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
        > submit 2
          2 queued at 2
          2 placed on b#1
          b <- run 2#1
        > planned-stop
          granted 1h
          a <- lease of 1h
          b <- lease of 1h
        > restart
        > join a held=1#1:started
          1 started
          a <- session 3: [run 1#1]
        > wait 10 beats=a
        > join b held=2#1:started
          2 started
          b <- session 4: [run 2#1]
        > wait 1 beats=a
        > wait 1 beats=a,b
          granted 0s
        > restart
        > wait 301
          1 requeued lost=1
          2 requeued lost=1
        > jobs
        1 queued: set aside: fits only a, which was last heard 301 s ago
        2 queued: set aside: fits only a, which was last heard 301 s ago
    "#]],
    );
}

#[test]
fn a_node_that_joined_but_was_not_heard_since_may_still_count_by_the_grant() {
    let script = "
        join a
        submit 1
        report a 1#1 started
        planned-stop
        restart
        join a held=1#1:started
        leave a
        wait 400
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
        > planned-stop
          granted 1h
          a <- lease of 1h
        > restart
        > join a held=1#1:started
          a <- session 2: [run 1#1]
        > leave a
        > wait 400
        > jobs
        1 running
    "#]],
    );
}

#[test]
fn after_a_planned_stop_a_head_waits_no_longer_than_a_lease_for_a_node_that_is_gone() {
    let script = "
        join a slots=1
        join b gpus=1
        planned-stop
        restart
        join a slots=1
        submit 1 gpus=1
        submit 2
        wait 301 beats=a
        jobs
    ";
    check(
        script,
        expect![[r#"
        > join a slots=1
          node a
          a <- session 1: []
        > join b gpus=1
          node b
          b <- session 2: []
        > planned-stop
          granted 1h
          a <- lease of 1h
          b <- lease of 1h
        > restart
        > join a slots=1
          a <- session 3: []
        > submit 1 gpus=1
          1 queued at 1
        > submit 2
          2 queued at 2
        > wait 301 beats=a
          2 placed on a#1
          a <- run 2#1
        > jobs
        1 queued: set aside: fits only b, which was last heard 301 s ago
        2 starting
    "#]],
    );
}
