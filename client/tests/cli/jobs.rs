//! What is known about jobs, the queue and nodes, and what can be done to them.

use atlas_proto::wire;
use expect_test::expect;

use crate::master::{Master, State, ended};
use crate::run::User;

const IDS: [&str; 3] = [
    "11111111-2222-4333-8444-555555555555",
    "22222222-2222-4333-8444-555555555555",
    "33333333-2222-4333-8444-555555555555",
];

/// One completed, one failed, one queued.
fn three_jobs() -> State {
    let queued = wire::Job {
        status: "queued".into(),
        phase: "queued".into(),
        started_ms: None,
        ended_ms: None,
        log_bytes: None,
        attempt: 0,
        ..ended(IDS[2], "", None)
    };
    let jobs = [
        ended(IDS[0], "completed", None),
        ended(IDS[1], "failed", Some(("exit-code", "3"))),
        queued,
    ];
    State { jobs: jobs.into_iter().map(|it| (it.id.clone(), it)).collect(), ..State::default() }
}

/// The age of a job changes as the test does.
fn without_ages(text: &str) -> String {
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let fixed = lines.map(|words| {
        let words: Vec<_> = words
            .into_iter()
            .filter(|it| !it.ends_with(['d', 'h', 'm', 's']) || it.len() > 3)
            .collect();
        words.join(" ").replace(" now ", " ").replace(" ago", "")
    });
    fixed.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn jobs_are_listed_for_people_and_for_programs() {
    let master = Master::start(three_jobs()).await;
    let user = User::of(&master.url);
    let table = user.atlas(&["jobs"]).await.exits(0);
    expect![[r#"
        ID PROJECT NAME USER STATUS CAUSE SUBMITTED DURATION
        11111111 mnist main.py --lr 1 ada completed -
        22222222 mnist main.py --lr 1 ada failed exit-code 3
        33333333 mnist main.py --lr 1 ada queued - -"#]]
    .assert_eq(&without_ages(&table.out()));
    let json = user.atlas(&["jobs", "--output", "json"]).await.exits(0).json();
    assert_eq!(json.as_array().unwrap().len(), 3);
    assert_eq!((&json[1]["id"], &json[1]["cause"]), (&IDS[1].into(), &"exit-code 3".into()));
    assert_eq!(json[1]["duration_ms"], 60_000);
    let lines = user.atlas(&["jobs", "-o", "jsonl"]).await.exits(0).out();
    let ids: Vec<_> = lines
        .lines()
        .map(|it| {
            serde_json::from_str::<serde_json::Value>(it).unwrap()["id"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(ids, IDS);
    let wide = user.atlas(&["jobs", "--output", "wide"]).await.exits(0).out();
    assert!(wide.contains(IDS[0]) && wide.contains("2026-11-20T10:00:00.000Z"), "{wide}");
}

#[tokio::test]
async fn a_listing_is_narrowed_by_the_master_and_bounded() {
    let master = Master::start(three_jobs()).await;
    let user = User::of(&master.url);
    let run = user
        .atlas(&["jobs", "--project", "p", "--status", "failed", "--user", "u", "--limit", "2"])
        .await
        .exits(0);
    assert_eq!(run.out().lines().count(), 3);
    run.says("These are 2 of 3 jobs; --limit shows more.");
    let first = master.state().list_requests[0].clone();
    let asked = (first.project.as_deref(), first.status.as_deref(), first.user.as_deref());
    assert_eq!(asked, (Some("p"), Some("failed"), Some("u")));
    user.atlas(&["jobs", "--filter", "params.lr<1", "--sort", "-metrics.acc.max"]).await.exits(0);
    let last = master.state().list_requests.last().cloned().unwrap();
    assert_eq!((&*last.filter, &*last.sort), ("params.lr<1", "-metrics.acc.max"));
    user.atlas(&["jobs", "--status", "runing"]).await.exits(2).says("'running'");
}

#[tokio::test]
async fn a_listing_shows_what_runs_told() {
    let mut state = three_jobs();
    state.columns = vec!["params.lr".into(), "metrics.acc".into(), "tags.x\u{1b}".into()];
    let told = [
        ("params.lr", "0.01"),
        ("metrics.acc", "{\"$float\":\"nan\"}"),
        ("tags.x\u{1b}", "\"a b\""),
    ];
    let job = state.jobs.get_mut(IDS[0]).unwrap();
    job.columns = told.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let master = Master::start(state).await;
    let user = User::of(&master.url);
    let table = user.atlas(&["jobs", "--columns", "params.lr,metrics.acc"]).await.exits(0).out();
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].ends_with("params.lr  metrics.acc  tags.x\u{fffd}"), "{table}");
    assert!(lines[1].ends_with("0.01          NaN      a b"), "{table}");
    assert!(lines[2].ends_with("-            -        -"), "{table}");
    let json = user.atlas(&["jobs", "--output", "json"]).await.exits(0).json();
    assert_eq!((&json[0]["columns"]["params.lr"], &json[1]["columns"]), (&0.01.into(), &().into()));
    user.atlas(&["jobs", "--output", "wide"]).await.exits(0);
    let asked: Vec<_> = master.state().list_requests.iter().map(|it| it.columns.clone()).collect();
    assert_eq!(asked, ["params.lr,metrics.acc", "params.lr,metrics.acc", "", "", "*", "*"]);
}

#[tokio::test]
async fn a_job_is_shown_with_all_that_is_known() {
    let master = Master::start(three_jobs()).await;
    let user = User::of(&master.url);
    let shown = user.atlas(&["show", "2222"]).await.exits(0).out();
    for line in ["cause      exit-code 3", "command    main.py --lr 1", "duration   1m 0s"] {
        assert!(shown.contains(line), "{line:?} is not in\n{shown}");
    }
    let json = user.atlas(&["show", "2222", "--output", "json"]).await.exits(0).json();
    assert_eq!(json["id"], IDS[1]);
    user.atlas(&["show", "9999"]).await.exits(1).says("there is no job 9999");
}

#[tokio::test]
async fn the_queue_shows_places_and_reasons() {
    let master = Master::start(three_jobs()).await;
    let user = User::of(&master.url);
    for words in [&["queue"][..], &["queue", "list"]] {
        let json = user.atlas(&[words, &["--output", "json"]].concat()).await.exits(0).json();
        assert_eq!((&json[0]["place"], &json[0]["job"]["id"]), (&1.into(), &IDS[2].into()));
        assert_eq!(json[0]["reason"], "waits for 1 slot to be free");
    }
    let table = user.atlas(&["queue"]).await.exits(0).out();
    assert!(table.contains("waits for 1 slot to be free"), "{table}");
}

#[tokio::test]
async fn stopping_goes_on_after_a_job_that_cannot_be_stopped() {
    let master = Master::start(three_jobs()).await;
    let user = User::of(&master.url);
    let run = user.atlas(&["stop", "scheduler", "1111", "9999", "3333"]).await.exits(1);
    run.says(&format!("Atlas ERROR: job {} has ended", IDS[0]));
    run.says("Atlas ERROR: there is no job 9999");
    run.says(&format!("Stopping job {}", IDS[2]));
    user.atlas(&["stop", "job", "--config", "scheduler", "3333"]).await.exits(1);
    user.atlas(&["stop", "job", "scheduler", "3333"]).await.exits(0);
    assert_eq!(master.state().stopped, [IDS[2], IDS[2], IDS[2]]);
}

#[tokio::test]
async fn without_a_terminal_nobody_is_asked() {
    let master = Master::start(three_jobs()).await;
    let user = User::of(&master.url);
    let run = user.atlas(&["delete", "job", "scheduler", "1111"]).await.exits(0);
    run.says(&format!("Job {} successfully deleted.", IDS[0]));
    let run = user.atlas(&["clear-queue", "--yes", "scheduler"]).await.exits(0);
    run.says("Removed 1 job(s) from queue.");
    user.atlas(&["clear-queue", "--config", "scheduler"]).await.exits(0);
    user.atlas(&["clear-queue"]).await.exits(2);
    assert_eq!(master.state().deleted, [IDS[0]]);
}

#[tokio::test]
async fn what_a_filter_finds_is_deleted_together_and_what_has_not_ended_is_kept() {
    let mut state = three_jobs();
    let (outputs_bytes, log_bytes, bundles_bytes) = (2_000_000, 500, 7_000_000);
    let occupied =
        wire::Usage { jobs: 2, outputs_bytes, log_bytes, bundles_bytes, ..Default::default() };
    state.usage.total = Some(occupied.clone());
    let master = Master::start(state).await;
    let user = User::of(&master.url);
    let delete = ["delete", "job", "scheduler", "--filter", "user=ada"];
    let dry = user.atlas(&[&delete[..], &["--dry-run"]].concat()).await.exits(0);
    dry.says(
        "These would be deleted: 2 jobs (1 failed) of ada in mnist, with 2.0 MB of files and logs.",
    );
    assert!(dry.out().contains("11111111") && !dry.out().contains("33333333"), "{}", dry.out());
    assert!(master.state().deleted.is_empty());
    master.state().usage.total = Some(wire::Usage { unmeasured: 1, ..occupied });
    let dry = user.atlas(&[&delete[..], &["--dry-run"]].concat()).await.exits(0);
    dry.says("with at least 2.0 MB of files and logs.");
    let asked = master.state().usage_requests.last().cloned().unwrap();
    assert_eq!((&*asked.filter, asked.ended), ("user=ada", true));
    let run = user.atlas(&[&delete[..], &["--yes"]].concat()).await.exits(0);
    run.says("1 job has not ended and nothing of it is removed.");
    run.says("2 jobs successfully deleted.");
    assert_eq!(master.state().deleted, IDS[..2]);
    assert!(master.state().list_requests.iter().all(|it| it.filter == "user=ada"));
    for wrong in
        [&["scheduler", "1111", "--filter", "user=ada"][..], &["scheduler", "--filter", " "], &[]]
    {
        user.atlas(&[&["delete", "job"], wrong].concat()).await.exits(2);
    }
}

#[tokio::test]
async fn what_jobs_wrote_is_deleted_alone() {
    let mut state = three_jobs();
    let (outputs_bytes, checkpoints_bytes, log_bytes) = (2_000_000, 500_000, 7_000_000);
    state.usage.total = Some(wire::Usage {
        jobs: 2,
        outputs_bytes,
        checkpoints_bytes,
        log_bytes,
        ..Default::default()
    });
    let master = Master::start(state).await;
    let user = User::of(&master.url);
    let delete = ["delete", "job", "--outputs-only", "scheduler"];
    let dry = user.atlas(&[&delete[..], &["1111", "3333", "--dry-run"]].concat()).await.exits(0);
    dry.says(&format!("This would be deleted: what job {} (", IDS[0]));
    dry.says("wrote, 2.5 MB.");
    dry.says(&format!("Job {} is", IDS[2]));
    let filter = [&delete[..], &["--filter", "user=ada"]].concat();
    let dry = user.atlas(&[&filter[..], &["--dry-run"]].concat()).await.exits(0);
    dry.says("These would be deleted: what 2 jobs (1 failed) of ada in mnist wrote, 2.5 MB.");
    assert!(master.state().emptied.is_empty());
    let run = user.atlas(&[&delete[..], &["1111"]].concat()).await.exits(0);
    run.says(&format!("What job {} wrote was successfully deleted.", IDS[0]));
    let removal = wire::Removal {
        by: Some(wire::removal::By::User("bob".into())),
        bytes: Some(2_000),
        ..Default::default()
    };
    master.state().jobs.get_mut(IDS[0]).unwrap().removal = Some(removal);
    let run = user.atlas(&[&delete[..], &["1111"]].concat()).await.exits(0);
    run.says("wrote was removed on 1970-01-01T00:00:00.000Z by bob, 2.0 kB.");
    let run = user.atlas(&filter).await.exits(0);
    run.says("What 1 job wrote was removed before.");
    run.says("What 1 job wrote was successfully deleted.");
    assert_eq!(master.state().emptied, IDS[..2]);
    assert!(master.state().deleted.is_empty());
}

#[tokio::test]
async fn nodes_are_listed_and_removed() {
    let gpu = |index, free| wire::Gpu {
        id: format!("GPU-{index}"),
        index,
        model: "H200".into(),
        memory_bytes: 1,
        free,
    };
    let node = wire::Node {
        name: "gpu-7".into(),
        state: "away".into(),
        reason: "last heard 60 s ago".into(),
        executor: "docker".into(),
        slots: 2,
        slots_free: 1,
        gpus: vec![gpu(0, true), gpu(1, false)],
        cpu_milli: 8000,
        cpu_milli_free: 4500,
        memory_bytes: 64_000_000_000,
        memory_bytes_free: 32_000_000_000,
        silent_ms: 60_000,
        ..Default::default()
    };
    let master = Master::start(State { nodes: vec![node], ..State::default() }).await;
    let user = User::of(&master.url);
    for words in [&["node"][..], &["node", "list"], &["nodes"]] {
        let table = user.atlas(words).await.exits(0).out();
        let row: Vec<_> = table.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row[..6], ["gpu-7", "away", "docker", "1/2", "1/2", "4.5/8"], "{table}");
    }
    let json = user.atlas(&["nodes", "-o", "json"]).await.exits(0).json();
    assert_eq!((&json[0]["gpus"][1]["free"], &json[0]["cpus_free"]), (&false.into(), &4.5.into()));
    user.atlas(&["node", "remove", "gpu-7"]).await.exits(0).says("Removed node gpu-7.");
    user.atlas(&["node", "remove", "gpu-8"]).await.exits(1).says("there is no node gpu-8");
    assert_eq!(master.state().removed_nodes, ["gpu-7"]);
}

#[tokio::test]
async fn waiting_ends_with_the_first_failure_in_the_order_of_the_words() {
    let master = Master::start(State {
        jobs: [
            ended(IDS[0], "completed", None),
            ended(IDS[1], "failed", Some(("exit-code", "3"))),
            ended(IDS[2], "failed", Some(("signal", "15"))),
        ]
        .map(|it| (it.id.clone(), it))
        .into(),
        ..State::default()
    })
    .await;
    let user = User::of(&master.url);
    let run = user.atlas(&["wait", "1111"]).await.exits(0);
    assert_eq!(run.out(), format!("{} completed\n", IDS[0]));
    let run = user.atlas(&["wait", "1111", "3333", "2222"]).await.exits(143);
    let mut lines: Vec<_> = run.out().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(
        lines[1..],
        [format!("{} failed exit-code 3", IDS[1]), format!("{} failed signal 15", IDS[2])]
    );
    user.atlas(&["wait", "2222", "3333"]).await.exits(3);
    // 1 would be a job's own code.
    user.atlas(&["wait", "9999"]).await.exits(126);
    user.atlas(&["wait"]).await.exits(2);
}

#[tokio::test]
async fn waiting_for_any_does_not_wait_for_all() {
    let mut state = three_jobs();
    state.jobs.remove(IDS[0]);
    let master = Master::start(state).await;
    let user = User::of(&master.url);
    let run = user.atlas(&["wait", "--any", "3333", "2222"]).await.exits(3);
    assert_eq!(run.out(), format!("{} failed exit-code 3\n", IDS[1]));
}
