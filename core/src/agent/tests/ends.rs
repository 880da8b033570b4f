//! How jobs end on a node: stops, reports, archives and releases.

use expect_test::expect;

use super::check;

#[test]
fn an_exit_found_on_the_disk_is_archived_when_the_list_says_so() {
    let script = "
        found 1#1:exited
        list archive:1#1
        list archive:1#1
        local 1#1 archived
        assign archive:1#1
    ";
    check(
        script,
        expect![[r#"
        > found 1#1:exited
        > list archive:1#1
          archive 1#1
        > list archive:1#1
        > local 1#1 archived
          report 1#1 archived
        > assign archive:1#1
          report 1#1 archived
    "#]],
    );
}

#[test]
fn nothing_is_archived_before_the_master_has_accepted_the_end() {
    let script = "
        list run:1#1
        local 1#1 exited
        list run:1#1
        assign archive:1#1
    ";
    check(
        script,
        expect![[r#"
        > list run:1#1
          start 1#1
        > local 1#1 exited
          report 1#1 exited
        > list run:1#1
        > assign archive:1#1
          archive 1#1
    "#]],
    );
}

#[test]
fn at_most_two_archives_are_written_at_a_time_and_the_first_waits_shortest() {
    let script = "
        list run:1#1 run:2#1 run:3#1 run:4#1
        local 4#1 exited
        local 3#1 exited
        local 2#1 exited
        local 1#1 exited
        assign archive:4#1
        assign archive:3#1
        assign archive:2#1
        assign archive:1#1
        local 3#1 archived
        local 4#1 archived
    ";
    check(
        script,
        expect![[r#"
        > list run:1#1 run:2#1 run:3#1 run:4#1
          start 1#1
          start 2#1
          start 3#1
          start 4#1
        > local 4#1 exited
          report 4#1 exited
        > local 3#1 exited
          report 3#1 exited
        > local 2#1 exited
          report 2#1 exited
        > local 1#1 exited
          report 1#1 exited
        > assign archive:4#1
          archive 4#1
        > assign archive:3#1
          archive 3#1
        > assign archive:2#1
        > assign archive:1#1
        > local 3#1 archived
          report 3#1 archived
          archive 2#1
        > local 4#1 archived
          report 4#1 archived
          archive 1#1
    "#]],
    );
}

#[test]
fn a_release_while_archiving_makes_room_for_the_next() {
    let script = "
        found 1#1:exited 2#1:exited 3#1:exited 4#1:exited
        list archive:1#1 archive:2#1 archive:3#1 archive:4#1
        release 3#1
        release 1#1
        local 1#1 archived
    ";
    check(
        script,
        expect![[r#"
        > found 1#1:exited 2#1:exited 3#1:exited 4#1:exited
        > list archive:1#1 archive:2#1 archive:3#1 archive:4#1
          archive 1#1
          archive 2#1
        > release 3#1
          remove 3#1
        > release 1#1
          remove 1#1
          archive 4#1
        > local 1#1 archived
    "#]],
    );
}

#[test]
fn a_stop_reaches_only_what_may_run() {
    let script = "
        list run:1#1
        stop 1#1
        local 1#1 started
        stop 1#1
        stop 1#2
        local 1#1 exited
        stop 1#1
        stop 2#1
    ";
    check(
        script,
        expect![[r#"
        > list run:1#1
          start 1#1
        > stop 1#1
          stop 1#1
        > local 1#1 started
          report 1#1 started
        > stop 1#1
          stop 1#1
        > stop 1#2
        > local 1#1 exited
          report 1#1 exited
        > stop 1#1
        > stop 2#1
    "#]],
    );
}

#[test]
fn a_stop_in_the_list_reaches_a_job_that_was_adopted() {
    let script = "
        found 1#1:started 2#1:starting 3#1:exited
        list stop:1#1 stop:2#1 stop:3#1
    ";
    check(
        script,
        expect![[r#"
        > found 1#1:started 2#1:starting 3#1:exited
        > list stop:1#1 stop:2#1 stop:3#1
          stop 1#1
          stop 2#1
    "#]],
    );
}

#[test]
fn what_was_stopped_before_it_reached_the_node_never_starts() {
    let script = "
        list stop:1#1
        list stop:1#1
    ";
    check(
        script,
        expect![[r#"
        > list stop:1#1
          report 1#1 not started (stopped before it started)
        > list stop:1#1
    "#]],
    );
}

#[test]
fn what_is_to_be_archived_but_is_gone_is_said_to_be_gone() {
    let script = "
        list archive:1#1
        assign archive:1#1
    ";
    check(
        script,
        expect![[r#"
        > list archive:1#1
          report 1#1 archived (the node no longer has anything of this job)
        > assign archive:1#1
          report 1#1 archived (the node no longer has anything of this job)
    "#]],
    );
}

#[test]
fn reports_only_ever_move_on() {
    let script = "
        list run:1#1
        local 1#1 exited
        local 1#1 started
        local 1#1 lost
        local 1#1 not-started
    ";
    check(
        script,
        expect![[r#"
        > list run:1#1
          start 1#1
        > local 1#1 exited
          report 1#1 exited
        > local 1#1 started
        > local 1#1 lost
        > local 1#1 not-started
    "#]],
    );
}

#[test]
fn the_end_of_a_lease_is_reported_and_waits_to_be_released() {
    let script = "
        list run:1#1
        local 1#1 lease-ended
        release 1#1
    ";
    check(
        script,
        expect![[r#"
        > list run:1#1
          start 1#1
        > local 1#1 lease-ended
          report 1#1 lease ended
        > release 1#1
          remove 1#1
    "#]],
    );
}

#[test]
fn an_end_that_only_the_master_knows_is_final() {
    let script = "
        found 1#1:started
        list archive:1#1
        local 1#1 archived
    ";
    check(
        script,
        expect![[r#"
        > found 1#1:started
        > list archive:1#1
          kill 1#1
          archive 1#1
        > local 1#1 archived
          report 1#1 archived
    "#]],
    );
}

#[test]
fn news_of_what_was_released_is_nobodys() {
    let script = "
        list run:1#1
        release 1#1
        local 1#1 exited
        release 1#1
    ";
    check(
        script,
        expect![[r#"
        > list run:1#1
          start 1#1
        > release 1#1
          kill 1#1
          remove 1#1
        > local 1#1 exited
        > release 1#1
    "#]],
    );
}
