//! A secret reaches the job's environment, and is to be found nowhere else.

use std::fs;
use std::path::Path;
use std::process::Command;

use atlas_tests::harness::{Cluster, Run, Server, Settings, cli, eventually};

/// As rare as a real one.
const VALUE: &str = "hunter2-b7f1c09d5e";

/// Says a digest of it, which is no secret, and waits for its end.
const HOLDS: &str = "import hashlib, os, pathlib, time\n\
    value = os.environ['MY_SECRET']\n\
    print('digest', hashlib.sha256(value.encode()).hexdigest()[:12], os.environ['ATLAS_ATTEMPT'], flush=True)\n\
    go = pathlib.Path(os.environ['ATLAS_CHECKPOINT_DIR']) / 'go'\n\
    while not go.exists(): time.sleep(0.05)\n";
const SAID: &str = "digest 4aef1915b1b2 ";

fn submit(cluster: &Cluster, options: &[&str], dir: &Path) -> Run {
    let mut args = vec!["submit", "--quiet", "--detach"];
    args.extend(options);
    args.extend(["scheduler", dir.to_str().unwrap(), "main.py"]);
    let output = cluster.command(&args).env("MY_SECRET", VALUE).output().unwrap();
    Run::of(&args, &output)
}

fn go(cluster: &Cluster, id: &str) {
    let jobs = cluster.path("shared/jobs").join(&id[..2]).join(id);
    fs::write(jobs.join("checkpoints/go"), "").unwrap();
}

fn log(cluster: &Cluster, id: &str) -> String {
    cluster.atlas(&["get", "logs", "scheduler", id]).stdout
}

