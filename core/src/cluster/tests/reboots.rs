//! The machine of a node restarts, and nothing that ran there goes on.

use expect_test::expect;

use super::check;

#[test]
fn after_a_restart_of_the_machine_everything_that_it_does_not_hold_is_lost() {
    let script = "
        join a slots=4
        submit 1
        submit 2
        submit 3
        submit 4
        report a 1#1 started
        report a 2#1 started
        report a 3#1 code-0
        leave a
        join a slots=4 boot=2 held=2#1:code-3
        wait 1 beats=a
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
        > submit 4
          4 queued at 4
          4 placed on a#1
          a <- run 4#1
        > report a 1#1 started
          1 started
        > report a 2#1 started
          2 started
        > report a 3#1 code-0
          3 ended: completed
          a <- archive 3#1
        > leave a
        > join a slots=4 boot=2 held=2#1:code-3
          2 ended: exit-code 3
          a <- session 2: [archive 2#1]
        > wait 1 beats=a
          node a
          1 requeued lost=1
          3 done: archive incomplete (node a was restarted)
          4 requeued lost=1
          1 placed on a#2
          4 placed on a#2
          a <- release 3#1
          a <- run 1#2
          a <- run 4#2
    "#]],
    );
}

#[test]
fn nothing_that_runs_outlives_its_machine_whatever_the_agent_says() {
    let script = "
        join a slots=2
        submit 1
        submit 2
        report a 1#1 started
        join a slots=2 boot=2 held=1#1:started held=2#1:starting
        wait 1 beats=a
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
        > join a slots=2 boot=2 held=1#1:started held=2#1:starting
          a <- session 2: []
        > wait 1 beats=a
          node a
          1 requeued lost=1
          2 requeued lost=1
          1 placed on a#2
          2 placed on a#2
          a <- run 1#2
          a <- run 2#2
    "#]],
    );
}

#[test]
fn where_leases_never_end_a_restart_of_the_machine_ends_them() {
    let script = "
        policy lease=until-reboot
        join a
        submit 1
        report a 1#1 started
        leave a
        wait 1000
        join a boot=2
        wait 1 beats=a
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
        > leave a
        > wait 1000
        > join a boot=2
          a <- session 2: []
        > wait 1 beats=a
          node a
          1 requeued lost=1
          1 placed on a#2
          a <- run 1#2
    "#]],
    );
}

#[test]
fn a_join_of_before_a_restart_that_comes_after_it_takes_nothing_away() {
    let script = "
        join a boot=2
        submit 1
        report a 1#1 started
        join a boot=1
        wait 1
        join a boot=2 held=1#1:started
        wait 1 beats=a
        jobs
    ";
    check(
        script,
        expect![[r#"
        > join a boot=2
          node a
          a <- session 1: []
        > submit 1
          1 queued at 1
          1 placed on a#1
          a <- run 1#1
        > report a 1#1 started
          1 started
        > join a boot=1
          a <- session 2: []
        > wait 1
        > join a boot=2 held=1#1:started
          a <- session 3: [run 1#1]
        > wait 1 beats=a
        > jobs
        1 running
    "#]],
    );
}

#[test]
fn a_restart_of_the_machine_is_remembered_until_its_losses_are_settled() {
    let script = "
        join a
        submit 1
        join a boot=2
        restart
        join a boot=2
        wait 1 beats=a
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
        > join a boot=2
          a <- session 2: []
        > restart
        > join a boot=2
          a <- session 3: []
        > wait 1 beats=a
          node a
          1 requeued lost=1
          1 placed on a#2
          a <- run 1#2
    "#]],
    );
}

#[test]
fn a_job_that_was_stopped_when_its_machine_restarted_is_stopped() {
    let script = "
        join a
        submit 1
        report a 1#1 started
        stop 1
        join a boot=2
        wait 1 beats=a
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
        > join a boot=2
          a <- session 2: []
        > wait 1 beats=a
          node a
          1 ended: stopped-by ada (node a was restarted); archive incomplete (node a was restarted)
    "#]],
    );
}
