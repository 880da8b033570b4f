//! What a job runs, mounts, finds in its environment and is given.

use super::*;

#[test]
fn commands_and_entrypoints_that_run_nothing_are_refused() {
    refused(
        &[
            "worker: {args: a, command: b}",
            "entrypoint: a\nworker: {entrypoint: a}",
            "entrypoint: 'python \"x'",
            "entrypoint: ''",
            "entrypoint: []",
            "entrypoint: [' ', a]",
            "entrypoint: \"a\\0b\"",
        ],
        &expect![[r#"
            job.config.yaml:1: worker.args: says the same as worker.command; keep one of them
            job.config.yaml:2: worker.entrypoint: says the same as entrypoint; keep one of them
            job.config.yaml:1: entrypoint: "python \"x" has a quote that is not closed
            job.config.yaml:1: entrypoint: is empty
            job.config.yaml:1: entrypoint: is empty
            job.config.yaml:1: entrypoint: begins with an empty word
            job.config.yaml:1: entrypoint: holds a zero byte
        "#]],
    );
    refused_flags(
        &[
            |it| it.command.clear(),
            |it| it.command = vec![String::new()],
            |it| it.command = vec!["main.py".into(), "a\0b".into()],
            |it| it.command = vec!["main.py".into(), "x".repeat(128 * 1024)],
            |it| it.command = vec!["x".into(); 10_001],
            |it| it.entrypoint = Some("sh -c 'x".into()),
        ],
        &expect![[r#"
            command: No command was specified: what is to run, such as main.py?
            command: begins with an empty word
            command: holds a zero byte
            command: has a word of more than 131071 bytes; put it into a file
            command: has more than 10000 words or 1048576 bytes; put them into a file
            entrypoint: "sh -c 'x" has a quote that is not closed
        "#]],
    );
}

#[test]
fn words_are_split_as_a_shell_splits_them() {
    let spec = from_flags(|it| it.entrypoint = Some(r#"env A="b c" 'it''s' d\ e $HOME *"#.into()));
    let words = ["env", "A=b c", "its", "d e", "$HOME", "*"];
    assert_eq!(spec.unwrap().entrypoint.unwrap(), words);
    let mut request = request();
    request.overrides = None;
    request.job_config_yaml = Some("worker: {command: 'main.py --lr 0.1'}".into());
    assert_eq!(built(request).unwrap().0.command, ["main.py", "--lr", "0.1"]);
}

#[test]
fn volumes_that_are_ambiguous_or_touch_what_is_ours_are_refused() {
    refused_flags(
        &[
            |it| it.volumes = vec!["/a".into()],
            |it| it.volumes = vec!["/a:/b:ro:x".into()],
            |it| it.volumes = vec!["/a:/b:RO".into()],
            |it| it.volumes = vec!["a:/b".into()],
            |it| it.volumes = vec!["~/a:/b".into()],
            |it| it.volumes = vec!["/a:b".into()],
            |it| it.volumes = vec![":/b".into()],
            |it| it.volumes = vec!["/a/../b:/b".into()],
            |it| it.volumes = vec!["/a:/b/..".into()],
            |it| it.volumes = vec!["/a:/".into()],
            |it| it.volumes = vec!["/a://job//".into()],
            |it| it.volumes = vec!["/a:/job/data".into()],
            |it| it.volumes = vec!["/a:/proc/1".into()],
            |it| it.volumes = vec!["/a:/atlas/x".into()],
            |it| it.volumes = vec!["/a:/tmp/".into()],
            |it| it.volumes = vec!["/a:/b\nc".into()],
            |it| it.volumes = vec!["/a:/b".into(), "/c:/b/".into()],
            |it| it.volumes = (0..65).map(|n| format!("/a:/b{n}")).collect(),
        ],
        &expect![[r#"
            volumes: "/a" is not HOST:PATH or HOST:PATH:ro
            volumes: "/a:/b:ro:x" is not HOST:PATH or HOST:PATH:ro
            volumes: mode "RO" is neither rw nor ro
            volumes: "a" is not an absolute path
            volumes: "~/a" is not a path: write the whole of it, as it is on the node
            volumes: "b" is not an absolute path
            volumes: "" is not an absolute path
            volumes: "/a/../b" holds `..`
            volumes: "/b/.." holds `..`
            volumes: "/" inside a job is Atlas's own; bind elsewhere
            volumes: "/job" inside a job is Atlas's own; bind elsewhere
            volumes: "/job/data" inside a job is Atlas's own; bind elsewhere
            volumes: "/proc/1" inside a job is Atlas's own; bind elsewhere
            volumes: "/atlas/x" inside a job is Atlas's own; bind elsewhere
            volumes: "/tmp" inside a job is Atlas's own; bind elsewhere
            volumes: "/b\nc" is too long or holds control characters
            volumes: /a and /c are both bound to /b
            volumes: more than 64 volumes
        "#]],
    );
    refused(
        &["worker:\n  volumes:\n    /a: {bind: /x}\n    /b:\n      bind: /x/\n      mode: ro"],
        &expect![[r#"
            job.config.yaml:4: worker.volumes./b: /a and /b are both bound to /x
        "#]],
    );
}

#[test]
fn volumes_are_made_plain() {
    let spec = from_flags(|it| {
        it.volumes = vec!["//a/./b/:/data//x/:rw".into(), "/:/host:ro".into(), "/j:/jobs".into()];
    });
    let volume = |host: &str, bind: &str, read_only| Volume {
        host: host.into(),
        bind: bind.into(),
        read_only,
    };
    let volumes = [
        volume("/a/b", "/data/x", false),
        volume("/", "/host", true),
        volume("/j", "/jobs", false),
    ];
    assert_eq!(spec.unwrap().worker.volumes, volumes);
}

#[test]
fn environment_that_is_ours_or_no_name_is_refused() {
    refused_flags(
        &[
            |it| it.env = [("ATLAS_JOB_ID".into(), "x".into())].into(),
            |it| it.env = [("FOUNDATIONS_USER".into(), "x".into())].into(),
            |it| it.env = [("CUDA_VISIBLE_DEVICES".into(), "all".into())].into(),
            |it| it.env = [("".into(), "x".into())].into(),
            |it| it.env = [("1A".into(), "x".into())].into(),
            |it| it.env = [("A B".into(), "x".into())].into(),
            |it| it.env = [("A=B".into(), "x".into())].into(),
            |it| it.env = [("A\0".into(), "x".into())].into(),
            |it| it.env = [("A".into(), "x\0".into())].into(),
            |it| it.env = [("A".into(), "x".repeat(128 * 1024))].into(),
            |it| it.env = (0..1001).map(|n| (format!("A{n}"), String::new())).collect(),
            |it| it.env = (0..9).map(|n| (format!("A{n}"), "x".repeat(100_000))).collect(),
        ],
        &expect![[r#"
            env: "ATLAS_JOB_ID" is set by Atlas itself; choose another name
            env: "FOUNDATIONS_USER" is set by Atlas itself; choose another name
            env: "CUDA_VISIBLE_DEVICES" is set by Atlas to the GPUs that the job was given; ask for some with num_gpus
            env: "" is not a name of a variable: letters, digits and underscores, no digit first
            env: "1A" is not a name of a variable: letters, digits and underscores, no digit first
            env: "A B" is not a name of a variable: letters, digits and underscores, no digit first
            env: "A=B" is not a name of a variable: letters, digits and underscores, no digit first
            env: "A\0" is not a name of a variable: letters, digits and underscores, no digit first
            env: "A" has a value with a zero byte
            env: "A" and its value are longer than 131072 bytes
            env: the environment has more than 1000 variables or 524288 bytes
            env: the environment has more than 1000 variables or 524288 bytes
        "#]],
    );
    let allowed = |it: &mut wire::JobOverrides| {
        it.env = [("FOUNDATIONS_COMMAND_LINE", "True"), ("ATLAS_HOME", "/x"), ("npm.x-y", "é\n")]
            .map(|(name, value)| (name.into(), value.into()))
            .into();
    };
    assert_eq!(from_flags(allowed).unwrap().worker.env.len(), 3);
}

#[test]
fn secrets_that_are_no_names_or_plain_too_are_refused() {
    refused(
        &[
            "worker: {secrets: TOKEN}",
            "worker: {secrets: {TOKEN: hunter2}}",
            "worker:\n  secrets: [A, 1A]",
            "worker:\n  secrets: ['A,B']",
            "worker:\n  secrets: [ATLAS_TOKEN]",
            "worker:\n  environment: {A: 1}\n  secrets: [A]",
        ],
        &expect![[r#"
            job.config.yaml:1: worker.secrets: expected a list of names; their values stay in the environment of whoever submits, found "TOKEN"
            job.config.yaml:1: worker.secrets: expected a list of names; their values stay in the environment of whoever submits, found a mapping
            job.config.yaml:2: worker.secrets[1]: "1A" is not a name of a variable: letters, digits and underscores, no digit first
            job.config.yaml:2: worker.secrets[0]: "A,B" is not a name of letters, digits and underscores
            job.config.yaml:2: worker.secrets[0]: "ATLAS_TOKEN" is set by Atlas itself; choose another name
            job.config.yaml:3: worker.secrets[0]: A is plain environment too (job.config.yaml:2: worker.environment.A): keep one of the two
        "#]],
    );
}

#[test]
fn values_of_secrets_come_with_the_request_and_never_into_the_job() {
    let with = |name: &str, value: &str| wire::SubmitRequest {
        secrets: [(name.to_owned(), value.to_owned())].into(),
        job_config_yaml: Some("worker: {secrets: [A, B]}".into()),
        ..request()
    };
    let built = |name, value| build(with(name, value), &Identity::unverified("ada"));
    let job = built("B", "hunter2").unwrap();
    assert!(job.spec.worker.secrets.keys().eq(["A", "B"]), "{job:?}");
    assert_eq!(job.secrets.expose()["B"], "hunter2");
    assert!(!format!("{job:?}").contains("hunter2"));
    assert!(built("C", "x").unwrap().spec.worker.secrets.contains_key("C"), "by --secret alone");
    for (name, value, why) in [
        ("B", "hunter2\0", "zero byte"),
        ("B", &*"hunter2".repeat(20_000), "longer than 131072 bytes"),
        ("a b", "hunter2", "is not a name"),
        ("ATLAS_JOB_ID", "hunter2", "is set by Atlas itself"),
    ] {
        let error = built(name, value).unwrap_err().to_string();
        assert!(error.contains(why) && !error.contains("hunter2"), "{error}");
    }
    let mut both = with("B", "hunter2");
    both.overrides.as_mut().unwrap().env = [("B".to_owned(), "plain".to_owned())].into();
    let error = build(both, &Identity::unverified("ada")).unwrap_err().to_string();
    assert!(error.contains("job.config.yaml:1") && error.contains("(env)"), "{error}");
}

#[test]
fn params_that_are_no_object_are_refused() {
    refused_flags(
        &[
            |it| it.params_json = Some("[1]".into()),
            |it| it.params_json = Some("5".into()),
            |it| it.params_json = Some("params.json".into()),
            |it| it.params_json = Some(String::new()),
            |it| it.params_json = Some("{\"a\": 1,}".into()),
            |it| it.params_json = Some("{\"a\": NaN}".into()),
            |it| it.params_json = Some("{\"a\": 1} {}".into()),
            |it| it.params_json = Some(format!("{{\"a\": {}1{}}}", "[".repeat(64), "]".repeat(64))),
            |it| it.params_json = Some(format!("{{\"a\": {}", "[".repeat(500_000))),
            |it| it.params_json = Some(format!("{{\"a\": \"{}\"}}", "x".repeat(1 << 20))),
        ],
        &expect![[r#"
            params: "[1]" is not a JSON object
            params: "5" is not a JSON object
            params: "params.json" is not a JSON object
            params: "" is not a JSON object
            params: are not a JSON object: trailing comma at line 1 column 9
            params: are not a JSON object: expected value at line 1 column 7
            params: are not a JSON object: trailing characters at line 1 column 10
            params: are nested more than 64 deep
            params: are not a JSON object: EOF while parsing a list at line 1 column 500006
            params: are longer than 1048576 bytes; put them into a file
        "#]],
    );
    refused(
        &["params: {lr: .nan}", "params: {lr: 1e999}"],
        &expect![[r#"
        job.config.yaml:1: value `.nan` is not a finite number
        job.config.yaml:1: value `1e999` is not a finite number
    "#]],
    );
}

#[test]
fn params_keep_every_digit_and_every_letter() {
    let text = r#"{"seed": 123456789012345678901234567890, "lr": 0.10, "s": "[{\"\\", "é": null}"#;
    let spec = from_flags(|it| it.params_json = Some(text.into())).unwrap();
    assert_eq!(spec.params.unwrap(), text);
    let params = |yaml: &str| from_file(yaml).unwrap().0.params.unwrap();
    assert_eq!(
        params("params: {a: 0x1F, b: .5, c: -0.0, d: -007, e: 1_000, f: 00}"),
        r#"{"a": 31, "b": 0.5, "c": -0.0, "d": -7, "e": 1000, "f": 0}"#
    );
    assert_eq!(
        params("params: {a: 9007199254740993, b: -9223372036854775809}"),
        r#"{"a": 9007199254740993, "b": -9223372036854775809}"#
    );
    assert_eq!(
        params("params:\n  a: \"1\"\n  b: |\n    x\n    y\n"),
        r#"{"a": "1", "b": "x\ny\n"}"#
    );
    assert_eq!(params("params: {}"), "{}");
}