/// The files below a folder that hold the value, as text.
fn files_with_it(folder: &Path) -> Vec<String> {
    let found = Command::new("grep").args(["-rlaF", VALUE]).arg(folder).output().unwrap();
    String::from_utf8(found.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Whatever is shown of processes that are not the job's.
fn processes_with_it(cluster: &Cluster) -> Vec<String> {
    let of = |pid: u32| {
        ["environ", "cmdline"].into_iter().filter_map(move |file| {
            let path = format!("/proc/{pid}/{file}");
            let text = fs::read(&path).ok()?;
            String::from_utf8_lossy(&text).contains(VALUE).then_some(path)
        })
    };
    cluster.pids().into_iter().chain(cluster.supervisors()).flat_map(of).collect()
}

/// Everything that is shown to people of a job.
fn shown(cluster: &Cluster, id: &str) -> String {
    let listings = [
        cluster.atlas(&["show", id]),
        cluster.atlas(&["show", id, "--output", "json"]),
        cluster.atlas(&["jobs", "--output", "json"]),
        cluster.atlas(&["queue", "--output", "json"]),
    ];
    let mut text: String =
        listings.iter().map(|it| format!("{}{}", it.stdout, it.stderr)).collect();
    for path in [&*format!("api/v1/jobs/{id}"), "api/v1/jobs", "metrics"] {
        let url = format!("http://{}/{path}", cluster.http());
        let read = Command::new("curl").args(["-sS", &url]).output().unwrap();
        text += &String::from_utf8(read.stdout).unwrap();
    }
    text + &log(cluster, id)
}

#[track_caller]
fn is_nowhere(cluster: &Cluster, id: &str) {
    assert_eq!(files_with_it(&cluster.path("")), [""; 0]);
    assert_eq!(processes_with_it(cluster), [""; 0]);
    let text = shown(cluster, id);
    assert!(text.contains(id) && !text.contains(VALUE), "{text}");
}

/// Submits with the secret that the file names, and looks everywhere while the job runs, after it was lost, and at its end.
fn reaches_the_job_alone(executor: &'static str) {
    let mut cluster = Cluster::start(Settings { executor, log: "trace", ..Settings::default() });
    let config = "worker: {secrets: [MY_SECRET]}\n";
    let dir = cluster.project("holds", &[("main.py", HOLDS), ("job.config.yaml", config)]);
    let id = submit(&cluster, &[], &dir).exits(0).stdout.trim().to_owned();
    let says = |cluster: &Cluster, attempt: &str| {
        eventually("the job has its secret", || {
            let line = format!("{SAID}{attempt}\n");
            log(cluster, &id).contains(&line).then_some(())
        });
    };
    says(&cluster, "1");
    is_nowhere(&cluster, &id);
    assert_eq!(cluster.job(&id)["secrets"], serde_json::json!(["MY_SECRET"]));
    if executor == "docker" {
        let container = format!("atlas-{id}.1");
        let seen = Command::new("docker").args(["inspect", &container]).output().unwrap();
        let text = String::from_utf8(seen.stdout).unwrap();
        assert!(text.contains(&container) && !text.contains(VALUE), "{text}");
    }
    // Another master, another attempt: it is still there.
    cluster.kill_master();
    cluster.start_master();
    cluster.kill_supervisor(&id, 1);
    says(&cluster, "2");
    is_nowhere(&cluster, &id);
    go(&cluster, &id);
    cluster.atlas(&["wait", &id]).exits(0);
    is_nowhere(&cluster, &id);
    assert_eq!(cluster.job(&id)["secrets"], serde_json::json!(["MY_SECRET"]));
}

#[test]
fn a_secret_of_a_process_is_in_its_environment_and_nowhere_else() {
    reaches_the_job_alone("process");
}

#[test]
fn a_secret_of_a_container_is_in_its_environment_and_nowhere_else() {
    reaches_the_job_alone("docker");
}

#[test]
fn a_plain_variable_that_is_named_like_a_secret_is_kept_but_neither_shown_nor_logged() {
    let cluster = Cluster::start(Settings { log: "trace", ..Settings::default() });
    let dir = cluster.project("plain", &[("main.py", HOLDS)]);
    let others = ["A_KEY", "A_TOKEN", "my_password"].map(|name| format!("{name}={VALUE}"));
    let mut options = vec!["--env", "MY_SECRET"];
    others.iter().for_each(|it| options.extend(["--env", it]));
    let id = submit(&cluster, &options, &dir).exits(0).stdout.trim().to_owned();
    eventually("it runs", || log(&cluster, &id).contains(SAID).then_some(()));
    let text = shown(&cluster, &id);
    assert!(text.contains("\"A_KEY\":\"***\"") || text.contains("\"A_KEY\": \"***\""), "{text}");
    assert!(!text.contains(VALUE), "{text}");
    let kept = files_with_it(&cluster.path(""));
    assert!(kept.iter().any(|it| it.contains("/master/")), "it is no secret: {kept:?}");
    assert!(!kept.iter().any(|it| it.ends_with(".log") || it.contains("/shared/")), "{kept:?}");
    go(&cluster, &id);
    cluster.atlas(&["wait", &id]).exits(0);
}

#[test]
fn what_is_missing_or_said_twice_is_an_error_and_no_job() {
    let cluster = Cluster::start(Settings::default());
    let config = "worker:\n  environment: {PLAIN: 1}\n  secrets: [MY_SECRET]\n";
    let dir = cluster.project("names", &[("main.py", ""), ("job.config.yaml", config)]);
    let from_file = cluster.path("value");
    fs::write(&from_file, "from the file\n").unwrap();
    for (options, code, why) in [
        (&["--secret", "NOT_SET_HERE"][..], 2, "--secret NOT_SET_HERE: there is no such variable"),
        (
            &["--secret", "PLAIN=@/dev/null"],
            126,
            "environment too (job.config.yaml:2: worker.environment.PLAIN)",
        ),
        (&["--secret", "ATLAS_TOKEN=@/dev/null"], 126, "is set by Atlas itself"),
        (&["--secret", "X=hunter2"], 2, "no secret on this machine"),
    ] {
        submit(&cluster, options, &dir).exits(code).says(why);
    }
    let args = ["submit", "--detach", "scheduler", dir.to_str().unwrap(), "main.py"];
    cluster.atlas(&args).exits(2).says("worker.secrets in job.config.yaml: MY_SECRET: there is no");
    assert_eq!(cluster.json(&["jobs"]), serde_json::json!([]));
    let given = format!("MY_SECRET=@{}", from_file.display());
    let both = submit(&cluster, &["--secret", &given], &dir).exits(0);
    let job = cluster.job(both.stdout.trim());
    assert_eq!(job["secrets"], serde_json::json!(["MY_SECRET"]));
}

#[test]
fn what_a_master_with_another_key_cannot_open_fails_alone_and_the_queue_goes_on() {
    let server = Server::start(&[]);
    let url = format!("redis+unix://{}", server.socket().display());
    let mut cluster =
        Cluster::start(Settings { env: vec![("ATLAS_REDIS", url)], ..Settings::default() });
    let dir = cluster.project("waits", &[("main.py", HOLDS)]);
    let first = submit(&cluster, &["--secret", "MY_SECRET"], &dir).exits(0).stdout;
    let first = first.trim();
    let second = submit(&cluster, &["--secret", "MY_SECRET"], &dir).exits(0).stdout;
    let plain = cluster.project("plain", &[]);
    let third = cluster.submit(&plain, &["true"]);
    eventually("it runs", || log(&cluster, first).contains(SAID).then_some(()));
    let is_sealed = |id: &str| {
        cli(&server.socket(), &["HGET", &format!("atlas:job:{id}"), "state"]).contains("\"sealed\"")
    };
    assert!(is_sealed(first) && is_sealed(second.trim()));
    assert_eq!(files_with_it(server.socket().parent().unwrap()), [""; 0]);

    cluster.kill_master();
    fs::remove_file(cluster.path("master/secret-key")).unwrap();
    cluster.start_master();
    go(&cluster, first);
    cluster.atlas(&["wait", first]).exits(0);
    cluster.atlas(&["wait", second.trim()]).exits(125);
    let job = cluster.job(second.trim());
    let detail = job["detail"].as_str().unwrap();
    assert!(detail.starts_with("the master could not open the job's secret MY_SECRET"), "{detail}");
    assert_eq!(job["cause"], "internal");
    assert!(!is_sealed(first) && !is_sealed(second.trim()), "it goes with the end");
    cluster.atlas(&["wait", &third]).exits(0);
    assert_eq!(cluster.json(&["node", "list"])[0]["state"], "ready");
}
