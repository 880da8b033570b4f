//! A case is what was written or typed, and what comes of it.

mod fields;
mod limits;
mod reading;

use atlas_core::spec::{Pull, Volume};
use expect_test::{Expect, expect, expect_file};

use super::*;

fn request() -> wire::SubmitRequest {
    wire::SubmitRequest {
        id: "45540b52-ffe2-44ab-9838-db467d3499c0".into(),
        bundle: Some(wire::Bundle { id: "ab".repeat(32), tar_bytes: 10240, files: 3 }),
        dir_name: "my_project".into(),
        job_config_yaml: None,
        overrides: Some(wire::JobOverrides {
            command: vec!["main.py".into()],
            ..wire::JobOverrides::default()
        }),
        git: None,
        secrets: BTreeMap::new(),
        git_diff: None,
    }
}

fn git() -> wire::Git {
    wire::Git { commit: "c0ffee".into(), branch: "main".into(), dirty: true, diff: None }
}

fn built(request: wire::SubmitRequest) -> Result<(JobSpec, Vec<String>), Invalid> {
    let Built { spec, notices, .. } = build(request, &Identity::unverified("ada"))?;
    Ok((spec, notices))
}

fn from_file(yaml: &str) -> Result<(JobSpec, Vec<String>), Invalid> {
    built(wire::SubmitRequest { job_config_yaml: Some(yaml.into()), ..request() })
}

fn from_flags(change: impl FnOnce(&mut wire::JobOverrides)) -> Result<JobSpec, Invalid> {
    let mut request = request();
    change(request.overrides.as_mut().unwrap());
    built(request).map(|it| it.0)
}

/// What is said about each of these files.
#[track_caller]
fn refused(files: &[&str], expected: &Expect) {
    let say = |yaml: &&str| match from_file(yaml) {
        Ok(built) => format!("{yaml:?} was taken: {built:?}\n"),
        Err(error) => format!("{error}\n"),
    };
    expected.assert_eq(&files.iter().map(say).collect::<String>());
}

/// What is said about each of these changes to a good request.
#[track_caller]
fn refused_flags(changes: &[fn(&mut wire::JobOverrides)], expected: &Expect) {
    let say = |change: &fn(&mut wire::JobOverrides)| match from_flags(change) {
        Ok(spec) => format!("taken: {spec:?}\n"),
        Err(error) => format!("{error}\n"),
    };
    expected.assert_eq(&changes.iter().map(say).collect::<String>());
}

const FULL: &str = include_str!("golden/full.yaml");

#[test]
fn every_key_of_the_file_is_in_the_job() {
    let mut request = request();
    request.overrides = None;
    request.job_config_yaml = Some(FULL.into());
    let (spec, notices) = built(request).unwrap();
    assert_eq!(notices, [""; 0]);
    expect_file!["golden/full.json"].assert_eq(&serde_json::to_string_pretty(&spec).unwrap());
}

#[test]
fn flags_win_over_the_file_and_name_by_name_in_maps() {
    let mut request = request();
    request.job_config_yaml = Some(FULL.into());
    request.overrides = Some(wire::JobOverrides {
        command: vec!["other.py".into()],
        project: Some("p".into()),
        name: Some("n".into()),
        tags: [("lr".into(), "7".into())].into(),
        note: Some(String::new()),
        entrypoint: Some("bash".into()),
        num_gpus: Some("0".into()),
        cpus: Some("3".into()),
        ram_gb: Some("1".into()),
        shm_gb: Some("0.5".into()),
        time_limit: Some("90".into()),
        image: Some("mine".into()),
        env: [("VERSION".into(), "4".into()), ("NEW".into(), "1".into())].into(),
        volumes: vec!["/elsewhere:/other:ro".into(), "/new:/new".into()],
        params_json: Some(" {\"a\": 1e400} ".into()),
        wait_for_capacity: false,
        fresh_requirements: false,
    });
    let spec = built(request).unwrap().0;
    expect_file!["golden/overridden.json"].assert_eq(&serde_json::to_string_pretty(&spec).unwrap());
}

#[test]
fn nothing_but_a_command_is_a_job_of_the_folders_project() {
    let spec = built(request()).unwrap().0;
    assert_eq!(spec.project.as_str(), "my_project");
    assert_eq!((spec.user.as_str(), &*spec.command), ("ada", &["main.py".to_owned()][..]));
    assert_eq!(spec.demand, Default::default());
    assert_eq!(spec.worker, Default::default());
    assert_eq!((spec.params, spec.entrypoint), (None, None));
}

