//! Order and waiting.

use expect_test::expect;

use super::check;

#[test]
fn jobs_start_in_the_order_in_which_they_were_submitted() {
    let script = "
        join a slots=1
        submit 1
        submit 2
        submit 3
        jobs
        report a 1#1 started
        report a 1#1 code-0
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
        > jobs
        1 starting
        2 queued: waits for 1 slot to be free (fits a)
        3 queued: waits behind 2
        > report a 1#1 started
          1 started
        > report a 1#1 code-0
          1 ended: completed
          2 placed on a#1
          a <- archive 1#1
          a <- run 2#1
        > jobs
        1 archiving
        2 starting
        3 queued: waits for 1 slot to be free (fits a)
    "#]],
    );
}

#[test]
fn a_head_that_does_not_fit_now_blocks_those_behind_it() {
    let script = "
        join a gpus=2
        submit 1 gpus=1
        submit 2 gpus=2
        submit 3 gpus=1
        jobs
    ";
    check(
        script,
        expect![[r#"
        > join a gpus=2
          node a
          a <- session 1: []
        > submit 1 gpus=1
          1 queued at 1
          1 placed on a#1 GPU-a0
          a <- run 1#1
        > submit 2 gpus=2
          2 queued at 2
        > submit 3 gpus=1
          3 queued at 3
        > jobs
        1 starting
        2 queued: waits for 1 slot, 2 GPUs to be free (fits a)
        3 queued: waits behind 2
    "#]],
    );
}

#[test]
fn jobs_wait_while_no_node_has_ever_joined() {
    let script = "
        submit 1 gpus=8
        jobs
        join a gpus=8
    ";
    check(
        script,
        expect![[r#"
        > submit 1 gpus=8
          1 queued at 1
        > jobs
        1 queued: waits for the first node to join
        > join a gpus=8
          node a
          1 placed on a#1 GPU-a0,GPU-a1,GPU-a2,GPU-a3,GPU-a4,GPU-a5,GPU-a6,GPU-a7
          a <- session 1: []
          a <- run 1#1
    "#]],
    );
}

#[test]
fn a_node_that_is_away_for_a_moment_still_blocks_for_its_jobs() {
    let script = "
        join a slots=1
        join b gpus=1
        leave b
        submit 1 gpus=1
        submit 2
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
fn the_same_submission_again_is_the_same_job() {
    let script = "
        join a slots=1
        submit 1 trace=x
        submit 1 trace=y
        submit 1 gpus=1
        submit 2
        submit 2
    ";
    check(
        script,
        expect![[r#"
        > join a slots=1
          node a
          a <- session 1: []
        > submit 1 trace=x
          1 queued at 1
          1 placed on a#1
          a <- run 1#1
        > submit 1 trace=y
        > submit 1 gpus=1
        refused: job 1 was submitted before with another content; submit with a new id
        > submit 2
          2 queued at 2
        > submit 2
    "#]],
    );
}

#[test]
fn a_repeated_submission_of_a_job_that_has_ended_meanwhile_starts_nothing() {
    let script = "
        join a
        submit 1
        report a 1#1 code-0
        report a 1#1 archived
        submit 1
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
        > report a 1#1 code-0
          1 ended: completed
          a <- archive 1#1
        > report a 1#1 archived
          1 done: archive complete
          a <- release 1#1
        > submit 1
        > jobs
    "#]],
    );
}

#[test]
fn after_the_last_node_is_removed_jobs_wait_for_the_next() {
    let script = "
        join a
        leave a
        submit 1
        remove a
        jobs
        join b
    ";
    check(
        script,
        expect![[r#"
        > join a
          node a
          a <- session 1: []
        > leave a
        > submit 1
          1 queued at 1
        > remove a
          node a removed
        > jobs
        1 queued: waits for the first node to join
        > join b
          node b
          1 placed on b#1
          b <- session 2: []
          b <- run 1#1
    "#]],
    );
}

#[test]
fn clearing_the_queue_ends_what_waits_and_nothing_else() {
    let script = "
        join a slots=1
        submit 1
        submit 2
        submit 3
        clear
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
        > clear
          2 ended: stopped-by ada (the queue was cleared); archive of the bundle only
          3 ended: stopped-by ada (the queue was cleared); archive of the bundle only
        > jobs
        1 starting
    "#]],
    );
}

#[test]
fn clearing_a_long_queue_goes_in_portions_from_the_head() {
    let script = "
        submit 1
        submit 2
        submit 3
        clear limit=2
        jobs
    ";
    check(
        script,
        expect![[r#"
        > submit 1
          1 queued at 1
        > submit 2
          2 queued at 2
        > submit 3
          3 queued at 3
        > clear limit=2
          1 ended: stopped-by ada (the queue was cleared); archive of the bundle only
          2 ended: stopped-by ada (the queue was cleared); archive of the bundle only
        > jobs
        3 queued: waits for the first node to join
    "#]],
    );
}
