//! The log: complete, in order, and ended with the job.

use std::fs;

use atlas_core::log_index::Index;
use atlas_node::supervisor::{End, wall_now};

use crate::harness::{Fixture, is_alive, number, sh};

#[tokio::test]
async fn fifty_megabytes_in_a_second_are_all_there() {
    let mut fixture = Fixture::new();
    // A pattern whose period fits no buffer, so that a lost or doubled block shows.
    let ended = fixture.run(&sh("seq 1 6500000 | head -c 50000000")).await;
    assert_eq!(ended.log.len(), 50_000_000);
    let lines = ended.log.split(|byte| *byte == b'\n');
    for (line, number) in lines.zip(1u32..6_300_000) {
        assert_eq!(line, number.to_string().as_bytes());
    }
    assert_eq!(ended.exit.log_lost, 0);
}

#[tokio::test]
async fn bytes_are_kept_as_they_are_without_newline_and_without_being_text() {
    let mut fixture = Fixture::new();
    let ended = fixture.run(&sh(r"printf '\377\376\000\200no newline'")).await;
    assert_eq!(ended.log, b"\xff\xfe\x00\x80no newline");
    assert_eq!(fixture.run(&sh("true")).await.log, b"");
}

#[tokio::test]
async fn stdout_and_stderr_keep_their_order() {
    let mut fixture = Fixture::new();
    let ended = fixture.run(&sh("for i in $(seq 1 500); do echo o$i; echo e$i >&2; done")).await;
    let expected: String = (1..=500).map(|i| format!("o{i}\ne{i}\n")).collect();
    assert_eq!(String::from_utf8_lossy(&ended.log), expected);
}

#[tokio::test]
async fn a_job_that_opens_its_stdout_anew_truncates_nothing() {
    let mut fixture = Fixture::new();
    let ended =
        fixture.run(&sh("echo one; echo two > /dev/stdout; echo three > /dev/stderr")).await;
    assert_eq!(String::from_utf8_lossy(&ended.log), "one\ntwo\nthree\n");
}

#[tokio::test]
async fn what_a_job_leaves_behind_holds_nothing_up_and_is_ended() {
    let mut fixture = Fixture::new();
    let script =
        "setsid sh -c 'echo LEFT=$$; setsid sleep 1000 & echo DEEPER=$!; echo ok >&2; wait' &
        (sh -c 'while :; do echo noise; done' &)
        read -r line < /proc/self/stat
        while ! grep -q DEEPER= $LOG; do :; done; exit 5";
    let mut run = sh(script);
    let log = fixture.dir.path().join("job-1/log");
    run.command.env.insert("LOG".into(), log.to_str().unwrap().into());
    let ended = fixture.run(&run).await;
    assert_eq!(ended.exit.end, End::Code { code: 5 });
    assert_eq!(ended.exit.left_behind, 0);
    for name in ["LEFT", "DEEPER"] {
        let text: Vec<u8> = ended.log.clone();
        let text = String::from_utf8_lossy(&text).replace("noise\n", "");
        assert!(!is_alive(number(text.as_bytes(), name)), "{name} is still there");
    }
}

#[tokio::test]
async fn a_chain_of_processes_that_flees_its_end_is_caught() {
    let mut fixture = Fixture::new();
    // Each process starts the next one and ends: there is never one that has to be killed for long.
    let script = "cat > flee.sh <<'EOF'
echo x >> trace
sh flee.sh &
EOF
setsid sh flee.sh & while ! test -s trace; do :; done";
    let mut run = sh(script);
    let dir = fixture.dir.path().join("work");
    fs::create_dir(&dir).unwrap();
    run.command.cwd.clone_from(&dir);
    let ended = fixture.run(&run).await;
    assert_eq!((ended.exit.end, ended.exit.left_behind), (End::Code { code: 0 }, 0));
    let length = || fs::metadata(dir.join("trace")).unwrap().len();
    let after_end = length();
    // Another whole job later, nothing has been added.
    fixture.run(&sh("sleep 0.1")).await;
    assert_eq!(length(), after_end);
}

#[tokio::test]
async fn the_index_says_when_each_byte_came() {
    let mut fixture = Fixture::new();
    let before = wall_now();
    let ended = fixture.run(&sh("echo first; sleep 0.2; echo second; sleep 0.2; echo third")).await;
    let bytes = fs::read(ended.control.join("log.idx")).unwrap();
    let index = Index::new(&bytes);
    let times: Vec<u64> = [0, 6, 13].map(|at| index.time_of(at).unwrap()).into();
    assert!(times[0] >= before && times[2] <= wall_now(), "{times:?}");
    assert!(times[1] - times[0] >= 150 && times[2] - times[1] >= 150, "{times:?}");
    assert_eq!(index.offset_at(times[1]), Some(6));
    assert_eq!(index.offset_at(before), Some(0));
    assert_eq!(index.offset_at(wall_now() + 1), None);
}

#[tokio::test]
async fn the_index_of_a_noisy_job_stays_small() {
    let mut fixture = Fixture::new();
    let before = wall_now();
    let ended = fixture.run(&sh("seq 1 200000")).await;
    let bytes = fs::read(ended.control.join("log.idx")).unwrap();
    let most = (wall_now() - before) / 10 + 1;
    let count = Index::new(&bytes).entries().count() as u64;
    assert!(count <= most, "{count} records in {most} times 10 ms");
    let entries: Vec<_> = Index::new(&bytes).entries().collect();
    assert!(entries.windows(2).all(|it| it[0].offset < it[1].offset && it[0].at_ms < it[1].at_ms));
}
