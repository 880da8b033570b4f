//! What the users of the Atlas of 2020 were shown of images, GPUs, servers and clusters, with only its spelling corrected.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use atlas_tests::harness::{
    Atlas, Cluster, Gpus, Host, Node, Plan, Run, Settings, Site, binary, eventually, image,
};
use tempfile::TempDir;

use crate::found::wheel;

/// What "Custom workers" says; the name of the base is put in.
const DOCKERFILE: &str = "FROM atlas-ce/worker:latest

COPY ./requirements.txt /tmp/requirements.txt

RUN pip install --requirement /tmp/requirements.txt
RUN rm /tmp/requirements.txt

ENTRYPOINT [\"python\"]
";

/// That of "Job configuration", with paths and image put in.
const JOB_CONFIG: &str = "# Project config #
project_name: 'my-atlas-project'
log_level: INFO

# Worker config #
num_gpus: 0
worker:
  image: myCustomWorker:latest

  volumes:
    /my/local/path:
      bind: /my/container/path
      mode: rw

  environment:
    MY_ENV_VAR: MY_VALUE
";

/// An image for one test.
struct Image(String);

impl Image {
    fn build(kind: &str, folder: &Path) -> Self {
        let name = format!("atlas-test-{}-{kind}:latest", std::process::id());
        let mut docker = Command::new("docker");
        let output = docker.args(["build", "--network", "none", ".", "-t", &name]);
        let output = output.current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        Self(name)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // The job's container may still be there.
        let _ = Command::new("docker").args(["rmi", "--force", &self.0]).output();
    }
}

#[test]
fn an_image_made_of_the_worker_and_a_volume_are_what_a_job_config_says() {
    let cluster = Cluster::start(Settings { executor: "docker", ..Settings::default() });
    // No index can be asked here: the base brings the package along.
    let dir = cluster.project("base", &[]);
    let file = wheel(&dir, "atlas_of_2020");
    fs::write(dir.join("Dockerfile"), format!("FROM {}\nCOPY {file} /wheels/\n", image())).unwrap();
    let base = Image::build("base", &dir);
    let dir = cluster.project(
        "custom",
        &[("Dockerfile", &DOCKERFILE.replace("atlas-ce/worker:latest", &base.0))],
    );
    fs::write(dir.join("requirements.txt"), "--no-index\n--find-links /wheels\natlas_of_2020\n")
        .unwrap();
    let custom = Image::build("custom", &dir);

    let local = tempfile::tempdir().unwrap();
    fs::write(local.path().join("given"), "given").unwrap();
    let config = JOB_CONFIG
        .replace("myCustomWorker:latest", &custom.0)
        .replace("/my/local/path", local.path().to_str().unwrap());
    let script = "import os, atlas_of_2020\n\
        print('value', atlas_of_2020.VALUE, os.environ['MY_ENV_VAR'])\n\
        given = open('/my/container/path/given').read()\n\
        open('/my/container/path/written', 'w').write(given + ' and written')\n";
    // The image has what the project needs, and its entrypoint installs nothing.
    let dir = cluster.project(
        "job",
        &[
            ("main.py", script),
            ("job.config.yaml", &config),
            ("requirements.txt", "no-such-package\n"),
        ],
    );
    let run = cluster.atlas(&["submit", "scheduler", dir.to_str().unwrap(), "main.py"]).exits(0);
    assert!(run.stdout.ends_with("\nvalue 42 MY_VALUE\n"), "{run:#?}");
    assert_eq!(fs::read_to_string(local.path().join("written")).unwrap(), "given and written");
    let jobs = cluster.json(&["jobs"]);
    assert_eq!(jobs[0]["project"], "my-atlas-project", "{jobs:#}");
    let id = jobs[0]["id"].as_str().unwrap();
    let shown =
        eventually("all is kept", || Some(cluster.job(id)).filter(|it| it["phase"] == "done"));
    assert_eq!(shown["image"], custom.0.as_str(), "{shown:#}");
}

/// A machine of its own, whose ports are free, with the programs by their names of 2020.
struct Machine {
    host: Host,
    user: Atlas,
    folder: TempDir,
}

impl Machine {
    fn boot() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::boot("laptop", folder.path().join("laptop"));
        let user = host.user();
        Self { host, user, folder }
    }

    /// `atlas-server`, with jobs as processes.
    fn server(&self, words: &[&str], env: &[(&str, String)]) -> Command {
        let mut command = self.host.command(named(self.folder.path(), "atlas-server"));
        command
            .args(words)
            .env("ATLAS_HOME", self.host.path("home"))
            .env("DOCKER_HOST", "unix:///there/is/no/engine")
            .envs(env.iter().cloned());
        command
    }

    fn node(&self) -> serde_json::Value {
        eventually("the node is ready", || {
            let nodes = self.user.json(&["node", "list"]);
            nodes.as_array()?.iter().find(|it| it["state"] == "ready").cloned()
        })
    }
}