#[test]
fn an_empty_file_and_empty_keys_say_nothing() {
    for yaml in
        ["", "# nothing\n", "---\n", "num_gpus:\nworker:\n", "worker: {image: , volumes: }", "{}"]
    {
        assert_eq!(from_file(yaml).unwrap(), built(request()).unwrap(), "{yaml:?}");
    }
}

#[test]
fn a_registry_a_tag_and_a_digest_may_have_capitals() {
    for name in ["x:V1", "Hub:5000/team/x", "localhost:5000/x:RC.1", "a.B/x@sha256:AB", "sha256:ab"]
    {
        let spec = from_flags(|it| it.image = Some(name.into())).unwrap();
        assert_eq!(spec.worker.image.as_deref(), Some(name));
    }
}

#[test]
fn words_that_were_once_truth_values_are_noticed() {
    let (spec, notices) = from_file("params:\n  shuffle: no\n  quoted: 'no'\n").unwrap();
    assert_eq!(spec.params.unwrap(), r#"{"shuffle": "no", "quoted": "no"}"#);
    expect![[r#"job.config.yaml:2: params.shuffle: no is kept as text; write true or false for a truth value, or "no" to say that it is text."#]].assert_eq(&notices.join("\n"));
}

#[test]
fn names_tags_and_notes_are_bounded() {
    refused_flags(
        &[
            |it| it.project = Some("a/b".into()),
            |it| it.project = Some(String::new()),
            |it| it.name = Some(" ".into()),
            |it| it.name = Some("x".repeat(129)),
            |it| it.name = Some("a\u{1b}[2J".into()),
            |it| it.tags = [(String::new(), "x".into())].into(),
            |it| it.tags = [("a=b".into(), "x".into())].into(),
            |it| it.tags = [("x".repeat(65), String::new())].into(),
            |it| it.tags = [("a".into(), "x\ny".into())].into(),
            |it| it.tags = (0..65).map(|n| (format!("t{n}"), String::new())).collect(),
            |it| it.note = Some("\u{7}".into()),
            |it| it.note = Some("x".repeat(16 * 1024 + 1)),
            |it| it.image = Some("a b".into()),
            |it| it.image = Some("-v".into()),
            |it| it.image = Some(String::new()),
            |it| it.image = Some("myCustomWorker:latest".into()),
            |it| it.image = Some("Hub.example:5000/Team/x:V1".into()),
        ],
        &expect![[r#"
            project: "a/b" is not a valid project name: it may hold letters, digits and any of ._- ()+
            project: "" is not a valid project name: it is empty
            name: is empty
            name: is longer than 128 bytes
            name: "a\u{1b}[2J" holds a line break or control character
            tags: is empty
            tags: "a=b" holds an equals sign
            tags: is longer than 64 bytes
            tags: "x\ny" holds a line break or control character
            tags: 65 tags are more than 64
            note: holds control characters
            note: is longer than 16384 bytes
            image: "a b" is not the name of an image
            image: "-v" is not the name of an image
            image: is empty
            image: "myCustomWorker:latest" is not the name of an image: it has capitals, and engines know only names such as "mycustomworker:latest"
            image: "Hub.example:5000/Team/x:V1" is not the name of an image: it has capitals, and engines know only names such as "hub.example:5000/team/x:v1"
        "#]],
    );
    refused(
        &[
            "worker: {working_dir: src}",
            "worker: {working_dir: /job/../etc}",
            "worker: {python: ''}",
            "output: {exclude: [\"a\\nb\"]}",
            "tags: [a=b=c, ok]\nname: ''",
        ],
        &expect![[r#"
            job.config.yaml:1: worker.working_dir: "src" is not an absolute path
            job.config.yaml:1: worker.working_dir: "/job/../etc" holds `..`
            job.config.yaml:1: worker.python: is empty
            job.config.yaml:1: output.exclude[0]: "a\nb" holds a line break or control character
            job.config.yaml:2: name: is empty
        "#]],
    );
}

#[test]
fn a_request_that_no_client_of_ours_makes_is_refused() {
    let changes: [fn(&mut wire::SubmitRequest); 12] = [
        |it| it.id = "4554".into(),
        |it| it.bundle = None,
        |it| it.bundle.as_mut().unwrap().id = "../../etc".into(),
        |it| it.bundle.as_mut().unwrap().files = 1_000_001,
        |it| it.dir_name = "my/project".into(),
        |it| it.dir_name = String::new(),
        |it| it.dir_name = "..".into(),
        |it| {
            it.git = Some(wire::Git { commit: "main".into(), ..wire::Git::default() });
        },
        |it| {
            it.git = Some(wire::Git { branch: "\n".into(), ..git() });
        },
        |it| it.git_diff = Some("diff --git a b".into()),
        |it| it.overrides = None,
        |it| it.job_config_yaml = Some("\u{feff}ram: x".into()),
    ];
    let say = |change: &fn(&mut wire::SubmitRequest)| {
        let mut request = request();
        change(&mut request);
        format!("{}\n", built(request).unwrap_err())
    };
    expect![[r#"
        id: "4554" is not a valid job id: a lower-case UUID is 36 characters, 8-4-4-4-12 hex digits
        bundle: is missing
        bundle.id: "../../etc" is not a valid bundle id: a SHA-256 is 64 lower-case hex digits
        bundle.files: 1000001 are too many; a bundle holds at most 1000000
        project: the job directory's name cannot be the project's: "my/project" is not a valid project name: it may hold letters, digits and any of ._- ()+; choose another
        project: the job directory's name cannot be the project's: "" is not a valid project name: it is empty; choose another
        project: the job directory's name cannot be the project's: ".." is not a valid project name: it begins with a dot or a dash; choose another
        git.commit: is not the hexadecimal id of a commit
        git.branch: is empty
        git_diff: is there, but not the commit in git
        command: No command was specified: what is to run, such as main.py?
        job.config.yaml:1: ram: Invalid RAM quantity. Please provide a RAM quantity greater than zero. Given: "x"
    "#]].assert_eq(&changes.iter().map(say).collect::<String>());
    let nobody = build(request(), &Identity::unverified("a\nb")).unwrap_err();
    expect![[r#"user: "a\nb" holds a line break or control character"#]]
        .assert_eq(&nobody.to_string());
}

#[test]
fn what_git_and_pull_say_is_kept() {
    let mut request = request();
    request.git = Some(git());
    request.job_config_yaml = Some("worker: {pull: always}\ntags: [a, b=c=d]".into());
    let spec = built(request).unwrap().0;
    let git = Git { commit: "c0ffee".into(), branch: "main".into(), dirty: true, diff: None };
    assert_eq!((spec.git, spec.worker.pull), (Some(git), Pull::Always));
    assert_eq!(spec.tags, [("a".into(), String::new()), ("b".into(), "c=d".into())].into());
}

#[test]
fn of_a_diff_the_spec_has_what_it_measures() {
    let with = |text: &str| wire::SubmitRequest {
        git: Some(git()),
        git_diff: Some(text.into()),
        ..request()
    };
    let identity = Identity::unverified("ada");
    let Built { spec, diff, .. } = build(with("diff --git a/a b/a\n"), &identity).unwrap();
    assert_eq!(diff.as_deref(), Some("diff --git a/a b/a\n"));
    let kept = spec.git.as_ref().unwrap().diff.as_ref().unwrap();
    assert_eq!((kept.files, kept.bytes), (1, 19));
    let other = build(with("diff --git a/b b/b\n"), &identity).unwrap();
    assert!(!spec.same_job(&other.spec), "another change is another job");
    assert_eq!(build(with(""), &identity).unwrap().spec.git.unwrap().diff, None);
}

#[test]
fn the_same_request_is_the_same_job() {
    let with_file = wire::SubmitRequest { job_config_yaml: Some(FULL.into()), ..request() };
    assert_eq!(built(with_file.clone()).unwrap(), built(with_file).unwrap());
}

#[test]
fn the_page_for_users_shows_every_key_and_works() {
    let page = include_str!("../../../docs/using/job-config.md");
    let example = page.split_once("```yaml\n").unwrap().1.split_once("```").unwrap().0;
    let mut request = request();
    request.overrides = None;
    request.job_config_yaml = Some(example.into());
    let (spec, notices) = built(request).unwrap();
    assert_eq!((spec.demand.gpus, spec.demand.memory), (1, 16_000_000_000));
    assert_eq!(notices, [""; 0]);
    for key in file::every_key() {
        assert!(page.contains(&format!("`{key}`")), "{key} is not explained");
    }
}
