//! `atlas submit`

use atlas_proto::wire;
use expect_test::expect;
use rustix::process::{Pid, Signal, kill_process};

use crate::master::{Master, PATIENCE, State};
use crate::run::{Run, User, printed};

fn completes() -> State {
    State { end: Some(("completed", None)), ..State::default() }
}

fn fails(kind: &str, value: &str) -> State {
    let cause = wire::Cause { kind: kind.into(), value: value.into() };
    State { end: Some(("failed", Some(cause))), ..State::default() }
}

fn project(user: &User) {
    user.here("main.py", "print('hello')\n");
}

/// What was said, with the id and the folder of this run replaced.
fn said(run: &Run, master: &Master, user: &User) -> String {
    let id = master.state().submissions.last().map_or_else(String::new, |it| it.id.clone());
    let here = user.path("here").canonicalize().unwrap().display().to_string();
    run.stderr.replace(&id, "<id>").replace(&here, "<here>")
}

#[tokio::test]
async fn a_submission_says_the_lines_of_2020_and_prints_the_log_alone() {
    let state = State { log: b"epoch 1\nepoch 2\n".into(), ..completes() };
    let master = Master::start(state).await;
    let user = User::of(&master.url);
    project(&user);
    let run = user.atlas(&["submit", "scheduler", ".", "main.py"]).await.exits(0);
    assert_eq!(run.out(), "epoch 1\nepoch 2\n");
    expect![[r#"
        Atlas INFO: Job submission started. Ctrl-C to cancel.
        Atlas INFO: Preparing to bundle contents of <here> for execution. Estimating bundle size.
        Atlas INFO: Bundling job contents.
        Atlas INFO: Job submitted with ID '<id>' in project 'here'.
        Atlas INFO: Job queued. Ctrl-C to stop streaming - job will not be interrupted or cancelled.
        Atlas INFO: Job running, streaming logs.
        Atlas INFO: Job '<id>' has completed.
    "#]]
    .assert_eq(&said(&run, &master, &user));
    assert_eq!(master.state().users, ["ada".to_owned()].into());
}

#[tokio::test]
async fn a_bundle_travels_once() {
    let master = Master::start(completes()).await;
    let user = User::of(&master.url);
    project(&user);
    for _ in 0..2 {
        user.atlas(&["submit", "scheduler", ".", "main.py"]).await.exits(0);
    }
    let state = master.state();
    assert_eq!((state.uploads.len(), state.bundles.len(), state.jobs.len()), (1, 1, 2));
}

#[tokio::test]
async fn the_command_ends_as_the_job_did() {
    for (kind, value, code) in [
        ("exit-code", "3", 3),
        ("signal", "9", 137),
        ("timeout", "", 124),
        ("stopped-by", "bob", 125),
        ("node-lost", "", 125),
    ] {
        let master = Master::start(fails(kind, value)).await;
        let user = User::of(&master.url);
        project(&user);
        let run = user.atlas(&["submit", "scheduler", ".", "main.py"]).await.exits(code);
        let cause = [kind, value].join(" ");
        run.says(&format!("has failed: {}\n", cause.trim()));
    }
}

#[tokio::test]
async fn a_lost_reply_makes_no_second_job() {
    let master = Master::start(State { lost_replies: 2, ..completes() }).await;
    let user = User::of(&master.url);
    project(&user);
    let run = user.atlas(&["submit", "scheduler", ".", "main.py"]).await.exits(0);
    run.says("The master does not answer; trying again.");
    run.says("The master answers again.");
    let state = master.state();
    assert_eq!((state.submissions.len(), state.jobs.len()), (3, 1));
}

#[tokio::test]
async fn a_broken_upload_goes_on_where_it_was() {
    let master = Master::start(State { break_upload_at: Some(300_000), ..completes() }).await;
    let user = User::of(&master.url);
    project(&user);
    // Noise, which does not become smaller.
    let mut seed = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 56) as u8
    })
    .take(1 << 20)
    .collect();
    user.here("noise", noise);
    user.atlas(&["submit", "scheduler", ".", "main.py"]).await.exits(0);
    let state = master.state();
    let [first, second] = state.uploads.as_slice() else { panic!("{:?}", state.uploads) };
    assert_eq!(first.offset, 0);
    assert!(second.offset >= 300_000, "{second:?}");
    assert_eq!((&first.upload, first.bytes), (&second.upload, second.bytes));
    assert_eq!(state.bundles.values().next().unwrap().len() as u64, first.bytes);
}

