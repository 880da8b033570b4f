//! Images of a private registry: a real one, with a password, on a port of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use atlas_core::agent::{Assignment, Report};
use atlas_core::node::ExecutorKind;
use atlas_core::spec::Pull;
use atlas_core::{Cause, JobId};
use atlas_runtime::tasks::Tasks;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::harness::{Node, eventually, supervisor, wanted};

const PASSWORD: &str = "hunter2-b7f1";
/// What `htpasswd -B` makes of it.
const HTPASSWD: &str = "ada:$2y$05$YjwralHPdltg0reL1neGXOejTCoF5cQH8TE.CZwfy4OEC8pCf.tvq\n";

/// Ends with the test, and so does what the engine has of its images.
struct Registry {
    folder: tempfile::TempDir,
    server: Child,
    /// What engines are told to ask: a door before the registry.
    host: String,
    open: watch::Sender<bool>,
}

impl Registry {
    async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("atlas-registry-").tempdir().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let config = format!(
            "version: 0.1\nlog: {{accesslog: {{disabled: false}}}}\n\
             storage: {{filesystem: {{rootdirectory: {0}/data}}}}\nhttp: {{addr: '{address}'}}\n\
             auth: {{htpasswd: {{realm: test, path: {0}/htpasswd}}}}\n",
            folder.path().display()
        );
        fs::write(folder.path().join("config.yml"), config).unwrap();
        fs::write(folder.path().join("htpasswd"), HTPASSWD).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let server = Command::new("docker-registry")
            .arg("serve")
            .arg(folder.path().join("config.yml"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("no docker-registry ({error}): scripts/test.sh installs it")
            });
        eventually("the registry answers", || std::net::TcpStream::connect(&address).ok()).await;
        let (open, is_open) = watch::channel(true);
        let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = door.local_addr().unwrap().to_string();
        let tasks = Tasks::new();
        tasks.spawn("door", serve(door, address, is_open, tasks.clone()));
        Self { folder, server, host, open }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// As `docker login` writes it.
    fn login(&self, folder: &str, password: &str) -> PathBuf {
        let auth = STANDARD.encode(format!("ada:{password}"));
        let file = self.path(folder).join("config.json");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let text = serde_json::json!({"auths": {&self.host: {"auth": auth}}}).to_string();
        fs::write(&file, text).unwrap();
        file
    }

