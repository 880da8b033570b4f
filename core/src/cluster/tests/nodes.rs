//! Nodes join under a name, come back changed and are removed.

use expect_test::expect;

use super::check;

#[test]
fn another_machine_of_the_same_name_is_refused_while_the_first_is_there() {
    let script = "
        join a identity=x
        join a identity=y
        leave a session=1
        join a identity=y
        wait 16
        join a identity=y
    ";
    check(
        script,
        expect![[r#"
            > join a identity=x
              node a
              a <- session 1: []
            > join a identity=y
            refused: another machine of the name a was here just now or still has jobs; start this one with a --name of its own
            > leave a session=1
            > join a identity=y
            refused: another machine of the name a was here just now or still has jobs; start this one with a --name of its own
            > wait 16
            > join a identity=y
              node a
              a <- session 4: []
        "#]],
    );
}

#[test]
fn another_machine_of_the_same_name_is_refused_while_the_first_may_run_jobs() {
    let script = "
        join a identity=x
        submit 1
        leave a
        join a identity=y
        wait 301
        join a identity=y
    ";
    check(
        script,
        expect![[r#"
            > join a identity=x
              node a
              a <- session 1: []
            > submit 1
              1 queued at 1
              1 placed on a#1
              a <- run 1#1
            > leave a
            > join a identity=y
            refused: another machine of the name a was here just now or still has jobs; start this one with a --name of its own
            > wait 301
              1 requeued lost=1
            > join a identity=y
              node a
              1 placed on a#2
              a <- session 3: []
              a <- run 1#2
        "#]],
    );
}

#[test]
fn a_new_session_clears_a_cordon() {
    let script = "
        join a slots=3
        submit 1
        submit 2
        submit 3
        report a 1#1 not-started-strike
        report a 2#1 not-started-strike
        report a 3#1 not-started-strike
        submit 4
        jobs
        join a slots=3
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
        > submit 4
          4 queued at 4
        > jobs
        4 queued: set aside: fits only a, which is cordoned: 3 jobs in a row could not start here; the last: no such image
        > join a slots=3
          node a
          4 placed on a#1
          a <- session 2: []
          a <- run 4#1
    "#]],
    );
}

#[test]
fn a_node_that_comes_back_smaller_keeps_what_runs_and_gets_no_more() {
    let script = "
        join a slots=3
        submit 1
        submit 2
        submit 3
        submit 4
        join a slots=1 held=1#1:started held=2#1:started held=3#1:started
        report a 1#1 code-0
        report a 2#1 code-0
        report a 3#1 code-0
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
        > submit 4
          4 queued at 4
        > join a slots=1 held=1#1:started held=2#1:started held=3#1:started
          node a
          1 started
          2 started
          3 started
          a <- session 2: [run 1#1, run 2#1, run 3#1]
        > report a 1#1 code-0
          1 ended: completed
          a <- archive 1#1
        > report a 2#1 code-0
          2 ended: completed
          a <- archive 2#1
        > report a 3#1 code-0
          3 ended: completed
          4 placed on a#1
          a <- archive 3#1
          a <- run 4#1
        > jobs
        1 archiving
        2 archiving
        3 archiving
        4 starting
    "#]],
    );
}

#[test]
fn what_only_a_node_that_came_back_smaller_could_run_is_set_aside_until_it_is_whole_again() {
    let script = "
        join a gpus=4
        submit 1 gpus=4
        submit 2 gpus=4
        join a gpus=2 held=1#1:started
        jobs
        join a gpus=4 held=1#1:started
        report a 1#1 code-0
    ";
    check(
        script,
        expect![[r#"
        > join a gpus=4
          node a
          a <- session 1: []
        > submit 1 gpus=4
          1 queued at 1
          1 placed on a#1 GPU-a0,GPU-a1,GPU-a2,GPU-a3
          a <- run 1#1
        > submit 2 gpus=4
          2 queued at 2
        > join a gpus=2 held=1#1:started
          node a
          1 started
          a <- session 2: [run 1#1]
        > jobs
        1 running
        2 queued: set aside: no node has 1 slot, 4 GPUs; the largest node, a, has 2 GPU(s), 8 CPU(s), 16.0 GB memory, 2 slot(s)
        > join a gpus=4 held=1#1:started
          node a
          a <- session 3: [run 1#1]
        > report a 1#1 code-0
          1 ended: completed
          2 placed on a#1 GPU-a0,GPU-a1,GPU-a2,GPU-a3
          a <- archive 1#1
          a <- run 2#1
    "#]],
    );
}

#[test]
fn a_gpu_that_is_gone_is_not_given_again_when_its_job_ends() {
    let script = "
        join a gpus=2
        submit 1 gpus=2
        join a gpus=1 held=1#1:started
        report a 1#1 code-0
        submit 2 gpus=1
    ";
    check(
        script,
        expect![[r#"
        > join a gpus=2
          node a
          a <- session 1: []
        > submit 1 gpus=2
          1 queued at 1
          1 placed on a#1 GPU-a0,GPU-a1
          a <- run 1#1
        > join a gpus=1 held=1#1:started
          node a
          1 started
          a <- session 2: [run 1#1]
        > report a 1#1 code-0
          1 ended: completed
          a <- archive 1#1
        > submit 2 gpus=1
          2 queued at 2
          2 placed on a#1 GPU-a0
          a <- run 2#1
    "#]],
    );
}

#[test]
fn a_connected_node_is_not_removed_nor_one_that_may_still_run_jobs() {
    let script = "
        join a
        submit 1
        remove a
        leave a
        remove a
        remove b
        wait 301
        remove a
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
        > remove a
        refused: node a is connected; stop its agent first
        > leave a
        > remove a
        refused: node a may still run 1 job(s) until its lease ends; stop them or wait
        > remove b
        refused: there is no node b
        > wait 301
          1 requeued lost=1
        > remove a
          node a removed
        > jobs
        1 queued: waits for the first node to join
    "#]],
    );
}

#[test]
fn jobs_of_a_node_that_is_removed_after_its_lease_go_on_elsewhere() {
    let script = "
        policy lease=30
        join a slots=1
        submit 1
        submit 2
        report a 1#1 started
        join b slots=1 gpus=1
        leave a
        wait 31 beats=b
        remove a
        jobs
    ";
    check(
        script,
        expect![[r#"
        > policy lease=30
        > join a slots=1
          node a
          a <- session 1: []
        > submit 1
          1 queued at 1
          1 placed on a#1
          a <- run 1#1
        > submit 2
          2 queued at 2
        > report a 1#1 started
          1 started
        > join b slots=1 gpus=1
          node b
          2 placed on b#1
          b <- session 2: []
          b <- run 2#1
        > leave a
        > wait 31 beats=b
          1 requeued lost=1
        > remove a
          node a removed
        > jobs
        1 queued: waits for 1 slot to be free (fits b)
        2 starting
    "#]],
    );
}

#[test]
fn where_leases_never_end_the_word_of_whoever_removes_the_node_counts() {
    let script = "
        policy lease=until-reboot
        join a
        submit 1
        report a 1#1 started
        leave a
        wait 1000
        jobs
        remove a
        jobs
        join b
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
        > jobs
        1 running
        > remove a
          1 requeued lost=1
          node a removed
        > jobs
        1 queued: waits for the first node to join
        > join b
          node b
          1 placed on b#2
          b <- session 2: []
          b <- run 1#2
    "#]],
    );
}
