//! What of a file or a command line cannot be read, and where that is said.

use super::*;

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
            job.config.yaml:1: unknown key `resources`; known are project_name, name, tags, note, log_level, entrypoint, params, num_gpus, cpus, ram, shm, time_limit, wait_for_capacity, fresh_requirements, output, worker
            job.config.yaml:1: unknown key `a\u{1b}[31mb`; known are project_name, name, tags, note, log_level, entrypoint, params, num_gpus, cpus, ram, shm, time_limit, wait_for_capacity, fresh_requirements, output, worker
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
            num_gpus: Invalid GPU quantity. Please provide a non-negative integer GPU quantity. Given: "-1"
            num_gpus: Invalid GPU quantity. Please provide a non-negative integer GPU quantity. Given: "1.5"
            num_gpus: Invalid GPU quantity. Please provide a non-negative integer GPU quantity. Given: " 1"
            num_gpus: Invalid GPU quantity. Please provide a non-negative integer GPU quantity. Given: "999999999999999999999999999999999999999999999999999999999999"…
            num_gpus: Invalid GPU quantity. Please provide a non-negative integer GPU quantity. Given: "\u{1b}[31mred"
            ram_gb: Invalid RAM quantity. Please provide a RAM quantity greater than zero. Given: "0"
            ram_gb: Invalid RAM quantity. Please provide a RAM quantity greater than zero. Given: "nan"
            ram_gb: Invalid RAM quantity. Please provide a RAM quantity greater than zero. Given: "infinity"
            shm_gb: Invalid shared memory quantity. Please provide a quantity of shared memory in GB greater than zero. Given: "x"
            cpus: Invalid CPU quantity. Please provide a CPU quantity greater than zero. Given: ""
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