#[tokio::test]
async fn everything_that_was_said_reaches_the_master() {
    let master = Master::start(completes()).await;
    let user = User::of(&master.url);
    project(&user);
    user.here("job.config.yaml", "num_gpus: 1\n");
    let mut command = user.command(&[
        "submit",
        "--detach",
        "--name",
        "n",
        "--tag",
        "a",
        "--tag",
        "b=c",
        "--note",
        "t",
        "--project-name",
        "p",
        "--entrypoint",
        "python -u",
        "--num-gpus",
        "-2",
        "--cpus",
        "1.5",
        "--ram",
        "many",
        "--time-limit",
        "90m",
        "--shm",
        "2",
        "--image",
        "i:1",
        "--env",
        "HERE",
        "--env",
        "A=b=c",
        "--volume",
        "/a:/b:ro",
        "--params",
        "{\"lr\": 1}",
        "--wait-for-capacity",
        "scheduler",
        ".",
        "main.py",
        "--name",
        "the-jobs-own",
    ]);
    let run = Run::of(command.env("HERE", "v").output().await.unwrap()).exits(0);
    assert_eq!(run.out(), "");
    let state = master.state();
    let request = &state.submissions[0];
    assert_eq!(
        (request.dir_name.as_str(), request.job_config_yaml.as_deref()),
        ("here", Some("num_gpus: 1\n"))
    );
    assert_eq!(request.overrides.as_ref(), Some(&expected()));
}

/// What the words of the test above say.
fn expected() -> wire::JobOverrides {
    let text = |it: &str| Some(it.to_owned());
    let map =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    wire::JobOverrides {
        command: ["main.py", "--name", "the-jobs-own"].map(Into::into).into(),
        project: text("p"),
        name: text("n"),
        tags: map(&[("a", ""), ("b", "c")]),
        note: text("t"),
        entrypoint: text("python -u"),
        num_gpus: text("-2"),
        cpus: text("1.5"),
        ram_gb: text("many"),
        shm_gb: text("2"),
        time_limit: text("90m"),
        image: text("i:1"),
        env: map(&[("HERE", "v"), ("A", "b=c")]),
        volumes: vec!["/a:/b:ro".into()],
        params_json: text("{\"lr\": 1}"),
        wait_for_capacity: true,
        fresh_requirements: false,
    }
}

#[tokio::test]
async fn quiet_prints_the_id_and_nothing_else() {
    let master = Master::start(State { log: b"noise".into(), ..completes() }).await;
    let user = User::of(&master.url);
    project(&user);
    for args in [&["--quiet", "--detach"][..], &["--quiet"]] {
        let run = user
            .atlas(&[&["submit"], args, &["scheduler", ".", "main.py"]].concat())
            .await
            .exits(0);
        let id = master.state().submissions.last().unwrap().id.clone();
        assert_eq!((run.out(), run.stderr.as_str()), (format!("{id}\n"), ""));
    }
}

#[tokio::test]
async fn a_log_is_printed_byte_by_byte_also_when_its_stream_breaks() {
    let log = b"\xff\xfe no UTF-8 \x00\r\n\xc3".repeat(40);
    let master =
        Master::start(State { log: log.clone(), break_log_at: Some(100), ..completes() }).await;
    let user = User::of(&master.url);
    project(&user);
    let run = user.atlas(&["submit", "scheduler", ".", "main.py"]).await.exits(0);
    assert_eq!(run.stdout, log);
    assert_eq!(master.state().log_requests[1].since_offset, Some(100));
}

#[tokio::test]
async fn ctrl_c_ends_the_streaming_and_not_the_job() {
    let master = Master::start(State { log: b"begun\n".into(), ..State::default() }).await;
    let user = User::of(&master.url);
    project(&user);
    let mut child = user.command(&["submit", "scheduler", ".", "main.py"]).spawn().unwrap();
    tokio::time::timeout(PATIENCE, printed(&mut child, "begun\n")).await.unwrap();
    let pid = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let run = Run::of(child.wait_with_output().await.unwrap()).exits(130);
    run.says("Stopped streaming; the job goes on.");
    assert_eq!(master.state().stopped, Vec::<String>::new());
}

