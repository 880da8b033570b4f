//! What is still said and still runs after a lease was given up.

use expect_test::expect;

use super::check;

#[test]
fn an_exit_inside_the_lease_is_the_truth_as_long_as_no_later_attempt_was_placed() {
    let script = "
        join a
        submit 1
        report a 1#1 started
        leave a
        wait 301
        jobs
        join a held=1#1:code-3
        report a 1#1 archived
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
        > leave a
        > wait 301
          1 requeued lost=1
        > jobs
        1 queued: set aside: fits only a, which was last heard 301 s ago
        > join a held=1#1:code-3
          1 ended: exit-code 3
          a <- session 2: [archive 1#1]
        > report a 1#1 archived
          1 done: archive complete
          a <- release 1#1
    "#]],
    );
}

#[test]
fn an_exit_of_an_attempt_that_has_a_successor_changes_nothing() {
    let script = "
        join a
        submit 1
        report a 1#1 started
        leave a
        wait 301
        join b
        join a held=1#1:code-3
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
        > leave a
        > wait 301
          1 requeued lost=1
        > join b
          node b
          1 placed on b#2
          b <- session 2: []
          b <- run 1#2
        > join a held=1#1:code-3
          a <- session 3: []
        > jobs
        1 starting
    "#]],
    );
}

#[test]
fn a_supervisor_that_stopped_its_job_at_the_end_of_the_lease_ends_the_attempt_not_the_job() {
    let script = "
        join a
        submit 1
        report a 1#1 started
        leave a
        join a held=1#1:lease-ended
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
        > leave a
        > join a held=1#1:lease-ended
          1 requeued lost=1
          1 placed on a#2
          a <- session 2: []
          a <- run 1#2
    "#]],
    );
}

#[test]
fn a_lease_that_was_given_up_is_not_an_exit_to_be_believed() {
    let script = "
        join a
        submit 1
        report a 1#1 started
        leave a
        wait 301
        join a held=1#1:lease-ended
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
        > leave a
        > wait 301
          1 requeued lost=1
        > join a held=1#1:lease-ended
          1 placed on a#2
          a <- session 2: []
          a <- run 1#2
    "#]],
    );
}

#[test]
fn what_still_runs_after_it_was_given_up_is_not_in_the_list() {
    let script = "
        join a
        submit 1
        report a 1#1 started
        leave a
        wait 301
        join b
        join a held=1#1:started
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
        > leave a
        > wait 301
          1 requeued lost=1
        > join b
          node b
          1 placed on b#2
          b <- session 2: []
          b <- run 1#2
        > join a held=1#1:started
          a <- session 3: []
    "#]],
    );
}

#[test]
fn when_a_lease_ends_the_old_connection_counts_for_nothing_any_more() {
    let script = "
        join a
        submit 1
        report a 1#1 started
        wait 301
        beat a
        report a 1#1 code-0
        join a held=1#1:code-0
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
        > wait 301
          1 requeued lost=1
        > beat a
        refused: this connection of node a was replaced by a newer one
        > report a 1#1 code-0
        refused: this connection of node a was replaced by a newer one
        > join a held=1#1:code-0
          1 ended: completed
          a <- session 2: [archive 1#1]
    "#]],
    );
}

#[test]
fn a_node_that_says_how_another_nodes_job_ended_changes_nothing() {
    let script = "
        join a gpus=1
        join b
        submit 1 gpus=1
        submit 2 gpus=1
        report b 1#1 code-3
        report b 1#1 lost
        report b 2#0 code-3
        report a 1#1 started
        leave a
        wait 301 beats=b
        report b 1#1 code-3
        join b held=1#1:code-3
        jobs
    ";
    check(
        script,
        expect![[r#"
        > join a gpus=1
          node a
          a <- session 1: []
        > join b
          node b
          b <- session 2: []
        > submit 1 gpus=1
          1 queued at 1
          1 placed on a#1 GPU-a0
          a <- run 1#1
        > submit 2 gpus=1
          2 queued at 2
        > report b 1#1 code-3
          b <- release 1#1
        > report b 1#1 lost
          b <- release 1#1
        > report b 2#0 code-3
          b <- release 2#0
        > report a 1#1 started
          1 started
        > leave a
        > wait 301 beats=b
          1 requeued lost=1
        > report b 1#1 code-3
          b <- release 1#1
        > join b held=1#1:code-3
          b <- session 3: []
        > jobs
        1 queued: set aside: fits only a, which was last heard 301 s ago
        2 queued: set aside: fits only a, which was last heard 301 s ago
    "#]],
    );
}
