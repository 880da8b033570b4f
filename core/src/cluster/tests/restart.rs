//! From the store back to a cluster.

use expect_test::expect;

use super::check;

#[test]
fn a_restart_of_the_master_touches_no_running_job() {
    let script = "
        join a slots=2
        submit 1
        submit 2
        submit 3
        report a 1#1 started
        restart
        jobs
        join a slots=2 held=1#1:started held=2#1:starting
        jobs
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
        > submit 3
          3 queued at 3
        > report a 1#1 started
          1 started
        > restart
        > jobs
        1 running
        2 starting
        3 queued: waits for 1 slot to be free (fits a)
        > join a slots=2 held=1#1:started held=2#1:starting
          a <- session 2: [run 1#1, run 2#1]
        > jobs
        1 running
        2 starting
        3 queued: waits for 1 slot to be free (fits a)
    "#]],
    );
}

#[test]
fn queue_and_order_survive() {
    let script = "
        join a slots=1
        submit 1
        submit 2
        submit 3
        restart
        submit 4
        jobs
        join a slots=1 held=1#1:starting
        report a 1#1 code-0
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
        > restart
        > submit 4
          4 queued at 4
        > jobs
        1 starting
        2 queued: waits for 1 slot to be free (fits a)
        3 queued: waits behind 2
        4 queued: waits behind 2
        > join a slots=1 held=1#1:starting
          a <- session 2: [run 1#1]
        > report a 1#1 code-0
          1 ended: completed
          2 placed on a#1
          a <- archive 1#1
          a <- run 2#1
    "#]],
    );
}

#[test]
fn after_a_restart_every_lease_is_full() {
    let script = "
        join a
        submit 1
        report a 1#1 started
        wait 100
        restart
        wait 299
        jobs
        wait 2
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
        > wait 100
        > restart
        > wait 299
        > jobs
        1 running
        > wait 2
          1 requeued lost=1
        > jobs
        1 queued: set aside: fits only a, which was last heard 301 s ago
    "#]],
    );
}

#[test]
fn a_node_that_has_not_come_back_yet_counts_for_one_lease() {
    let script = "
        join a slots=1
        join b gpus=1
        restart
        join a slots=1
        submit 1 gpus=1
        submit 2
        jobs
        wait 299 beats=a
        jobs
        wait 2 beats=a
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
        > restart
        > join a slots=1
          a <- session 3: []
        > submit 1 gpus=1
          1 queued at 1
        > submit 2
          2 queued at 2
        > jobs
        1 queued: waits for 1 slot, 1 GPU to be free (fits b)
        2 queued: waits behind 1
        > wait 299 beats=a
        > jobs
        1 queued: waits for 1 slot, 1 GPU to be free (fits b)
        2 queued: waits behind 1
        > wait 2 beats=a
          2 placed on a#1
          a <- run 2#1
        > jobs
        1 queued: set aside: fits only b, which was last heard 301 s ago
        2 starting
    "#]],
    );
}

#[test]
fn effects_that_were_outstanding_happen_again() {
    let script = "
        join a slots=4
        submit 1
        submit 2
        submit 3
        report a 1#1 code-0
        report a 2#1 code-0
        report a 2#1 archived
        delete 2
        stop 3
        restart
        join a slots=4 held=1#1:code-0 held=2#1:archived
        trashed 2
    ";
    check(
        script,
        expect![[r#"
        > join a slots=4
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
        > submit 3
          3 queued at 3
          3 placed on a#1
          a <- run 3#1
        > report a 1#1 code-0
          1 ended: completed
          a <- archive 1#1
        > report a 2#1 code-0
          2 ended: completed
          a <- archive 2#1
        > report a 2#1 archived
          2 done: archive complete
          a <- release 2#1
        > delete 2
          2 deleting
          trash 2
        > stop 3
          3 stopping by ada
          a <- stop 3#1
        > restart
          trash 2
        > join a slots=4 held=1#1:code-0 held=2#1:archived
          a <- session 2: [stop 3#1, archive 1#1]
        > trashed 2
          2 deleted
    "#]],
    );
}

#[test]
fn attempts_go_on_counting() {
    let script = "
        join a
        submit 1
        report a 1#1 started
        report a 1#1 lost
        restart
        join a held=1#2:started
        report a 1#2 lost
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
        > report a 1#1 lost
          1 requeued lost=1
          1 placed on a#2
          a <- release 1#1
          a <- run 1#2
        > restart
        > join a held=1#2:started
          1 started
          a <- session 2: [run 1#2]
        > report a 1#2 lost
          1 requeued lost=2
          1 placed on a#3
          a <- release 1#2
          a <- run 1#3
    "#]],
    );
}

#[test]
fn a_cordon_survives_the_master() {
    let script = "
        join a slots=3
        submit 1
        submit 2
        submit 3
        report a 1#1 not-started-strike
        report a 2#1 not-started-strike
        report a 3#1 not-started-strike
        restart
        submit 4
        jobs
    ";
    check(
        script,
        expect![[r#"
        > join a slots=3
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
        > submit 3
          3 queued at 3
          3 placed on a#1
          a <- run 3#1
        > report a 1#1 not-started-strike
          1 ended: image (no such image); archive of the bundle only
          a <- release 1#1
        > report a 2#1 not-started-strike
          2 ended: image (no such image); archive of the bundle only
          a <- release 2#1
        > report a 3#1 not-started-strike
          3 ended: image (no such image); archive of the bundle only
          node a cordoned: 3 jobs in a row could not start here; the last: no such image
          a <- release 3#1
        > restart
        > submit 4
          4 queued at 4
        > jobs
        4 queued: set aside: fits only a, which is cordoned: 3 jobs in a row could not start here; the last: no such image
    "#]],
    );
}