/// A link to `atlas` by another name.
fn named(folder: &Path, name: &str) -> PathBuf {
    let link = folder.join(name);
    if !link.exists() {
        symlink(binary("atlas"), &link).unwrap();
    }
    link
}

#[test]
fn with_gpus_there_is_a_worker_for_each_and_the_head_of_the_queue_holds_up_the_rest() {
    let (machine, driver) = (Machine::boot(), Gpus::build());
    let _up = machine.host.spawn(machine.server(&["start", "-g"], &driver.env(4)), "up.log");
    let node = machine.node();
    let gpus = node["gpus"].as_array().unwrap().len();
    assert_eq!((&node["slots"], gpus), (&4.into(), 4), "{node:#}");

    let script = "import os, sys, time\n\
        print('sees', os.environ['CUDA_VISIBLE_DEVICES'].count('GPU-'), flush=True)\n\
        while not os.path.exists(sys.argv[1]):\n    time.sleep(0.05)\n";
    let dir = machine.user.project("queue", &[("main.py", script)]);
    let end = |number: usize| machine.host.path(&format!("end-{number}"));
    let jobs: Vec<String> = [2, 2, 3, 3, 1]
        .iter()
        .enumerate()
        .map(|(number, gpus)| {
            let (gpus, end) = (format!("--num-gpus={gpus}"), end(number + 1));
            machine.user.submit(&dir, &[&gpus, "main.py", end.to_str().unwrap()])
        })
        .collect();
    let is = |expected: [&str; 5]| {
        eventually(&format!("the jobs are {expected:?}"), || {
            let all = machine.user.json(&["jobs"]);
            let status = |id: &String| {
                Some(all.as_array()?.iter().find(|it| it["id"] == **id)?["status"].clone())
            };
            jobs.iter().zip(expected).all(|(id, it)| status(id) == Some(it.into())).then_some(())
        });
    };
    is(["running", "running", "queued", "queued", "queued"]);
    let why = machine.user.atlas(&["queue"]).exits(0).stdout;
    assert!(why.contains("3 GPUs to be free"), "{why}");
    assert_eq!(why.matches(&format!("waits behind {}", jobs[2])).count(), 2, "{why}");
    fs::write(end(1), "").unwrap();
    // Two are free, and the last wants one.
    is(["completed", "running", "queued", "queued", "queued"]);
    fs::write(end(2), "").unwrap();
    is(["completed", "completed", "running", "queued", "queued"]);
    fs::write(end(3), "").unwrap();
    is(["completed", "completed", "completed", "running", "running"]);
    fs::write(end(4), "").unwrap();
    fs::write(end(5), "").unwrap();
    is(["completed"; 5]);
    for (id, gpus) in jobs.iter().zip([2, 2, 3, 3, 1]) {
        let log = machine.user.atlas(&["get", "logs", "scheduler", id]).exits(0).stdout;
        assert!(log.ends_with(&format!("\nsees {gpus}\n")), "{log}");
    }
    let stopped = machine.server(&["stop"], &[]).output().unwrap();
    Run::of(&["stop"], &stopped).exits(0);
}

