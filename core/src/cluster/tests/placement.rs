//! Which node takes a job, and what becomes of jobs that no node could run.

use expect_test::expect;

use super::check;

#[test]
fn what_no_known_node_could_ever_run_is_refused_naming_the_largest() {
    let script = "
        join a gpus=2 cpu=4 memory=8
        join b gpus=1
        submit 1 gpus=3
        submit 2 cpu=9
        submit 3 memory=17
        submit 4 volume=/data
        jobs
    ";
    check(
        script,
        expect![[r#"
            > join a gpus=2 cpu=4 memory=8
              node a
              a <- session 1: []
            > join b gpus=1
              node b
              b <- session 2: []
            > submit 1 gpus=3
            refused: no node could ever run this job: it needs 1 slot, 3 GPUs; the largest node, a, has 2 GPU(s), 4 CPU(s), 8.0 GB memory, 2 slot(s). Add such a node, or submit with wait_for_capacity
            > submit 2 cpu=9
            refused: no node could ever run this job: it needs 1 slot, 9 CPUs; the largest node, a, has 2 GPU(s), 4 CPU(s), 8.0 GB memory, 2 slot(s). Add such a node, or submit with wait_for_capacity
            > submit 3 memory=17
            refused: no node could ever run this job: it needs 1 slot, 17.0 GB memory; the largest node, a, has 2 GPU(s), 4 CPU(s), 8.0 GB memory, 2 slot(s). Add such a node, or submit with wait_for_capacity
            > submit 4 volume=/data
            refused: no node could ever run this job: it needs 1 slot, volume /data; no node that is large enough allows volume /data (--allow-volume of its agent). Add such a node, or submit with wait_for_capacity
            > jobs
        "#]],
    );
}

#[test]
fn a_job_that_waits_for_capacity_is_set_aside_until_a_node_could_run_it() {
    let script = "
        join a
        submit 1 gpus=4 wait
        submit 2
        jobs
        join b gpus=4
    ";
    check(
        script,
        expect![[r#"
        > join a
          node a
          a <- session 1: []
        > submit 1 gpus=4 wait
          1 queued at 1
        > submit 2
          2 queued at 2
          2 placed on a#1
          a <- run 2#1
        > jobs
        1 queued: set aside: no node has 1 slot, 4 GPUs; the largest node, a, has 0 GPU(s), 8 CPU(s), 16.0 GB memory, 1 slot(s)
        2 starting
        > join b gpus=4
          node b
          1 placed on b#1 GPU-b0,GPU-b1,GPU-b2,GPU-b3
          b <- session 2: []
          b <- run 1#1
    "#]],
    );
}

#[test]
fn a_job_that_was_set_aside_regains_its_place_before_later_ones() {
    let script = "
        join a slots=1
        join b gpus=1
        leave b
        wait 20 beats=a
        submit 1 gpus=1
        submit 2 gpus=1
        submit 3
        submit 4
        jobs
        join b gpus=1
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
        > wait 20 beats=a
        > submit 1 gpus=1
          1 queued at 1
        > submit 2 gpus=1
          2 queued at 2
        > submit 3
          3 queued at 3
          3 placed on a#1
          a <- run 3#1
        > submit 4
          4 queued at 4
        > jobs
        1 queued: set aside: fits only b, which was last heard 20 s ago
        2 queued: set aside: fits only b, which was last heard 20 s ago
        3 starting
        4 queued: waits for 1 slot to be free (fits a)
        > join b gpus=1
          1 placed on b#1 GPU-b0
          b <- session 3: []
          b <- run 1#1
        > jobs
        1 starting
        2 queued: waits for 1 slot, 1 GPU to be free (fits b)
        3 starting
        4 queued: waits behind 2
    "#]],
    );
}

#[test]
fn a_gpu_job_takes_the_node_where_it_leaves_the_fewest_gpus() {
    let script = "
        join a gpus=4
        join b gpus=2
        join c gpus=3
        submit 1 gpus=2
        submit 2 gpus=2
        submit 3 gpus=1
    ";
    check(
        script,
        expect![[r#"
        > join a gpus=4
          node a
          a <- session 1: []
        > join b gpus=2
          node b
          b <- session 2: []
        > join c gpus=3
          node c
          c <- session 3: []
        > submit 1 gpus=2
          1 queued at 1
          1 placed on b#1 GPU-b0,GPU-b1
          b <- run 1#1
        > submit 2 gpus=2
          2 queued at 2
          2 placed on c#1 GPU-c0,GPU-c1
          c <- run 2#1
        > submit 3 gpus=1
          3 queued at 3
          3 placed on c#1 GPU-c2
          c <- run 3#1
    "#]],
    );
}

#[test]
fn among_equal_nodes_a_gpu_job_takes_the_fewest_free_slots_and_then_the_first_name() {
    let script = "
        join b gpus=2 slots=2
        join a gpus=2 slots=4
        join c gpus=2 slots=2
        submit 1 gpus=2
    ";
    check(
        script,
        expect![[r#"
        > join b gpus=2 slots=2
          node b
          b <- session 1: []
        > join a gpus=2 slots=4
          node a
          a <- session 2: []
        > join c gpus=2 slots=2
          node c
          c <- session 3: []
        > submit 1 gpus=2
          1 queued at 1
          1 placed on b#1 GPU-b0,GPU-b1
          b <- run 1#1
    "#]],
    );
}

#[test]
fn a_job_without_gpus_leaves_gpu_nodes_alone_and_spreads_over_slots() {
    let script = "
        join a gpus=4
        join b slots=2
        join c slots=3
        submit 1
        submit 2
        submit 3
    ";
    check(
        script,
        expect![[r#"
        > join a gpus=4
          node a
          a <- session 1: []
        > join b slots=2
          node b
          b <- session 2: []
        > join c slots=3
          node c
          c <- session 3: []
        > submit 1
          1 queued at 1
          1 placed on c#1
          c <- run 1#1
        > submit 2
          2 queued at 2
          2 placed on b#1
          b <- run 2#1
        > submit 3
          3 queued at 3
          3 placed on c#1
          c <- run 3#1
    "#]],
    );
}

#[test]
fn cpu_and_memory_count_where_the_job_asks_for_them() {
    let script = "
        join a slots=8 cpu=4 memory=8
        submit 1 cpu=3
        submit 2
        submit 3 memory=8
        submit 4 cpu=2
        jobs
        report a 1#1 code-0
    ";
    check(
        script,
        expect![[r#"
        > join a slots=8 cpu=4 memory=8
          node a
          a <- session 1: []
        > submit 1 cpu=3
          1 queued at 1
          1 placed on a#1
          a <- run 1#1
        > submit 2
          2 queued at 2
          2 placed on a#1
          a <- run 2#1
        > submit 3 memory=8
          3 queued at 3
          3 placed on a#1
          a <- run 3#1
        > submit 4 cpu=2
          4 queued at 4
        > jobs
        1 starting
        2 starting
        3 starting
        4 queued: waits for 1 slot, 2 CPUs to be free (fits a)
        > report a 1#1 code-0
          1 ended: completed
          4 placed on a#1
          a <- archive 1#1
          a <- run 4#1
    "#]],
    );
}

#[test]
fn a_volume_goes_only_where_its_prefix_is_allowed() {
    let script = "
        join a volume=/scratch
        join b volume=/data
        submit 1 volume=/data/sets
        submit 2 volume=/data
        submit 3 volume=/scratch
    ";
    check(
        script,
        expect![[r#"
        > join a volume=/scratch
          node a
          a <- session 1: []
        > join b volume=/data
          node b
          b <- session 2: []
        > submit 1 volume=/data/sets
          1 queued at 1
          1 placed on b#1
          b <- run 1#1
        > submit 2 volume=/data
          2 queued at 2
        > submit 3 volume=/scratch
          3 queued at 3
    "#]],
    );
}

#[test]
fn a_job_whose_volumes_nobody_allows_hears_that_and_not_how_large_the_nodes_are() {
    let script = "
        join a volume=/scratch gpus=2
        join b volume=/data
        submit 1 volume=/home
        submit 2 volume=/data gpus=1
        submit 3 volume=/data volume=/scratch
        submit 4 volume=/home wait
        submit 5 volume=/data gpus=3
        submit 6
        jobs
    ";
    check(
        script,
        expect![[r#"
        > join a volume=/scratch gpus=2
          node a
          a <- session 1: []
        > join b volume=/data
          node b
          b <- session 2: []
        > submit 1 volume=/home
        refused: no node could ever run this job: it needs 1 slot, volume /home; no node that is large enough allows volume /home (--allow-volume of its agent). Add such a node, or submit with wait_for_capacity
        > submit 2 volume=/data gpus=1
        refused: no node could ever run this job: it needs 1 slot, 1 GPU, volume /data; no node that is large enough allows volume /data (--allow-volume of its agent). Add such a node, or submit with wait_for_capacity
        > submit 3 volume=/data volume=/scratch
        refused: no node could ever run this job: it needs 1 slot, volume /data, volume /scratch; no node that is large enough allows all of its volumes. Add such a node, or submit with wait_for_capacity
        > submit 4 volume=/home wait
          4 queued at 1
        > submit 5 volume=/data gpus=3
        refused: no node could ever run this job: it needs 1 slot, 3 GPUs, volume /data; the largest node, a, has 2 GPU(s), 8 CPU(s), 16.0 GB memory, 2 slot(s). Add such a node, or submit with wait_for_capacity
        > submit 6
          6 queued at 2
          6 placed on b#1
          b <- run 6#1
        > jobs
        4 queued: set aside: no node has 1 slot, volume /home; no node that is large enough allows volume /home (--allow-volume of its agent)
        6 starting
    "#]],
    );
}

#[test]
fn removing_the_only_node_that_could_run_a_job_ends_it_with_the_reason() {
    let script = "
        join a slots=1
        join b gpus=1
        leave b
        submit 1 gpus=1
        submit 2
        wait 20 beats=a
        remove b
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
        > wait 20 beats=a
          2 placed on a#1
          a <- run 2#1
        > remove b
          node b removed
          1 ended: rejected (it needs 1 slot, 1 GPU; the largest node, a, has 0 GPU(s), 8 CPU(s), 16.0 GB memory, 1 slot(s)); archive of the bundle only
        > jobs
        2 starting
    "#]],
    );
}
