//! `atlas init`, and that what it makes runs.

use std::fs;

use tokio::process::Command;

use crate::run::User;

#[tokio::test]
async fn a_new_project_has_what_the_documents_promise_and_runs_anywhere() {
    let user = User::new();
    let run = user.atlas(&["init", "my-project"]).await.exits(0);
    run.says("Success: New project 'my-project' created!");
    let dir = user.path("here/my-project");
    let mut names: Vec<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["README.txt", "data", "job.config.yaml", "main.py"]);
    assert!(
        fs::read_to_string(dir.join("job.config.yaml"))
            .unwrap()
            .contains("project_name: 'my-project'")
    );

    let main = async |args: &[&str], python_path: &str| {
        let mut python = Command::new("python3");
        python
            .arg("main.py")
            .args(args)
            .current_dir(&dir)
            .env("PYTHONPATH", python_path)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("ATLAS_SPOOL", user.path("here/events"))
            .env("ATLAS_CHECKPOINT_DIR", user.path("checkpoints"));
        let output = python.output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    fs::write(dir.join("foundations_job_parameters.json"), r#"{"epochs": 2}"#).unwrap();
    let first = main(&[], "").await;
    assert!(first.contains("epoch 2/2  loss ") && first.contains("wrote result.json"), "{first}");
    let second = main(&["--epochs", "3"], "").await;
    assert!(second.contains("resuming after epoch 2") && !second.contains("epoch 1/"), "{second}");
    assert!(fs::read_to_string(dir.join("result.json")).unwrap().contains("\"epoch\": 3"));
    assert!(!user.path("here/events").exists(), "there is no SDK");

    main(&["--epochs", "4"], concat!(env!("CARGO_MANIFEST_DIR"), "/python/src")).await;
    let events = fs::read_to_string(user.path("here/events")).unwrap();
    for said in [
        r#"{"e":"param","key":"epochs","value":4,"#,
        r#"{"e":"metric","key":"loss","value":0."#,
        r#"{"e":"artifact","key":"result.json","#,
    ] {
        assert!(events.contains(said), "{events} lacks {said}");
    }
}

#[tokio::test]
async fn a_project_that_is_there_is_left_alone() {
    let user = User::new();
    user.here("mine/main.py", "mine");
    let run = user.atlas(&["init", "mine"]).await.exits(2);
    run.says("project directory for 'mine' already exists");
    assert_eq!(fs::read_to_string(user.path("here/mine/main.py")).unwrap(), "mine");
    for name in ["", ".", "..", ".hidden", "a\nb"] {
        user.atlas(&["init", name]).await.exits(2);
    }
    assert_eq!(fs::read_dir(user.path("here")).unwrap().count(), 1);
}