#[test]
fn the_variables_of_a_server_of_2020_are_obeyed_or_named() {
    let machine = Machine::boot();
    let workers = |number: &str| vec![("NUM_WORKERS", number.to_owned())];
    let up = machine.host.spawn(machine.server(&["start", "-d", "5999"], &workers("4")), "up.log");
    assert_eq!(machine.node()["slots"], 4);
    machine.host.run(&["sh", "-c", "ss -tnlH | grep 127.0.0.1:5999"]);
    up.end();

    let machine = Machine::boot();
    let mut env = workers("0");
    env.push(("HOST_ADDRESS", "http://10.0.0.1:5000/".into()));
    env.push(("REDIS_ADDRESS", "10.0.0.1".into()));
    let _up = machine.host.spawn(machine.server(&["start"], &env), "up.log");
    let project = machine.user.project("waits", &[("main.py", "")]);
    let id = eventually("it serves", || {
        let words = ["submit", "--quiet", "--detach", "--wait-for-capacity", "scheduler"];
        let run =
            machine.user.atlas(&[&words[..], &[project.to_str().unwrap(), "main.py"]].concat());
        (run.code == 0).then(|| run.stdout.trim().to_owned())
    });
    assert_eq!(machine.user.job(&id)["status"], "queued");
    assert_eq!(machine.user.json(&["node", "list"]), serde_json::json!([]));
    let said = fs::read_to_string(machine.host.path("up.log")).unwrap();
    for name in ["HOST_ADDRESS", "REDIS_ADDRESS"] {
        let words = format!("{name} is set, but this starts Atlas for one machine alone");
        assert!(said.contains(&words), "{said}");
    }
    let wrong = machine.server(&["start"], &workers("many")).output().unwrap();
    Run::of(&["start"], &wrong).exits(2).says("NUM_WORKERS is \"many\"");
    let stopped = machine.server(&["stop"], &[]).output().unwrap();
    Run::of(&["stop"], &stopped).exits(0);
}

/// The master's own configuration as the guide says that users get it, with the one address that they put in.
const REMOTE: &str = "cache_config:
  end_point: /cache_end_point
container_config_root: /home/pippin/.foundations/config/local_docker_scheduler/worker_config
job_deployment_env: local_docker_scheduler_plugin
job_results_root: /home/pippin/.foundations/job_data
scheduler_url: http://<master_external_ip>:5558
job_store_dir_root: /home/pippin/.foundations/local_docker_scheduler/work_dir
working_dir_root: /atlas_work_dir
";

/// The last page of the guide, as one types it.
const TEST_JOB_SUBMISSION: &str = "set -e
mkdir -p ~/.foundations/config/submission
mv remote.config.yaml ~/.foundations/config/submission/remote.config.yaml
foundations info --env
foundations init my_project
cd my_project
foundations submit remote . main.py
";

#[test]
fn the_guide_to_a_cluster_ends_with_a_job_of_a_machine_that_has_one_file() {
    let site = Site::start(Plan { nodes: vec![Node::default()], ..Plan::default() });
    let home = site.user_host.path("pippin");
    fs::create_dir_all(&home).unwrap();
    named(&home, "foundations");
    let master = site.master_url().trim_start_matches("http://").trim_end_matches(":5558");
    let text = REMOTE.replace("<master_external_ip>", master);
    fs::write(home.join("remote.config.yaml"), text).unwrap();
    let script = format!("cd {}\n{TEST_JOB_SUBMISSION}", home.display());
    let mut shell = site.user_host.command("sh");
    let path = format!("{}:{}", home.display(), std::env::var("PATH").unwrap());
    shell.args(["-c", &script]).env("HOME", &home).env("PATH", path).env("USER", "pippin");
    for name in ["ATLAS_HOME", "ATLAS_CONFIG", "ATLAS_URL", "FOUNDATIONS_HOME"] {
        shell.env_remove(name);
    }
    let run = Run::of(&["sh"], &shell.output().unwrap()).exits(0);
    assert!(run.stdout.contains("remote"), "{run:#?}");
    let mut from = 0;
    for line in [
        "Job submission started. Ctrl-C to cancel.",
        "Preparing to bundle contents of ",
        "Bundling job contents.",
        "Job submitted with ID '",
        "Job queued. Ctrl-C to stop streaming - job will not be interrupted or cancelled.",
        "Job running, streaming logs.",
        "' has completed.",
    ] {
        let found = run.stderr[from..].find(line);
        from += found.unwrap_or_else(|| panic!("{line:?} is not said in its turn: {run:#?}"));
    }
    assert!(run.stdout.contains("No user requirements found.\n"), "{run:#?}");
    let jobs = site.json(&["jobs"]);
    let job = &jobs[0];
    assert_eq!(
        (&job["user"], &job["project"]),
        (&"pippin".into(), &"my_project".into()),
        "{jobs:#}"
    );
    assert_eq!((&job["status"], &job["node"]), (&"completed".into(), &"node-a".into()), "{jobs:#}");
}