#[tokio::test]
async fn what_the_master_refuses_is_said_and_ends_with_126() {
    let mut refusal =
        tonic::Status::invalid_argument("num_gpus: '-1' is not a whole number from 0 on");
    refusal.metadata_mut().insert(atlas_proto::FIELD, "num_gpus".parse().unwrap());
    let master = Master::start(State { refusal: Some(refusal), ..completes() }).await;
    let user = User::of(&master.url);
    project(&user);
    let run =
        user.atlas(&["submit", "--num-gpus", "-1", "scheduler", ".", "main.py"]).await.exits(126);
    run.says("Atlas ERROR: --num-gpus: '-1' is not a whole number from 0 on");
    // Before anything travelled.
    assert!(master.state().uploads.is_empty());
}

#[tokio::test]
async fn what_is_wrong_here_is_said_before_anything_is_sent() {
    let master = Master::start(completes()).await;
    let user = User::of(&master.url);
    project(&user);
    user.here(".gitignore", "*.secret\n");
    user.here("conf.secret", "x");
    user.here("file", "x");
    for (args, text) in [
        (
            &["--env", "NOT_SET", "scheduler", ".", "main.py"][..],
            "--env NOT_SET: there is no such variable here",
        ),
        (&["--params", "[1]", "scheduler", ".", "main.py"], "could not read the file [1]"),
        (&["--params", "{1}", "scheduler", ".", "main.py"], "--params is not a JSON object"),
        (&["--tag", "=x", "scheduler", ".", "main.py"], "has no name"),
        (&["scheduler", "nowhere", "main.py"], "the job directory nowhere does not exist"),
        (&["scheduler", "file", "main.py"], "the job directory file is not a directory"),
        (&["scheduler", ".", "main.py", "conf.secret"], ".gitignore:1 '*.secret'"),
        (&["scheduler", ".", "--num-gpu", "1", "main.py"], "did you mean --num-gpus?"),
        (&["lab", ".", "main.py"], "there is no configuration named 'lab'"),
        (&["scheduler"], "JOB_DIR is missing"),
    ] {
        let run = user.atlas(&[&["submit"], args].concat()).await.exits(2);
        run.says(text);
        assert_eq!(run.out(), "");
    }
    assert!(master.state().submissions.is_empty());
}

#[tokio::test]
async fn a_dry_run_needs_no_master_and_names_what_is_large() {
    let user = User::new();
    project(&user);
    user.here(".atlasignore", "*.log\n");
    user.here("old.log", "x");
    let large = std::fs::File::create(user.path("here/data.bin")).unwrap();
    large.set_len(101_000_000).unwrap();
    let run = user.atlas(&["submit", "--dry-run", "scheduler", ".", "main.py"]).await.exits(0);
    let out = run.out();
    assert!(
        out.contains("  101.0 MB  data.bin\n")
            && out.contains("old.log  by .atlasignore:1 '*.log'"),
        "{out}"
    );
    run.says("The job directory holds 101.0 MB; the largest paths are:\n   101.0 MB  data.bin");
    run.says("1 file or folder stays behind by ignore rules (--dry-run lists it,");
}

#[tokio::test]
async fn a_submission_carries_its_trace_where_traces_are_wanted() {
    let master = Master::start(completes()).await;
    let user = User::of(&master.url);
    project(&user);
    user.atlas(&["submit", "scheduler", ".", "main.py"]).await.exits(0);
    let mut command = user.command(&["submit", "scheduler", ".", "main.py"]);
    // Nobody collects them there, which holds up nothing.
    let run =
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1").output().await.unwrap();
    Run::of(run).exits(0);
    let state = master.state();
    assert_eq!(state.traceparents.first(), Some(&None));
    let sent = state.traceparents.last().unwrap().as_deref().unwrap();
    assert!(sent.starts_with("00-") && sent.len() == 55, "{sent}");
}

#[tokio::test]
async fn a_command_that_is_not_there_is_worth_a_warning() {
    let master = Master::start(completes()).await;
    let user = User::of(&master.url);
    project(&user);
    let run = user.atlas(&["submit", "scheduler", ".", "mian.py"]).await.exits(0);
    run.says("Atlas WARNING: 'mian.py' is neither a file of the job directory nor a program of this machine.");
}
