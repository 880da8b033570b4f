//! A case is what was written or typed, and what comes of it.

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
    }
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
fn an_unknown_key_names_the_one_that_was_meant() {
    refused(
        &[
            "num_gpu: 1",
            "ram: 1\nproject-name: x",
            "image: a",
            "worker:\n  imge: a",
            "worker:\n  num_gpus: 1",
            "worker: {volumes: {/a: {bind: /b, mod: ro}}}",
            "output: {max: 1}",
            "resources: {}",
            "\"a\\e[31mb\": 1",
        ],
        &expect![[r#"
            job.config.yaml:1: unknown key `num_gpu`; did you mean `num_gpus`?
            job.config.yaml:2: unknown key `project-name`; did you mean `project_name`?
            job.config.yaml:1: unknown key `image`; did you mean `worker.image`?
            job.config.yaml:2: unknown key `worker.imge`; did you mean `worker.image`?
            job.config.yaml:2: unknown key `worker.num_gpus`; did you mean `num_gpus`?
            job.config.yaml:1: unknown key `worker.volumes./a.mod`; did you mean `worker.volumes./a.mode`?
            job.config.yaml:1: unknown key `output.max`; known are exclude, max_gb
            job.config.yaml:1: unknown key `resources`; known are project_name, name, tags, note, log_level, entrypoint, params, num_gpus, cpus, ram, shm, wait_for_capacity, fresh_requirements, output, worker
            job.config.yaml:1: unknown key `a\u{1b}[31mb`; known are project_name, name, tags, note, log_level, entrypoint, params, num_gpus, cpus, ram, shm, wait_for_capacity, fresh_requirements, output, worker
        "#]],
    );
}

#[test]
fn numbers_that_are_none_are_refused_with_what_was_given() {
    refused(
        &[
            "num_gpus: -1",
            "\n\nnum_gpus: 1.5",
            "num_gpus: 1.0",
            "num_gpus: two",
            "num_gpus: 99999999999999999999",
            "num_gpus: +1",
            "num_gpus: 0x10",
            "num_gpus: true",
            "num_gpus: [1]",
            "num_gpus: ''",
            "ram: 0",
            "ram: -2.5",
            "ram: lots",
            "ram: 16GB",
            "ram: 1e300",
            "ram: 0.000001",
            "ram: .nan",
            "ram: .inf",
            "shm: 0",
            "cpus: 0",
            "cpus: 0.001",
            "cpus: -0.0",
            "output: {max_gb: -1}",
        ],
        &expect![[r#"
            job.config.yaml:1: num_gpus: Invalid GPU quantity. Please provide a non-negative integer GPU quantity. Given: "-1"
            job.config.yaml:3: num_gpus: Invalid GPU quantity. Please provide a non-negative integer GPU quantity. Given: "1.5"
            job.config.yaml:1: num_gpus: Invalid GPU quantity. Please provide a non-negative integer GPU quantity. Given: "1.0"
            job.config.yaml:1: num_gpus: Invalid GPU quantity. Please provide a non-negative integer GPU quantity. Given: "two"
            job.config.yaml:1: num_gpus: Invalid GPU quantity. Please provide a non-negative integer GPU quantity. Given: "99999999999999999999"
            job.config.yaml:1: num_gpus: Invalid GPU quantity. Please provide a non-negative integer GPU quantity. Given: "+1"
            job.config.yaml:1: num_gpus: Invalid GPU quantity. Please provide a non-negative integer GPU quantity. Given: "0x10"
            job.config.yaml:1: num_gpus: Invalid GPU quantity. Please provide a non-negative integer GPU quantity. Given: "true"
            job.config.yaml:1: num_gpus: expected a number, found a list
            job.config.yaml:1: num_gpus: Invalid GPU quantity. Please provide a non-negative integer GPU quantity. Given: ""
            job.config.yaml:1: ram: Invalid RAM quantity. Please provide a RAM quantity greater than zero. Given: "0"
            job.config.yaml:1: ram: Invalid RAM quantity. Please provide a RAM quantity greater than zero. Given: "-2.5"
            job.config.yaml:1: ram: Invalid RAM quantity. Please provide a RAM quantity greater than zero. Given: "lots"
            job.config.yaml:1: ram: Invalid RAM quantity. Please provide a RAM quantity greater than zero. Given: "16GB"
            job.config.yaml:1: ram: Invalid RAM quantity. Please provide a RAM quantity that a machine can have. Given: "1e300"
            job.config.yaml:1: ram: Invalid RAM quantity. Please provide a RAM quantity of at least 0.01. Given: "0.000001"
            job.config.yaml:1: value `.nan` is not a finite number
            job.config.yaml:1: value `.inf` is not a finite number
            job.config.yaml:1: shm: Invalid shared memory quantity. Please provide a quantity of shared memory in GB greater than zero. Given: "0"
            job.config.yaml:1: cpus: Invalid CPU quantity. Please provide a CPU quantity greater than zero. Given: "0"
            job.config.yaml:1: cpus: Invalid CPU quantity. Please provide a CPU quantity of at least 0.01. Given: "0.001"
            job.config.yaml:1: cpus: Invalid CPU quantity. Please provide a CPU quantity greater than zero. Given: "-0.0"
            job.config.yaml:1: output.max_gb: Invalid output quantity. Please provide a quantity of output in GB greater than zero. Given: "-1"
        "#]],
    );
}

#[test]
fn numbers_that_are_none_are_refused_on_the_command_line_too() {
    refused_flags(
        &[
            |it| it.num_gpus = Some("-1".into()),
            |it| it.num_gpus = Some("1.5".into()),
            |it| it.num_gpus = Some(" 1".into()),
            |it| it.num_gpus = Some("9".repeat(10_000)),
            |it| it.num_gpus = Some("\u{1b}[31mred".into()),
            |it| it.ram_gb = Some("0".into()),
            |it| it.ram_gb = Some("nan".into()),
            |it| it.ram_gb = Some("infinity".into()),
            |it| it.shm_gb = Some("x".into()),
            |it| it.cpus = Some(String::new()),
        ],
        &expect![[r#"
            --num-gpus: Invalid GPU quantity. Please provide a non-negative integer GPU quantity. Given: "-1"
            --num-gpus: Invalid GPU quantity. Please provide a non-negative integer GPU quantity. Given: "1.5"
            --num-gpus: Invalid GPU quantity. Please provide a non-negative integer GPU quantity. Given: " 1"
            --num-gpus: Invalid GPU quantity. Please provide a non-negative integer GPU quantity. Given: "999999999999999999999999999999999999999999999999999999999999"…
            --num-gpus: Invalid GPU quantity. Please provide a non-negative integer GPU quantity. Given: "\u{1b}[31mred"
            --ram: Invalid RAM quantity. Please provide a RAM quantity greater than zero. Given: "0"
            --ram: Invalid RAM quantity. Please provide a RAM quantity greater than zero. Given: "nan"
            --ram: Invalid RAM quantity. Please provide a RAM quantity greater than zero. Given: "infinity"
            --shm: Invalid shared memory quantity. Please provide a quantity of shared memory in GB greater than zero. Given: "x"
            --cpus: Invalid CPU quantity. Please provide a CPU quantity greater than zero. Given: ""
        "#]],
    );
}

#[test]
fn numbers_that_are_some_are_taken() {
    let demand = |yaml: &str| from_file(yaml).unwrap().0.demand;
    assert_eq!(demand("num_gpus: 8").gpus, 8);
    assert_eq!(demand("num_gpus: '2'").gpus, 2);
    assert_eq!(demand("ram: 0.5").memory, 500_000_000);
    assert_eq!(demand("ram: 64").memory, 64_000_000_000);
    assert_eq!(demand("cpus: 0.25").cpu_milli, 250);
    // However it is written, and whatever stands before it.
    for yaml in
        ["ram: 2.5 # GB", "ram: &most 2.5", "ram: !!float 2.5", "\u{feff}ram: 2.5", "ram:\n  2.5"]
    {
        assert_eq!(demand(yaml).memory, 2_500_000_000, "{yaml}");
    }
    let behind = "note: é🚀\nparams: {é: &half 2.5}\nram: *half\r\nnum_gpus: 3\r\n";
    assert_eq!((demand(behind).memory, demand(behind).gpus), (2_500_000_000, 3));
    assert_eq!(from_flags(|it| it.ram_gb = Some("1e-2".into())).unwrap().demand.memory, 10_000_000);
}

#[test]
fn wrong_types_name_the_key_and_the_line() {
    refused(
        &[
            "project_name: [a]",
            "- a\n- b",
            "just text",
            "worker: main.py",
            "worker:\n  environment: [A=b]",
            "worker:\n  environment:\n    A:",
            "worker:\n  environment:\n    A: {b: c}",
            "worker:\n  volumes:\n    /a: /b",
            "worker:\n  volumes:\n    /a: {mode: ro}",
            "wait_for_capacity: 1",
            "fresh_requirements: yes",
            "params: [1]",
            "output: {exclude: '*.tmp'}",
            "tags: 5",
            "tags: [[a]]",
            "worker: {args: {a: b}}",
            "log_level: INF",
            "log_level: LOUD",
            "worker: {pull: sometimes}",
        ],
        &expect![[r#"
            job.config.yaml:1: project_name: expected a text, found a list
            job.config.yaml:1: expected a mapping, found a list
            job.config.yaml:1: expected a mapping, found "just text"
            job.config.yaml:1: worker: expected a mapping, found "main.py"
            job.config.yaml:2: worker.environment: expected a mapping, found a list
            job.config.yaml:3: worker.environment.A: has no value; write "" for an empty one
            job.config.yaml:3: worker.environment.A: expected a text, found a mapping
            job.config.yaml:3: worker.volumes./a: expected a mapping with bind and mode, found "/b"
            job.config.yaml:3: worker.volumes./a: has no bind, the path inside the job
            job.config.yaml:1: wait_for_capacity: expected true or false, found "1"
            job.config.yaml:1: fresh_requirements: expected true or false, found "yes"
            job.config.yaml:1: params: expected a mapping of names to values, found a list
            job.config.yaml:1: output.exclude: expected a list, found "*.tmp"
            job.config.yaml:1: tags: expected a list or a mapping of tags, found "5"
            job.config.yaml:1: tags[0]: expected a text, found a list
            job.config.yaml:1: worker.args: expected a text or a list of words, found a mapping
            job.config.yaml:1: log_level: "INF" is not a level of logging; did you mean INFO?
            job.config.yaml:1: log_level: "LOUD" is not a level of logging; known are DEBUG, INFO, WARNING, ERROR, CRITICAL
            job.config.yaml:1: worker.pull: "sometimes" is not one of missing, always, never
        "#]],
    );
}

#[test]
fn what_is_no_yaml_is_refused_where_it_breaks() {
    let huge = format!("note: {}", "x".repeat(64 * 1024));
    let deep = format!("params: {}{}", "[".repeat(100), "]".repeat(100));
    let laughs = (1..9).fold("params:\n  l0: &l0 [lol]\n".to_owned(), |text, it| {
        let below = format!("*l{}", it - 1);
        text + &format!("  l{it}: &l{it} [{below}, {below}, {below}, {below}, {below}]\n")
    });
    refused(
        &[
            "a: b: c",
            "a: 'unclosed",
            "a:\n\t- b",
            "ram: 1\nram: 2",
            "ram: 1\n---\nram: 2\n",
            "ram: *nothing",
            "params: &a [*a]",
            "ram: 1\n\0",
            "ram: !!python/object:os.system x",
            "[a]: b",
            &huge,
            &deep,
            &laughs,
        ],
        &expect![[r#"
            job.config.yaml:1: mapping values are not allowed in this context
            job.config.yaml:1: unclosed quote
            job.config.yaml:2: tabs disallowed within this context (block indentation)
            job.config.yaml:2: duplicate mapping key: ram not allowed here
            job.config.yaml:3: holds several documents; keep one, without `---` between them
            job.config.yaml:1: reference to unknown value
            job.config.yaml:1: refers to itself
            job.config.yaml:2: unexpected character: `\u{0}'
            job.config.yaml:1: ram: Invalid RAM quantity. Please provide a RAM quantity greater than zero. Given: "x"
            job.config.yaml:1: expected string scalar
            job.config.yaml: is longer than 65536 bytes; put large parameters into a file of the job
            job.config.yaml:1: is nested too deeply or has too many values, counting those of references (`*name`)
            job.config.yaml:5: is nested too deeply or has too many values, counting those of references (`*name`)
        "#]],
    );
}

#[test]
fn whatever_a_file_was_cut_to_is_taken_or_refused() {
    for (end, _) in FULL.char_indices().step_by(5) {
        let (head, tail) = FULL.split_at(end);
        for text in [head, tail, &format!("{head}*{tail}"), &format!("{head}\n- &a{tail}")] {
            if let Err(error) = from_file(text) {
                assert!(error.field.starts_with("job.config.yaml"), "{error}: {text}");
            }
        }
    }
}

#[test]
fn a_few_anchors_are_fine() {
    let yaml = "params: {a: &a {x: 1}, b: *a, c: {<<: *a, y: 2}}";
    let params = from_file(yaml).unwrap().0.params.unwrap();
    assert_eq!(params, r#"{"a": {"x": 1}, "b": {"x": 1}, "c": {"y": 2, "x": 1}}"#);
}

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
            COMMAND: No command was specified: what is to run, such as main.py?
            COMMAND: begins with an empty word
            COMMAND: holds a zero byte
            COMMAND: has a word of more than 131071 bytes; put it into a file
            COMMAND: has more than 10000 words or 1048576 bytes; put them into a file
            --entrypoint: "sh -c 'x" has a quote that is not closed
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
            --volume: "/a" is not HOST:PATH or HOST:PATH:ro
            --volume: "/a:/b:ro:x" is not HOST:PATH or HOST:PATH:ro
            --volume: mode "RO" is neither rw nor ro
            --volume: "a" is not an absolute path
            --volume: "~/a" is not a path: write the whole of it, as it is on the node
            --volume: "b" is not an absolute path
            --volume: "" is not an absolute path
            --volume: "/a/../b" holds `..`
            --volume: "/b/.." holds `..`
            --volume: "/" inside a job is Atlas's own; bind elsewhere
            --volume: "/job" inside a job is Atlas's own; bind elsewhere
            --volume: "/job/data" inside a job is Atlas's own; bind elsewhere
            --volume: "/proc/1" inside a job is Atlas's own; bind elsewhere
            --volume: "/atlas/x" inside a job is Atlas's own; bind elsewhere
            --volume: "/tmp" inside a job is Atlas's own; bind elsewhere
            --volume: "/b\nc" is too long or holds control characters
            --volume: /a and /c are both bound to /b
            --volume: more than 64 volumes
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
            --env: "ATLAS_JOB_ID" is set by Atlas itself; choose another name
            --env: "FOUNDATIONS_USER" is set by Atlas itself; choose another name
            --env: "CUDA_VISIBLE_DEVICES" is set by Atlas to the GPUs that the job was given; ask for some with num_gpus
            --env: "" is not a name of a variable: letters, digits and underscores, no digit first
            --env: "1A" is not a name of a variable: letters, digits and underscores, no digit first
            --env: "A B" is not a name of a variable: letters, digits and underscores, no digit first
            --env: "A=B" is not a name of a variable: letters, digits and underscores, no digit first
            --env: "A\0" is not a name of a variable: letters, digits and underscores, no digit first
            --env: "A" has a value with a zero byte
            --env: "A" and its value are longer than 131072 bytes
            --env: the environment has more than 1000 variables or 524288 bytes
            --env: the environment has more than 1000 variables or 524288 bytes
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
    assert!(error.contains("job.config.yaml:1") && error.contains("(--env)"), "{error}");
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
            --params: "[1]" is not a JSON object
            --params: "5" is not a JSON object
            --params: "params.json" is not a JSON object
            --params: "" is not a JSON object
            --params: are not a JSON object: trailing comma at line 1 column 9
            --params: are not a JSON object: expected value at line 1 column 7
            --params: are not a JSON object: trailing characters at line 1 column 10
            --params: are nested more than 64 deep
            --params: are not a JSON object: EOF while parsing a list at line 1 column 500006
            --params: are longer than 1048576 bytes; put them into a file
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
        ],
        &expect![[r#"
            --project-name: "a/b" is not a valid project name: it may hold letters, digits and any of ._- ()+
            --project-name: "" is not a valid project name: it is empty
            --name: is empty
            --name: is longer than 128 bytes
            --name: "a\u{1b}[2J" holds a line break or control character
            --tag: is empty
            --tag: "a=b" holds an equals sign
            --tag: is longer than 64 bytes
            --tag: "x\ny" holds a line break or control character
            --tag: 65 tags are more than 64
            --note: holds control characters
            --note: is longer than 16384 bytes
            --image: "a b" is not the name of an image
            --image: "-v" is not the name of an image
            --image: is empty
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
    let changes: [fn(&mut wire::SubmitRequest); 11] = [
        |it| it.id = "4554".into(),
        |it| it.bundle = None,
        |it| it.bundle.as_mut().unwrap().id = "../../etc".into(),
        |it| it.bundle.as_mut().unwrap().files = 1_000_001,
        |it| it.dir_name = "my/project".into(),
        |it| it.dir_name = String::new(),
        |it| it.dir_name = "..".into(),
        |it| {
            it.git = Some(wire::Git { commit: "main".into(), branch: String::new(), dirty: false });
        },
        |it| {
            it.git = Some(wire::Git { commit: "c0ffee".into(), branch: "\n".into(), dirty: false });
        },
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
        --project-name: the job directory's name cannot be the project's: "my/project" is not a valid project name: it may hold letters, digits and any of ._- ()+; choose one with --project-name
        --project-name: the job directory's name cannot be the project's: "" is not a valid project name: it is empty; choose one with --project-name
        --project-name: the job directory's name cannot be the project's: ".." is not a valid project name: it begins with a dot or a dash; choose one with --project-name
        git.commit: is not the hexadecimal id of a commit
        git.branch: is empty
        COMMAND: No command was specified: what is to run, such as main.py?
        job.config.yaml:1: ram: Invalid RAM quantity. Please provide a RAM quantity greater than zero. Given: "x"
    "#]].assert_eq(&changes.iter().map(say).collect::<String>());
    let nobody = build(request(), &Identity::unverified("a\nb")).unwrap_err();
    expect![[r#"user: "a\nb" holds a line break or control character"#]]
        .assert_eq(&nobody.to_string());
}

#[test]
fn what_git_and_pull_say_is_kept() {
    let mut request = request();
    request.git = Some(wire::Git { commit: "c0ffee".into(), branch: "main".into(), dirty: true });
    request.job_config_yaml = Some("worker: {pull: always}\ntags: [a, b=c=d]".into());
    let spec = built(request).unwrap().0;
    let git = Git { commit: "c0ffee".into(), branch: "main".into(), dirty: true };
    assert_eq!((spec.git, spec.worker.pull), (Some(git), Pull::Always));
    assert_eq!(spec.tags, [("a".into(), String::new()), ("b".into(), "c=d".into())].into());
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