    /// Puts an image with one program there and nowhere else; its name and its digest.
    async fn push(&self, name: &str) -> (String, String) {
        let image = format!("{}/{name}:1", self.host);
        let root = self.path(name);
        fs::create_dir_all(&root).unwrap();
        fs::copy(supervisor(), root.join("program")).unwrap();
        fs::write(root.join("name"), &image).unwrap();
        let script = "tar -C \"$0\" -c program name | docker import - \"$1\"";
        run(Command::new("sh").args(["-c", script]).arg(&root).arg(&image)).await;
        let login = self.login("push", PASSWORD);
        let said = run(Command::new("docker")
            .arg("--config")
            .arg(login.parent().unwrap())
            .args(["push", &image]))
        .await;
        let digest = said.split("digest: ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
        run(Command::new("docker").args(["rmi", "-f", &image])).await;
        (image, digest)
    }

    /// Requests for the manifest of an image that were answered with it.
    fn manifests(&self, name: &str) -> usize {
        let log = fs::read_to_string(self.path("log")).unwrap();
        let get = format!("\"GET /v2/{name}/manifests/");
        log.lines().filter(|it| it.contains(&get) && it.contains("\" 200 ")).count()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let images =
            Command::new("docker").args(["images", "-q", &format!("{}/*", self.host)]).output();
        for id in String::from_utf8_lossy(&images.unwrap().stdout).lines() {
            let _ = Command::new("docker").args(["rmi", "-f", id]).output();
        }
    }
}

/// Lets nobody through while the door is closed.
async fn serve(door: TcpListener, registry: String, open: watch::Receiver<bool>, tasks: Tasks) {
    loop {
        let (mut client, _) = door.accept().await.unwrap();
        let (registry, mut open) = (registry.clone(), open.clone());
        tasks.spawn("through", async move {
            if open.wait_for(|it| *it).await.is_ok()
                && let Ok(mut server) = TcpStream::connect(registry).await
            {
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}

/// What it said; the door is served meanwhile.
async fn run(command: &mut Command) -> String {
    let text = format!("{command:?}");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{text}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn job(node: &Node, image: &str, pull: Pull) -> Assignment {
    let mut assignment = node.job(&[], &["/program", "--version"]);
    let worker = &mut wanted(&mut assignment).worker;
    (worker.image, worker.pull) = (Some(image.to_owned()), pull);
    assignment
}

/// The digest of what it ran in.
async fn runs(node: &Node, assignment: Assignment) -> String {
    let job = assignment.job;
    node.master.assign(assignment).await;
    let digest = started(node, job).await;
    node.master.archived(job).await;
    digest
}

async fn started(node: &Node, job: JobId) -> String {
    let image = |it: &Report| match it {
        Report::Started { image, .. } => Some(image.clone().unwrap()),
        Report::NotStarted { message, .. } => panic!("{message}"),
        _ => None,
    };
    node.master.told(job, "started", image).await
}

async fn refused(node: &Node, assignment: Assignment) -> String {
    let job = assignment.job;
    node.master.assign(assignment).await;
    let (cause, strike, message) = node.master.not_started(job).await;
    assert_eq!((cause, strike), (Cause::Image, false), "{message}");
    message
}

async fn node(registry: &Path, workers: u32) -> Node {
    let config = registry.to_owned();
    Node::start_with(ExecutorKind::Docker, |settings| {
        settings.registry_config = Some(config);
        settings.inventory.workers = Some(workers);
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_want_an_image_at_once_share_one_pull_and_each_is_told_of_it() {
    let registry = Registry::start().await;
    let (image, digest) = registry.push("shared").await;
    let node = node(&registry.login("node", PASSWORD), 3).await;
    registry.open.send_replace(false);
    let jobs: Vec<Assignment> = (0..3).map(|_| job(&node, &image, Pull::Missing)).collect();
    let ids: Vec<JobId> = jobs.iter().map(|it| it.job).collect();
    for job in jobs {
        node.master.assign(job).await;
    }
    let says = |id: &JobId, text: &str| {
        let log = fs::read_to_string(node.dir(*id).join("control/log")).unwrap_or_default();
        log.contains(text)
    };
    let pulling = format!("Pulling image {image} ...\n");
    eventually("each waits for the image", || {
        ids.iter().all(|it| says(it, &pulling)).then_some(())
    })
    .await;
    // One of them is not wanted any more; the others go on waiting.
    node.master.stop(ids[0], 0).await;
    registry.open.send_replace(true);
    let expected = format!("{}/shared@{digest}", registry.host);
    for id in &ids[1..] {
        assert_eq!(started(&node, *id).await, expected);
        node.master.archived(*id).await;
        let log = node.log(*id);
        assert!(log.contains(&format!("Image {image} is here: {expected}\n")), "{log}");
        assert!(log.contains("atlas-supervisor"), "{log}");
    }
    assert_eq!(registry.manifests("shared"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_wrong_says_what_to_do_and_one_that_was_put_right_counts_at_once() {
    let registry = Registry::start().await;
    let (image, digest) = registry.push("private").await;
    let config = registry.login("node", "wrong-b7f1");
    let node = node(&config, 1).await;
    for wrong in ["a wrong password", "none"] {
        let message = refused(&node, job(&node, &image, Pull::Missing)).await;
        let advice = format!("run `docker login {}` there", registry.host);
        assert!(message.contains(&advice) && message.contains("--registry-config"), "{message}");
        assert!(!message.contains("wrong-b7f1"), "{wrong}: {message}");
        fs::write(&config, "{}").unwrap();
    }
    let message = refused(&node, job(&node, &image, Pull::Never)).await;
    assert!(message.contains("worker.pull is never"), "{message}");
    registry.login("node", PASSWORD);
    let expected = format!("{}/private@{digest}", registry.host);
    assert_eq!(runs(&node, job(&node, &image, Pull::Missing)).await, expected);
    let pulled = registry.manifests("private");
    assert_eq!(runs(&node, job(&node, &image, Pull::Missing)).await, expected);
    assert_eq!(runs(&node, job(&node, &image, Pull::Never)).await, expected);
    assert_eq!(registry.manifests("private"), pulled, "it was here");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_always_pulled_is_what_the_registry_has_now() {
    let registry = Registry::start().await;
    let (image, first) = registry.push("moves").await;
    let node = node(&registry.login("node", PASSWORD), 1).await;
    let of = |digest: &str| format!("{}/moves@{digest}", registry.host);
    assert_eq!(runs(&node, job(&node, &image, Pull::Always)).await, of(&first));
    fs::write(registry.path("moves").join("again"), "").unwrap();
    let (_, second) = registry.push("moves").await;
    assert_ne!(first, second);
    assert_eq!(runs(&node, job(&node, &image, Pull::Always)).await, of(&second));
    let missing = refused(&node, job(&node, &image.replace("moves", "none"), Pull::Always)).await;
    assert!(missing.contains("does not exist"), "{missing}");
}
