use std::fs;

use serde::Deserialize;
use tempfile::TempDir;

use super::*;

#[derive(Clone, Debug, Default, PartialEq, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    #[arg(long)]
    http: Option<String>,
    #[arg(long)]
    lease: Option<Duration>,
    #[arg(long)]
    workers: Option<u32>,
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    gpus: Option<bool>,
    #[arg(long)]
    allow_volume: Option<Vec<String>>,
    #[arg(long)]
    password: Option<Secret<Password>>,
}

/// A secret that can be compared, for the tests alone.
type Password = String;

impl PartialEq for Secret<Password> {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

fn defaults() -> Options {
    Options { http: Some("127.0.0.1:5555".into()), workers: Some(1), ..Options::default() }
}

fn flags(args: &[&str]) -> Options {
    let args = std::iter::once(&"atlas-master").chain(args);
    <Cli as clap::Parser>::try_parse_from(args).unwrap().options
}

fn layer(yaml: &str, env: &[(&str, &str)], args: &[&str]) -> Result<Effective<Options>, Error> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("master.yaml");
    fs::write(&path, yaml).unwrap();
    let lookup = |name: &str| env.iter().find(|it| it.0 == name).map(|it| it.1.into());
    Layers::new(&defaults())?.file(Some(&path))?.env(lookup)?.flags(&flags(args))?.build()
}

/// The message, the temporary folder taken out.
fn refusal(yaml: &str, env: &[(&str, &str)]) -> String {
    let message = layer(yaml, env, &[]).unwrap_err().to_string();
    match message.split_once("master.yaml") {
        Some((before, rest)) => format!("{}master.yaml{rest}", before.split('/').next().unwrap()),
        None => message,
    }
}

#[test]
fn each_layer_overrides_the_ones_below_and_only_where_it_says_something() {
    let yaml = "http: file\nlease: 5m\nworkers: 2\n";
    let env = [("ATLAS_HTTP", "variable"), ("ATLAS_LEASE", "6m")];
    let effective = layer(yaml, &env, &["--http", "flag", "--gpus"]).unwrap();
    assert_eq!(effective.options.http.as_deref(), Some("flag"));
    assert_eq!(effective.options.lease, Some(Duration::from_secs(360)));
    assert_eq!(effective.options.workers, Some(2));
    assert_eq!(effective.options.gpus, Some(true));
    assert_eq!(effective.options.allow_volume, None);
}

#[test]
fn printed_it_shows_every_value_with_its_origin_and_no_secret() {
    let yaml = "# the file\nallow_volume:\n  - /data\n  - /scratch:ro\npassword: hunter2\n";
    let effective = layer(yaml, &[("ATLAS_WORKERS", "4")], &["--lease", "90s"]).unwrap();
    assert_eq!(effective.options.password.as_ref().unwrap().expose(), "hunter2");
    let lines: Vec<_> = effective.to_string().lines().map(str::to_owned).collect();
    assert_eq!(lines[0], r#"http: "127.0.0.1:5555"  # default"#);
    assert_eq!(lines[1], r#"lease: "1m30s"  # --lease"#);
    assert_eq!(lines[2], "workers: 4  # $ATLAS_WORKERS");
    assert_eq!(lines[3], "gpus: null  # not set");
    assert!(lines[4].starts_with(r#"allow_volume: ["/data","/scratch:ro"]  # /"#), "{}", lines[4]);
    assert!(lines[4].ends_with("master.yaml:2"), "{}", lines[4]);
    assert!(lines[5].starts_with(r#"password: "***"  # /"#), "{}", lines[5]);
    assert!(!format!("{effective:?}").contains("hunter2"));
}

#[test]
fn what_is_printed_can_be_used_as_a_file() {
    let effective = layer("lease: 5m\n", &[], &["--allow-volume", "/a # b"]).unwrap();
    let again = layer(&effective.to_string(), &[], &[]).unwrap();
    assert_eq!(again.options, effective.options);
}

#[test]
fn an_empty_file_and_a_key_without_value_change_nothing() {
    for yaml in ["", "# only a comment\n", "---\n", "http:\n", "{}\n"] {
        assert_eq!(layer(yaml, &[], &[]).unwrap().options, defaults(), "{yaml:?}");
    }
}

#[test]
fn an_empty_variable_is_no_variable() {
    assert_eq!(layer("", &[("ATLAS_HTTP", "")], &[]).unwrap().options, defaults());
}

#[test]
fn an_unknown_key_names_its_line_and_the_nearest_known_key() {
    let error = refusal("lease: 5m\nalow-volume: [/data]\n", &[]);
    assert_eq!(error, "master.yaml:2: unknown key `alow-volume`, did you mean `allow_volume`?");
    assert_eq!(refusal("colour: red\n", &[]), "master.yaml:1: unknown key `colour`");
}

#[test]
fn a_wrong_value_names_its_field_and_its_layer() {
    let file = refusal("http: x\nlease: soon\n", &[]);
    assert!(file.starts_with("`lease` from master.yaml:2: "), "{file}");
    assert!(file.contains(r#""soon" is not a time such as 30s"#), "{file}");
    let nested = refusal("allow_volume:\n  - /a\n  - {}\nhttp: x\n", &[]);
    assert!(nested.starts_with("`allow_volume` from master.yaml:3: "), "{nested}");
    let variable = refusal("", &[("ATLAS_WORKERS", "-1")]);
    assert!(variable.starts_with("`workers` from $ATLAS_WORKERS: "), "{variable}");
}

#[test]
fn a_value_that_is_refused_later_still_names_its_layer() {
    let effective = layer("lease: 1s\n", &[], &["--workers", "0"]).unwrap();
    let error = effective.invalid("workers", "must be at least 1").to_string();
    assert_eq!(error, "`workers` from --workers: must be at least 1");
    let error = effective.invalid("lease", "shorter than 10s").to_string();
    assert!(error.ends_with("master.yaml:1: shorter than 10s"), "{error}");
}

#[test]
fn a_file_that_is_no_mapping_says_what_it_should_be() {
    for yaml in ["- http\n", "just text\n", "http: [\n", "a: 1\na: 2\n", "http: x\n---\nhttp: y\n"]
    {
        let error = refusal(yaml, &[]);
        assert!(error.starts_with("master.yaml:"), "{yaml:?}: {error}");
    }
    let error = refusal("- http\n", &[]);
    assert!(error.contains("keys and values such as `http: 127.0.0.1:5555`"), "{error}");
}

#[test]
fn a_mistake_beside_a_secret_does_not_show_the_secret() {
    for yaml in [
        "password: hunter2\nworkers: many\n",
        "password: [hunter2]\n",
        "password: hunter2\n b: [\n",
    ] {
        let error = layer(yaml, &[], &[]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn a_file_that_is_missing_or_endless_is_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("none.yaml");
    let Err(error) = Layers::new(&defaults()).unwrap().file(Some(&path)) else {
        panic!("accepted")
    };
    assert!(error.to_string().ends_with("none.yaml"), "{error}");
    let Err(error) = Layers::new(&defaults()).unwrap().file(Some(Path::new("/dev/zero"))) else {
        panic!("accepted")
    };
    assert!(matches!(error, Error::Read { .. }), "{error}");
}

#[test]
fn a_variable_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStringExt as _;
    let lookup = |name: &str| (name == "ATLAS_HTTP").then(|| OsString::from_vec(vec![0xff]));
    let Err(error) = Layers::new(&defaults()).unwrap().env(lookup) else { panic!("accepted") };
    assert_eq!(error.to_string(), "`http` from $ATLAS_HTTP: it is not UTF-8");
}
