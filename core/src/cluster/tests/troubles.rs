//! Nodes that find something wrong with themselves get no jobs until it is over.

use expect_test::expect;

use super::check;

#[test]
fn a_node_in_trouble_gets_no_jobs_and_keeps_what_runs() {
    let script = "
        join a slots=2
        submit 1
        report a 1#1 started
        troubles a disk
        submit 2
        jobs
        report a 1#1 code-0
        troubles a
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
        > troubles a disk
        > submit 2
          2 queued at 2
        > jobs
        1 running
        2 queued: set aside: fits only a, which is cordoned: disk: as told
        > report a 1#1 code-0
          1 ended: completed
          a <- archive 1#1
        > troubles a
          2 placed on a#1
          a <- run 2#1
    "#]],
    );
}

#[test]
fn jobs_pass_a_node_in_trouble_and_what_fits_only_there_is_set_aside() {
    let script = "
        join a gpus=1 trouble=share trouble=docker
        join b
        submit 1 gpus=1
        submit 2
        jobs
        troubles a docker
        jobs
        troubles a
    ";
    check(
        script,
        expect![[r#"
        > join a gpus=1 trouble=share trouble=docker
          node a
          a <- session 1: []
        > join b
          node b
          b <- session 2: []
        > submit 1 gpus=1
          1 queued at 1
        > submit 2
          2 queued at 2
          2 placed on b#1
          b <- run 2#1
        > jobs
        1 queued: set aside: fits only a, which is cordoned: share: as told; docker: as told
        2 starting
        > troubles a docker
        > jobs
        1 queued: set aside: fits only a, which is cordoned: docker: as told
        2 starting
        > troubles a
          1 placed on a#1 GPU-a0
          a <- run 1#1
    "#]],
    );
}

#[test]
fn a_trouble_counts_while_its_node_is_away_for_a_moment_and_ends_with_the_next_session() {
    let script = "
        join a trouble=clock
        submit 1
        leave a
        jobs
        wait 20
        jobs
        join a
    ";
    check(
        script,
        expect![[r#"
        > join a trouble=clock
          node a
          a <- session 1: []
        > submit 1
          1 queued at 1
        > leave a
        > jobs
        1 queued: set aside: fits only a, which is cordoned: clock: as told
        > wait 20
        > jobs
        1 queued: set aside: fits only a, which was last heard 20 s ago
        > join a
          1 placed on a#1
          a <- session 2: []
          a <- run 1#1
    "#]],
    );
}

#[test]
fn a_trouble_is_not_kept_and_an_older_connection_may_not_speak_of_any() {
    let script = "
        join a trouble=disk
        restart
        submit 1
        join a
        troubles a share session=1
        jobs
    ";
    check(
        script,
        expect![[r#"
        > join a trouble=disk
          node a
          a <- session 1: []
        > restart
        > submit 1
          1 queued at 1
        > join a
          1 placed on a#1
          a <- session 2: []
          a <- run 1#1
        > troubles a share session=1
        refused: this connection of node a was replaced by a newer one
        > jobs
        1 starting
    "#]],
    );
}

#[test]
fn a_node_comes_back_as_the_same_with_another_address_and_other_gpus() {
    let script = "
        join a gpus=2 identity=x
        submit 1 gpus=1
        report a 1#1 started
        leave a
        wait 16
        join a gpus=4 identity=x at=elsewhere:5000 held=1#1:started
        submit 2 gpus=3
        submit 3 gpus=1
    ";
    check(
        script,
        expect![[r#"
            > join a gpus=2 identity=x
              node a
              a <- session 1: []
            > submit 1 gpus=1
              1 queued at 1
              1 placed on a#1 GPU-a0
              a <- run 1#1
            > report a 1#1 started
              1 started
            > leave a
            > wait 16
            > join a gpus=4 identity=x at=elsewhere:5000 held=1#1:started
              node a
              a <- session 2: [run 1#1]
            > submit 2 gpus=3
              2 queued at 2
              2 placed on a#1 GPU-a1,GPU-a2,GPU-a3
              a <- run 2#1
            > submit 3 gpus=1
              3 queued at 3
        "#]],
    );
}

#[test]
fn what_could_not_start_on_a_node_in_trouble_may_start_there_behind_it_and_counts_for_nothing() {
    let script = "
        join a
        submit 1
        troubles a share
        report a 1#1 not-started-strike
        jobs
        troubles a
        troubles a share
        report a 1#2 not-started-strike
        troubles a
        troubles a share
        report a 1#3 not-started-strike
        troubles a
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
        > troubles a share
        > report a 1#1 not-started-strike
          1 requeued lost=0
          a <- release 1#1
        > jobs
        1 queued: set aside: fits only a, which is cordoned: share: as told
        > troubles a
          1 placed on a#2
          a <- run 1#2
        > troubles a share
        > report a 1#2 not-started-strike
          1 requeued lost=0
          a <- release 1#2
        > troubles a
          1 placed on a#3
          a <- run 1#3
        > troubles a share
        > report a 1#3 not-started-strike
          1 requeued lost=0
          a <- release 1#3
        > troubles a
          1 placed on a#4
          a <- run 1#4
    "#]],
    );
}
