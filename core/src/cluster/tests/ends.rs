//! How jobs end, once and truly.

use expect_test::expect;

use super::check;

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
fn a_job_that_exits_0_on_a_stop_is_stopped_by_whoever_asked() {
    let script = "
        join a
        submit 1
        report a 1#1 started
        stop 1 user=eve
        stop 1 user=bob
        report a 1#1 code-0-stopped
        stop 1
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
        > stop 1 user=bob
        > report a 1#1 code-0-stopped
          1 ended: stopped-by eve
          a <- archive 1#1
        > stop 1
        refused: job 1 is failed and cannot be stopped
    "#]],
    );
}

#[test]
fn a_job_that_ends_before_the_stop_arrives_has_the_end_it_had() {
    let script = "
        join a
        submit 1
        report a 1#1 started
        stop 1
        report a 1#1 code-0
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
        > report a 1#1 code-0
          1 ended: completed
          a <- archive 1#1
    "#]],
    );
}

#[test]
fn a_queued_job_is_stopped_at_once() {
    let script = "
        join a slots=1
        submit 1
        submit 2
        submit 3
        stop 2
        stop 2
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
        > stop 2
          2 ended: stopped-by ada; archive of the bundle only
        > stop 2
        refused: there is no job 2
        > jobs
        1 starting
        3 queued: waits for 1 slot to be free (fits a)
    "#]],
    );
}

#[test]
fn a_job_that_is_stopped_before_it_starts_never_starts_elsewhere() {
    let script = "
        join a
        join b
        submit 1
        stop 1
        report a 1#1 not-started
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
        > stop 1
          1 stopping by ada
          a <- stop 1#1
        > report a 1#1 not-started
          1 ended: stopped-by ada (no such image); archive of the bundle only
          a <- release 1#1
        > jobs
    "#]],
    );
}

#[test]
fn a_job_may_start_after_the_stop_and_is_stopped_all_the_same() {
    let script = "
        join a
        submit 1
        stop 1
        report a 1#1 started
        report a 1#1 signal-15-stopped
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
        > stop 1
          1 stopping by ada
          a <- stop 1#1
        > report a 1#1 started
          1 started
        > report a 1#1 signal-15-stopped
          1 ended: stopped-by ada
          a <- archive 1#1
    "#]],
    );
}

#[test]
fn a_stop_while_the_node_is_away_is_in_the_list_that_it_hears_when_it_is_back() {
    let script = "
        join a slots=2
        submit 1
        submit 2
        report a 1#1 started
        leave a
        stop 1
        stop 2
        join a slots=2 held=1#1:started
        report a 1#1 signal-15-stopped
        report a 2#1 not-started
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
        > leave a
        > stop 1
          1 stopping by ada
          a <- stop 1#1
        > stop 2
          2 stopping by ada
          a <- stop 2#1
        > join a slots=2 held=1#1:started
          a <- session 2: [stop 1#1, stop 2#1]
        > report a 1#1 signal-15-stopped
          1 ended: stopped-by ada
          a <- archive 1#1
        > report a 2#1 not-started
          2 ended: stopped-by ada (no such image); archive of the bundle only
          a <- release 2#1
    "#]],
    );
}

#[test]
fn a_stop_that_nobody_is_known_to_have_asked_for_is_still_a_stop() {
    let script = "
        join a
        submit 1
        report a 1#1 code-0-stopped
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
        > report a 1#1 code-0-stopped
          1 ended: stopped-by unknown
          a <- archive 1#1
    "#]],
    );
}

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
fn what_is_unknown_cannot_be_stopped() {
    let script = "
        stop 9
    ";
    check(
        script,
        expect![[r#"
        > stop 9
        refused: there is no job 9
    "#]],
    );
}
