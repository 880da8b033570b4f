//! How jobs end, once and truly.

use expect_test::expect;

use super::check;
use super::scenario::Scenario;

#[test]
fn an_exit_is_final_frees_the_slot_at_once_and_is_archived_beside_the_next_job() {
    let script = "
        join a slots=1
        submit 1
        submit 2
        report a 1#1 started
        report a 1#1 code-0
        report a 2#1 started
        report a 1#1 archived
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
        > report a 1#1 started
          1 started
        > report a 1#1 code-0
          1 ended: completed
          2 placed on a#1
          a <- archive 1#1
          a <- run 2#1
        > report a 2#1 started
          2 started
        > report a 1#1 archived
          1 done: archive complete
          a <- release 1#1
        > jobs
        2 running
    "#]],
    );
}

#[test]
fn the_exit_code_is_the_outcome() {
    let script = "
        join a slots=4
        submit 1
        submit 2
        submit 3
        submit 4
        report a 1#1 code-0
        report a 2#1 code-3
        report a 3#1 signal-9
        report a 4#1 failed-requirements
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
        > report a 1#1 code-0
          1 ended: completed
          a <- archive 1#1
        > report a 2#1 code-3
          2 ended: exit-code 3
          a <- archive 2#1
        > report a 3#1 signal-9
          3 ended: signal 9
          a <- archive 3#1
        > report a 4#1 failed-requirements
          4 ended: requirements
          a <- archive 4#1
    "#]],
    );
}

#[test]
fn an_end_is_heard_once() {
    let script = "
        join a
        submit 1
        report a 1#1 code-1
        report a 1#1 code-0
        report a 1#1 started
        report a 1#1 lost
        report a 1#1 archived
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
        > report a 1#1 code-1
          1 ended: exit-code 1
          a <- archive 1#1
        > report a 1#1 code-0
        > report a 1#1 started
        > report a 1#1 lost
          1 done: archive incomplete (its supervisor is gone)
          a <- release 1#1
        > report a 1#1 archived
          a <- release 1#1
        > report a 1#1 archived
          a <- release 1#1
    "#]],
    );
}

#[test]
fn what_stayed_behind_is_on_the_record() {
    let script = "
        join a
        submit 1
        report a 1#1 code-0
        report a 1#1 archived-partly
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
        > report a 1#1 archived-partly
          1 done: archive incomplete (too big)
          a <- release 1#1
    "#]],
    );
}

#[test]
fn the_node_that_waits_for_a_job_removed_from_it_is_told_to_forget_it() {
    let script = "
        join a
        report a 7#1 code-0
        report a 7#1 archived
        report a 7#1 not-started
    ";
    check(
        script,
        expect![[r#"
        > join a
          node a
          a <- session 1: []
        > report a 7#1 code-0
          a <- release 7#1
        > report a 7#1 archived
          a <- release 7#1
        > report a 7#1 not-started
          a <- release 7#1
    "#]],
    );
}

#[test]
fn a_finished_job_is_deleted_files_first() {
    let script = "
        join a
        submit 1
        delete 1
        report a 1#1 code-0
        delete 1
        report a 1#1 archived
        delete 1
        delete 1
        trashed 1
        trashed 1
        submit 1
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
        > delete 1
        refused: job 1 is starting and cannot be deleted
        > report a 1#1 code-0
          1 ended: completed
          a <- archive 1#1
        > delete 1
        refused: job 1 is archiving and cannot be deleted
        > report a 1#1 archived
          1 done: archive complete
          a <- release 1#1
        > delete 1
          1 deleting
          trash 1
        > delete 1
          1 deleting
          trash 1
        > trashed 1
          1 deleted
        > trashed 1
        > submit 1
    "#]],
    );
}

#[test]
fn secrets_stay_sealed_as_long_as_the_job_may_have_to_start_and_go_with_its_end() {
    let mut scenario = Scenario::default();
    for line in [
        "join a slots=2 boot=1",
        "submit 1 secret=TOKEN",
        "submit 2 secret=TOKEN secret=KEY",
        "submit 3 secret=TOKEN",
        "report a 1#1 started",
        "restart",
        "join a slots=2 boot=2",
        "beat a",
        "wait 1 beats=a",
        "jobs",
    ] {
        scenario.play(line);
    }
    assert_eq!(scenario.secrets("1"), ["TOKEN"], "the next attempt gets it");
    assert_eq!(scenario.secrets("2"), ["KEY", "TOKEN"]);
    for line in ["stop 3", "report a 1#2 code-0"] {
        scenario.play(line);
    }
    assert_eq!(scenario.secrets("1"), [""; 0]);
    assert_eq!(scenario.secrets("3"), [""; 0]);
}

#[test]
fn what_a_job_wrote_goes_once_and_the_job_stays() {
    let script = "
        join a
        submit 1
        report a 1#1 code-0
        empty 1
        report a 1#1 archived
        empty 1
        empty 1 user=bob
        restart
        emptied 1
        emptied 1
        empty 1 user=bob
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
            > empty 1
            refused: job 1 is archiving: what it wrote can be removed once it is done
            > report a 1#1 archived
              1 done: archive complete
              a <- release 1#1
            > empty 1
              1 ada removes its outputs
              trash outputs of 1
            > empty 1 user=bob
              trash outputs of 1
            > restart
              trash outputs of 1
            > emptied 1
              1 ada removed its outputs
            > emptied 1
            > empty 1 user=bob
        "#]],
    );
}

#[test]
fn a_job_that_is_deleted_while_its_outputs_go_goes_whole() {
    let script = "
        join a
        submit 1
        report a 1#1 code-0
        report a 1#1 archived
        empty 1
        delete 1
        empty 1
        emptied 1
        trashed 1
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
            > empty 1
              1 ada removes its outputs
              trash outputs of 1
            > delete 1
              1 deleting
              trash 1
            > empty 1
            refused: there is no job 1
            > emptied 1
            > trashed 1
              1 deleted
        "#]],
    );
}
