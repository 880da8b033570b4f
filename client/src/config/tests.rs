use std::fs;

use super::*;

/// A home with these files, as `name: text`.
fn home_with(files: &[(&str, &str)]) -> (tempfile::TempDir, Folders) {
    let home = tempfile::tempdir().unwrap();
    let folders = ["first", "second"].map(|it| home.path().join(it));
    for (path, text) in files {
        let path = home.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    (home, Folders::new(folders.into()))
}

fn url(files: &[(&str, &str)], asked: Option<&str>) -> Result<String, String> {
    let (_home, folders) = home_with(files);
    Config::choose(&folders, asked, &Environment::default())
        .map(|it| it.url)
        .map_err(|it| it.to_string())
}

/// A file as the installer of 2020 wrote it.
const OF_2020: &str = "cache_config:\n  end_point: /cache_end_point\n\
    container_config_root: /root/.foundations/config/local_docker_scheduler/worker_config\n\
    job_deployment_env: local_docker_scheduler_plugin\njob_results_root: /root/.foundations/job_data\n\
    scheduler_url: http://10.1.2.3:5000\nworking_dir_root: /root/.foundations/work_dir\n";

#[test]
fn without_any_file_there_is_the_scheduler_of_this_machine() {
    assert_eq!(url(&[], None), Ok(DEFAULT_URL.into()));
    assert_eq!(url(&[], Some("scheduler")), Ok(DEFAULT_URL.into()));
}

#[test]
fn the_only_configuration_is_the_default_and_of_several_the_scheduler() {
    let aws = ("first/aws.config.yaml", "scheduler_url: http://aws:1");
    let lab = ("second/lab.config.yaml", "scheduler_url: http://lab:2");
    assert_eq!(url(&[aws], None), Ok("http://aws:1".into()));
    assert_eq!(url(&[aws, lab], None), Ok(DEFAULT_URL.into()));
    assert_eq!(url(&[aws, lab], Some("lab")), Ok("http://lab:2".into()));
}

#[test]
fn the_earlier_folder_wins() {
    let files = [
        ("first/lab.config.yaml", "scheduler_url: http://new:1"),
        ("second/lab.config.yaml", "scheduler_url: http://old:1"),
    ];
    assert_eq!(url(&files, Some("lab")), Ok("http://new:1".into()));
}

#[test]
fn an_unknown_name_lists_the_known_ones() {
    let files = [("first/aws.config.yaml", "scheduler_url: http://aws:1")];
    let error = url(&files, Some("asw")).unwrap_err();
    assert_eq!(
        error,
        "there is no configuration named 'asw', did you mean 'aws'? Known are aws, scheduler (see `atlas info --env`)"
    );
}

#[test]
fn a_file_of_2020_works_and_its_port_is_explained() {
    let (_home, folders) = home_with(&[("second/scheduler.config.yaml", OF_2020)]);
    let config = Config::choose(&folders, None, &Environment::default()).unwrap();
    assert_eq!(config.url, "http://10.1.2.3:5558");
    assert!(config.notices[0].contains("5558 is meant"), "{:?}", config.notices);
}

#[test]
fn a_file_that_says_nothing_useful_is_named() {
    for (text, why) in [
        ("", "lacks scheduler_url"),
        ("redis_url: x", "lacks scheduler_url"),
        ("scheduler_url: [1]", "line 1"),
        ("scheduler_url: http://a/b", "it looks like http://host:5558"),
        ("a: b: c", "line 1"),
    ] {
        let error = url(&[("first/x.config.yaml", text)], Some("x")).unwrap_err();
        assert!(error.contains("x.config.yaml") && error.contains(why), "{text:?}: {error}");
    }
}

#[test]
fn other_files_are_no_configurations() {
    let (_home, folders) =
        home_with(&[("first/.config.yaml", ""), ("first/notes.txt", ""), ("first/a.yaml", "")]);
    assert_eq!(folders.known().unwrap(), []);
}

fn of_job() -> Environment {
    let (url, token) = ("http://127.0.0.1:40000".into(), Secret::new("atlas_job_x".into()));
    Environment { url: Some(url), token: Some(token), config: None }
}

#[test]
fn a_job_finds_its_master_and_shows_its_token_to_no_other() {
    let lab = ("first/lab.config.yaml", "scheduler_url: http://lab:1");
    let (_home, folders) = home_with(&[lab]);
    let found = |asked| Config::choose(&folders, asked, &of_job()).unwrap();
    for asked in [None, Some("scheduler")] {
        let config = found(asked);
        assert_eq!(config.url, "http://127.0.0.1:40000", "{asked:?}");
        assert_eq!(config.token.as_ref().unwrap().expose(), "atlas_job_x");
        assert!(!format!("{config:?}").contains("atlas_job_x"));
    }
    let lab = found(Some("lab"));
    assert_eq!((lab.url.as_str(), lab.token.is_none()), ("http://lab:1", true));
    let named = Environment { config: Some("lab".into()), ..of_job() };
    assert_eq!(Config::choose(&folders, None, &named).unwrap().url, "http://lab:1");
}

#[test]
fn a_file_of_that_name_says_more_than_the_environment() {
    let file = ("first/scheduler.config.yaml", "scheduler_url: http://lab:1");
    let (_home, folders) = home_with(&[file]);
    let config = Config::choose(&folders, Some("scheduler"), &of_job()).unwrap();
    assert_eq!((config.url.as_str(), config.token.is_none()), ("http://lab:1", true));
}

#[test]
fn a_variable_that_says_nothing_useful_is_named_and_a_token_never_shown() {
    let (_home, folders) = home_with(&[]);
    let error = |said: &Environment| Config::choose(&folders, None, said).unwrap_err().to_string();
    let url = error(&Environment { url: Some("ftp://a".into()), ..of_job() });
    assert!(url.starts_with("the environment variable ATLAS_URL"), "{url}");
    let token = error(&Environment { token: Some(Secret::new("a\nb".into())), ..of_job() });
    assert!(token.starts_with("the environment variable ATLAS_TOKEN"), "{token}");
    assert!(!token.contains("a\nb"), "{token}");
}
