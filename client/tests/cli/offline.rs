//! Masters that are not there, are not Atlas, or are too new; and configurations.

use tokio::net::TcpListener;

use crate::master::{Master, State};
use crate::run::{Run, User};

/// An address that nobody listens on.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn a_master_that_is_not_there_is_named_with_what_to_do() {
    let url = nobody().await;
    let user = User::of(&url);
    user.here("main.py", "");
    for args in [
        &["jobs"][..],
        &["submit", "scheduler", ".", "main.py"],
        &["wait", "4554"],
        &["stop", "scheduler", "4554"],
        &["get", "job", "scheduler", "4554"],
    ] {
        let run = user.atlas(args).await.exits(126);
        run.says(&format!("Atlas ERROR: no Atlas master answers at {url} (Connection refused (os error 111)): start one"));
        run.says("with `atlas up`");
    }
}

#[tokio::test]
async fn a_master_of_another_version_is_refused() {
    let master = Master::start(State { version: "9.0.0".into(), ..State::default() }).await;
    let user = User::of(&master.url);
    user.atlas(&["jobs"])
        .await
        .exits(126)
        .says("is of version 9.0.0, which does not understand this atlas");
}

#[tokio::test]
async fn configurations_are_listed_and_chosen() {
    let master = Master::start(State::default()).await;
    let user = User::new();
    let old = user.path("of-2020/config/submission");
    std::fs::create_dir_all(&old).unwrap();
    std::fs::write(
        old.join("aws.config.yaml"),
        "scheduler_url: http://10.0.0.1:5000\nredis_url: x\n",
    )
    .unwrap();
    user.configure("lab", &format!("scheduler_url: {}\n", master.url));
    let json = user.atlas(&["info", "--env", "-o", "json"]).await.exits(0).json();
    let named =
        |at: usize| (json[at]["env_name"].as_str().unwrap(), json[at]["url"].as_str().unwrap());
    assert_eq!(named(0), ("aws", "http://10.0.0.1:5558"));
    assert_eq!(named(1), ("lab", master.url.as_str()));
    assert_eq!(named(2), ("scheduler", "http://127.0.0.1:5558"));
    assert!(
        json[0]["env_path"]
            .as_str()
            .unwrap()
            .ends_with("of-2020/config/submission/aws.config.yaml")
    );
    user.atlas(&["jobs", "--config", "lab"]).await.exits(0);
    let mut command = user.command(&["info"]);
    let run = Run::of(command.env("ATLAS_CONFIG", "lab").output().await.unwrap()).exits(0);
    assert!(run.out().contains(&master.url), "{}", run.out());
    let run = user.atlas(&["jobs", "--config", "lba"]).await.exits(2);
    run.says(
        "there is no configuration named 'lba', did you mean 'lab'? Known are aws, lab, scheduler",
    );
}

#[tokio::test]
async fn a_configuration_of_the_folder_one_stands_in_is_said() {
    let master = Master::start(State::default()).await;
    let user = User::new();
    user.here("config/submission/here.config.yaml", format!("scheduler_url: {}\n", master.url));
    let run = user.atlas(&["jobs", "--config", "here"]).await.exits(0);
    run.says("The configuration 'here' comes from config/submission/here.config.yaml.");
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let master = Master::start(State::default()).await;
    let user = User::of(&master.url);
    let mut child = user.command(&["jobs"]).spawn().unwrap();
    drop(child.stdout.take());
    let run = Run::of(child.wait_with_output().await.unwrap()).exits(141);
    assert_eq!(run.stderr, "");
}

#[tokio::test]
async fn runs_that_found_no_master_wait_for_one() {
    let url = nobody().await;
    let user = User::of(&url);
    let sync = async || {
        let mut atlas = user.command(&["sync"]);
        atlas.env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/python/src"));
        atlas.env("PYTHONDONTWRITEBYTECODE", "1");
        Run::of(atlas.output().await.unwrap())
    };
    sync().await.exits(0);

    let run = user.path("home/runs/45540b52-ffe2-44ab-9838-db467d3499c0");
    std::fs::create_dir_all(&run).unwrap();
    std::fs::write(run.join("run.json"), "{}").unwrap();
    let unable = sync().await.exits(126);
    unable.says(&format!("45540b52-ffe2-44ab-9838-db467d3499c0: no Atlas master answers at {url}"));
    assert!(run.join("run.json").exists());

    user.atlas(&["sync", "--python", "/nowhere"]).await.exits(126).says("could not start /nowhere");
    user.atlas(&["sync", "--python", "false"]).await.exits(2).says("false has no SDK");
}
