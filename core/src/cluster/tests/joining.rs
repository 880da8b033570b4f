//! What a node hears when it joins, and what it says that it still holds.

use expect_test::expect;

use super::check;

#[test]
fn a_node_hears_all_that_it_should_hold_before_anything_else() {
    let script = "
        join a slots=4
        submit 1
        submit 2
        submit 3
        submit 4
        report a 1#1 started
        report a 2#1 started
        report a 3#1 started
        stop 2
        leave a
        join a slots=4 held=1#1:started held=2#1:started held=3#1:code-0 held=9#1:code-0
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
        > report a 3#1 started
          3 started
        > stop 2
          2 stopping by ada
          a <- stop 2#1
        > leave a
        > join a slots=4 held=1#1:started held=2#1:started held=3#1:code-0 held=9#1:code-0
          3 ended: completed
          a <- session 2: [run 1#1, stop 2#1, run 4#1, archive 3#1]
    "#]],
    );
}

#[test]
fn an_assignment_that_was_lost_on_its_way_is_in_the_next_list() {
    let script = "
        join a
        submit 1
        join a
        report a 1#1 started
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
        > join a
          a <- session 2: [run 1#1]
        > report a 1#1 started
          1 started
    "#]],
    );
}

#[test]
fn what_ran_and_is_no_longer_known_to_its_node_is_lost() {
    let script = "
        join a slots=2
        submit 1
        submit 2
        report a 1#1 started
        leave a
        join a slots=2
        jobs
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
        > leave a
        > join a slots=2
          a <- session 2: [run 2#1]
        > jobs
        1 running
        2 starting
        > wait 1 beats=a
          1 requeued lost=1
          1 placed on a#2
          a <- run 1#2
    "#]],
    );
}

#[test]
fn what_is_archived_and_no_longer_known_to_its_node_is_asked_for() {
    let script = "
        join a
        submit 1
        report a 1#1 code-0
        join a
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
        > join a
          a <- session 2: [archive 1#1]
        > report a 1#1 archived-partly
          1 done: archive incomplete (too big)
          a <- release 1#1
    "#]],
    );
}

#[test]
fn an_older_attempt_that_is_held_does_not_stand_for_the_present_one() {
    let script = "
        join a
        submit 1
        report a 1#1 started
        report a 1#1 lost
        join a boot=2 held=1#1:code-0
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
        > report a 1#1 lost
          1 requeued lost=1
          1 placed on a#2
          a <- release 1#1
          a <- run 1#2
        > join a boot=2 held=1#1:code-0
          a <- session 2: []
        > wait 1 beats=a
          node a
          1 requeued lost=2
          1 placed on a#3
          a <- run 1#3
    "#]],
    );
}

#[test]
fn what_an_older_connection_still_says_counts_for_nothing() {
    let script = "
        join a
        submit 1
        join a held=1#1:starting
        report a 1#1 code-0 session=1
        beat a session=1
        leave a session=1
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
        > join a held=1#1:starting
          a <- session 2: [run 1#1]
        > report a 1#1 code-0 session=1
        refused: this connection of node a was replaced by a newer one
        > beat a session=1
        refused: this connection of node a was replaced by a newer one
        > leave a session=1
        > report a 1#1 code-0
          1 ended: completed
          a <- archive 1#1
    "#]],
    );
}

#[test]
fn a_join_that_was_overtaken_by_a_later_one_of_the_same_node_takes_nothing_away() {
    let script = "
        join a slots=2
        submit 1
        report a 1#1 started
        join a slots=2
        wait 1
        beat a session=1
        join a slots=2 held=1#1:started
        wait 5 beats=a
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
        > report a 1#1 started
          1 started
        > join a slots=2
          a <- session 2: []
        > wait 1
        > beat a session=1
        refused: this connection of node a was replaced by a newer one
        > join a slots=2 held=1#1:started
          a <- session 3: [run 1#1]
        > wait 5 beats=a
        > jobs
        1 running
    "#]],
    );
}

#[test]
fn a_machine_with_a_copy_of_a_nodes_folder_is_refused_while_the_node_may_be_there() {
    let script = "
        join a
        submit 1
        report a 1#1 started
        join a at=elsewhere:5000 boot=2
        beat a session=1
        leave a session=1
        join a at=elsewhere:5000 boot=2
        restart
        join a at=elsewhere:5000 boot=2
        wait 100
        join a at=elsewhere:5000 boot=2
        jobs
        wait 201
        join a at=elsewhere:5000 boot=2
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
        > join a at=elsewhere:5000 boot=2
        refused: node a was heard from a:5000 and may be there still: if this machine's --data folder is a copy of that node's, give it one of its own; if it is the node itself at a new address, it is let in soon
        > beat a session=1
        > leave a session=1
        > join a at=elsewhere:5000 boot=2
        refused: node a was heard from a:5000 and may be there still: if this machine's --data folder is a copy of that node's, give it one of its own; if it is the node itself at a new address, it is let in soon
        > restart
        > join a at=elsewhere:5000 boot=2
        refused: node a was heard from a:5000 and may be there still: if this machine's --data folder is a copy of that node's, give it one of its own; if it is the node itself at a new address, it is let in soon
        > wait 100
        > join a at=elsewhere:5000 boot=2
        refused: node a was heard from a:5000 and may be there still: if this machine's --data folder is a copy of that node's, give it one of its own; if it is the node itself at a new address, it is let in soon
        > jobs
        1 running
        > wait 201
          1 requeued lost=1
        > join a at=elsewhere:5000 boot=2
          node a
          1 placed on a#2
          a <- session 6: []
          a <- run 1#2
    "#]],
    );
}

#[test]
fn a_node_that_moved_within_one_start_is_let_in_when_it_is_silent_where_it_was() {
    let script = "
        join a
        submit 1
        report a 1#1 started
        leave a
        join a at=elsewhere:5000 held=1#1:started
        wait 16
        join a at=elsewhere:5000 held=1#1:started
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
        > join a at=elsewhere:5000 held=1#1:started
        refused: node a was heard from a:5000 and may be there still: if this machine's --data folder is a copy of that node's, give it one of its own; if it is the node itself at a new address, it is let in soon
        > wait 16
        > join a at=elsewhere:5000 held=1#1:started
          node a
          a <- session 3: [run 1#1]
    "#]],
    );
}

#[test]
fn an_agent_that_starts_anew_at_another_port_is_its_node_and_a_second_one_beside_it_is_not() {
    let script = "
        join a
        join a at=a:5001
        leave a session=1
        join a at=a:5001
    ";
    check(
        script,
        expect![[r#"
        > join a
          node a
          a <- session 1: []
        > join a at=a:5001
        refused: node a was heard from a:5000 and may be there still: if this machine's --data folder is a copy of that node's, give it one of its own; if it is the node itself at a new address, it is let in soon
        > leave a session=1
        > join a at=a:5001
          node a
          a <- session 3: []
    "#]],
    );
}
