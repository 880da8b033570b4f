//! Help, suggestions, completion, and the names of 2020.

use std::os::unix::fs::symlink;
use std::path::Path;

use expect_test::expect;

use crate::run::{Run, User};

#[tokio::test]
async fn the_help_teaches_the_first_steps() {
    let run = User::new().atlas(&["--help"]).await.exits(0);
    expect![[r#"
        Run machine-learning jobs on machines you own

        Usage: atlas <COMMAND>

        Commands:
          init         Make a folder with a small project in it, ready to be submitted
          up           Start Atlas on this machine, in the foreground until Ctrl-C
          submit       Send a folder to the cluster, run a command in it, and follow its log to the end
          rerun        Run a job again, as a new one
          get          Fetch a job's files or show its log
          stop         Stop queued and running jobs; nothing is deleted
          delete       Delete finished jobs with all that is kept of them
          clear-queue  End all queued jobs, of all projects and users
          jobs         List jobs, the newest first
          show         Show everything about one job
          diff         Show what differs between two jobs
          tag          Set tags of a job, or take them away
          rename       Give a job another name
          project      List projects, show one, or say something of it
          usage        Show what jobs occupy on the shared storage
          export       Write the jobs of a project that have ended into a folder: what is recorded, points
                       as Parquet, and files
          import       Bring the jobs of an export into this cluster
          wait         Wait until jobs have ended, and end with the code of the first that failed
          ls           List the files that are kept of a job; of a running one, those on its node
          queue        Show what waits, in order, and why
          node         List the machines of the cluster, or remove one
          nodes        The same as `atlas node list`
          info         Show the master of a configuration, or with --env all configurations
          log          Tell the tracker something of the job that this is run in
          sync         Send the runs of this machine that found no master while they went on
          join-token   Print the token that a machine must show to become a node, and how
          completion   Print a script that completes commands and options in a shell
          version      Print the version
          help         Print this message or the help of the given subcommand(s)

        Options:
          -h, --help     Print help
          -V, --version  Print version

        First steps:
          atlas up                                   start Atlas on this machine (stays in the foreground)
          atlas init my-project && cd my-project
          atlas submit scheduler . main.py           send this folder, run main.py, follow it to its end
          atlas jobs                                 what ran; `atlas queue` shows what waits, and why
          atlas get job scheduler JOB                everything that is kept of a job

        CONFIG names a cluster: scheduler_url in ~/.atlas/config/submission/<CONFIG>.config.yaml.
        'scheduler' is this machine and needs no file (`atlas info --env` lists what there is).
        JOB is an id, or a unique beginning of 4 digits and more.
    "#]].assert_eq(&run.out());
}

#[tokio::test]
async fn every_command_has_help_with_an_example() {
    let user = User::new();
    for words in [
        "init",
        "up",
        "submit",
        "get job",
        "get logs",
        "stop",
        "delete job",
        "clear-queue",
        "jobs",
        "show",
        "tag",
        "rename",
        "project",
        "usage",
        "export",
        "import",
        "wait",
        "ls",
        "queue",
        "node",
        "info",
        "log",
        "sync",
        "completion",
    ] {
        let args: Vec<_> = words.split(' ').chain(["--help"]).collect();
        let out = user.atlas(&args).await.exits(0).out();
        assert!(
            out.contains("Example") && out.contains(&format!("  atlas {words}")),
            "{words}: {out}"
        );
    }
}

#[tokio::test]
async fn a_typo_gets_a_suggestion() {
    let user = User::new();
    user.atlas(&["sumbit"]).await.exits(2).says("'submit'");
    user.atlas(&["jobs", "--statu", "failed"]).await.exits(2).says("'--status'");
    user.atlas(&["up", "--executor", "dockr"]).await.exits(2).says("'docker'");
}

#[tokio::test]
async fn shells_are_taught_the_commands() {
    let user = User::new();
    for shell in ["bash", "zsh", "fish"] {
        let out = user.atlas(&["completion", shell]).await.exits(0).out();
        assert!(out.contains("clear-queue") && !out.is_empty(), "{shell}");
    }
}

#[tokio::test]
async fn the_names_of_2020_do_the_same() {
    let user = User::new();
    let named = |name: &str| {
        let path = user.path(name);
        symlink(env!("CARGO_BIN_EXE_atlas"), &path).unwrap();
        path
    };
    let run = async |program: &Path, args: &[&str]| {
        Run::of(user.program(program, args).output().await.unwrap())
    };
    let foundations = named("foundations");
    run(&foundations, &["init", "old"])
        .await
        .exits(0)
        .says("Foundations INFO: Success: New project 'old' created!");
    let server = named("atlas-server");
    let version = format!("atlas {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&server, &["version"]).await.exits(0).out(), version);
    assert_eq!(run(&foundations, &["--version"]).await.exits(0).out(), version);
    assert_eq!(user.atlas(&["version"]).await.exits(0).out(), version);
    run(&server, &["stop"]).await.exits(1).says("no Atlas runs with the data in");
}
