//! What people say of projects, and what they call jobs afterwards.

use std::process::Stdio;

use atlas_proto::wire;
use expect_test::expect;
use tokio::io::AsyncWriteExt;

use crate::master::{Master, State, ended};
use crate::run::{Run, User};

const ID: &str = "11111111-2222-4333-8444-555555555555";

fn mnist() -> wire::GetProjectReply {
    wire::GetProjectReply {
        project: Some(wire::Project {
            name: "mnist".into(),
            jobs: 3,
            running: 1,
            completed: 2,
            last_submitted_ms: 1_795_168_800_000,
            ..Default::default()
        }),
        description: "# Digits\n\n\u{1b}[31mred".into(),
        notes: vec![wire::Note {
            id: 7,
            author: "ada".into(),
            at_ms: 1_795_168_800_000,
            text: "lr above 0.1 diverges".into(),
        }],
        metrics: vec![wire::ProjectMetric {
            key: "loss".into(),
            jobs: 2,
            last_json: Some("0.5".into()),
            min_json: Some("0.25".into()),
            max_json: None,
        }],
        retention: "off".into(),
        outliving: None,
    }
}

#[tokio::test]
async fn projects_are_listed_and_shown() {
    let master = Master::start(State { project: Some(mnist()), ..State::default() }).await;
    let user = User::of(&master.url);
    let table = user.atlas(&["project", "--output", "wide"]).await.exits(0).out();
    expect![[r#"
        PROJECT  JOBS  QUEUED  RUNNING  COMPLETED  FAILED  LAST SUBMITTED
        mnist       3       0        1          2       0  2026-11-20T10:00:00.000Z
    "#]]
    .assert_eq(&table);
    let shown = user.atlas(&["project", "show", "mnist"]).await.exits(0).out();
    expect![[r#"
        project      mnist
        jobs         3 (0 queued, 1 running, 2 completed, 0 failed)
        description  # Digits
        description
        description  �[31mred
        note 7       lr above 0.1 diverges (ada, 2026-11-20T10:00:00.000Z)
        metric       loss=0.5 (2 jobs, min 0.25, max -)
    "#]]
    .assert_eq(&shown);
    let json = user.atlas(&["project", "show", "mnist", "--output", "json"]).await.exits(0).json();
    assert_eq!((&json["jobs"], &json["notes"][0]["author"]), (&3.into(), &"ada".into()));
    assert_eq!(json["metrics"]["loss"]["min"], 0.25);
    user.atlas(&["project", "show", "other"]).await.exits(1).says("no project \"other\"");
}

#[tokio::test]
async fn a_project_is_described_from_a_word_or_a_file_and_noted() {
    let master = Master::start(State { project: Some(mnist()), ..State::default() }).await;
    let user = User::of(&master.url);
    user.atlas(&["project", "describe", "mnist", "Digits"]).await.exits(0);
    let mut command = user.command(&["project", "describe", "mnist"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"# From a file\n").await.unwrap();
    Run::of(child.wait_with_output().await.unwrap()).exits(0);
    user.atlas(&["project", "describe", "mnist"]).await.exits(2).says("nothing came on stdin");
    let noted = user.atlas(&["project", "note", "mnist", "better"]).await.exits(0);
    noted.says("Noted as 7 of project mnist");
    user.atlas(&["project", "note", "mnist", "--remove", "7"]).await.exits(0);
    user.atlas(&["project", "note", "mnist"]).await.exits(2);
    let of = || wire::ChangeProjectRequest { project: "mnist".into(), ..Default::default() };
    let expected = [
        wire::ChangeProjectRequest { description: Some("Digits".into()), ..of() },
        wire::ChangeProjectRequest { description: Some("# From a file\n".into()), ..of() },
        wire::ChangeProjectRequest { add_note: Some("better".into()), ..of() },
        wire::ChangeProjectRequest { remove_note: Some(7), ..of() },
    ];
    assert_eq!(master.state().project_changes, expected);
}

#[tokio::test]
async fn tags_and_names_are_changed_afterwards() {
    let jobs = [(ID.to_owned(), ended(ID, "completed", None))].into();
    let master = Master::start(State { jobs, ..State::default() }).await;
    let user = User::of(&master.url);
    let tagged =
        user.atlas(&["tag", "1111", "best", "stage=a=b", "--remove", "old"]).await.exits(0);
    tagged.says(&format!("Tags of job {ID}: best stage=a=b"));
    let named = user.atlas(&["rename", "1111", "larger batches"]).await.exits(0);
    named.says("is called 'larger batches'");
    let expected = [
        wire::LabelJobRequest {
            job: "1111".into(),
            name: None,
            tags: [("best".into(), String::new()), ("stage".into(), "a=b".into())].into(),
            remove: vec!["old".into()],
        },
        wire::LabelJobRequest {
            job: "1111".into(),
            name: Some("larger batches".into()),
            ..Default::default()
        },
    ];
    assert_eq!(master.state().labels, expected);
    user.atlas(&["tag", "1111"]).await.exits(2);
    user.atlas(&["tag", "1111", "a", "--remove", "a"]).await.exits(2).says("not both");
    user.atlas(&["tag", "9999", "a"]).await.exits(1).says("no job 9999");
}

#[tokio::test]
async fn a_rule_says_what_goes_at_once_before_it_is_set() {
    let master = Master::start(State { project: Some(mnist()), ..State::default() }).await;
    let user = User::of(&master.url);
    let set = ["project", "retention", "mnist"];
    let run = user.atlas(&[&set[..], &["outputs 30d"]].concat()).await.exits(0);
    run.says("The retention of project mnist is outputs 30d.");
    assert!(master.state().usage_requests.is_empty(), "nothing goes, nothing is asked");
    master.state().usage.total = Some(wire::Usage { outputs_bytes: 5_000, ..Default::default() });
    let filter = "outputs=kept and project=mnist";
    let outliving = wire::Outliving { jobs: 3, filter: filter.into() };
    master.state().project.as_mut().unwrap().outliving = Some(outliving);
    // Without quotes, too.
    let run = user.atlas(&[&set[..], &["outputs", "7d"]].concat()).await.exits(0);
    run.says("This is deleted now: what 3 jobs of project mnist wrote, 5.0 kB.");
    assert_eq!(master.state().usage_requests.last().unwrap().filter, filter);
    let shown = user.atlas(&["project", "show", "mnist"]).await.exits(0).out();
    assert!(shown.contains("retention    outputs 7d (3 jobs now)"), "{shown}");
    let asked: Vec<_> =
        master.state().project_changes.iter().map(|it| it.retention.clone().unwrap()).collect();
    assert_eq!(asked, ["outputs 30d", "outputs 7d"]);
    user.atlas(&set).await.exits(2);
}
