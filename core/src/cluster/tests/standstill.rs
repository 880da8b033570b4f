//! Clocks that stand still, and masters that are away.

use expect_test::expect;

use super::check;

#[test]
fn a_master_that_stood_still_ends_no_lease() {
    let script = "
        join a
        submit 1
        report a 1#1 started
        stall 400
        jobs
        wait 299
        jobs
        wait 2
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
        > stall 400
        > jobs
        1 running
        > wait 299
        > jobs
        1 running
        > wait 2
          1 requeued lost=1
    "#]],
    );
}

#[test]
fn a_master_that_stood_still_believes_no_node_away() {
    let script = "
        join a
        join b gpus=1
        wait 1 beats=a,b
        stall 40
        submit 1 gpus=1
        submit 2
    ";
    check(
        script,
        expect![[r#"
        > join a
          node a
          a <- session 1: []
        > join b gpus=1
          node b
          b <- session 2: []
        > wait 1 beats=a,b
        > stall 40
        > submit 1 gpus=1
          1 queued at 1
          1 placed on b#1 GPU-b0
          b <- run 1#1
        > submit 2
          2 queued at 2
          2 placed on a#1
          a <- run 2#1
    "#]],
    );
}

#[test]
fn whoever_was_about_to_come_back_when_the_master_stood_still_is_waited_for_anew() {
    let script = "
        join a slots=1
        join b gpus=1
        leave b
        submit 1 gpus=1
        submit 2
        stall 40
        jobs
        wait 16 beats=a
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
        > leave b
        > submit 1 gpus=1
          1 queued at 1
        > submit 2
          2 queued at 2
        > stall 40
        > jobs
        1 queued: waits for 1 slot, 1 GPU to be free (fits b)
        2 queued: waits behind 1
        > wait 16 beats=a
          2 placed on a#1
          a <- run 2#1
        > jobs
        1 queued: set aside: fits only b, which was last heard 16 s ago
        2 starting
    "#]],
    );
}

#[test]
fn the_machine_that_is_both_master_and_node_never_loses_its_jobs_by_silence() {
    let script = "
        policy lease=until-reboot
        join a
        submit 1
        report a 1#1 started
        wait 5000
        jobs
    ";
    check(
        script,
        expect![[r#"
        > policy lease=until-reboot
        > join a
          node a
          a <- session 1: []
        > submit 1
          1 queued at 1
          1 placed on a#1
          a <- run 1#1
        > report a 1#1 started
          1 started
        > wait 5000
        > jobs
        1 running
    "#]],
    );
}

#[test]
fn a_planned_stop_grants_an_hour() {
    let script = "
        join a
        submit 1
        report a 1#1 started
        planned-stop
        wait 310
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
        > wait 310
        > jobs
        1 running
    "#]],
    );
}
