//! Jobs in containers. Without an engine, or without the image, these fail: nothing is skipped.

use std::fs;
use std::process::Command;

use atlas_core::agent::{Assignment, ExitKind, Report};
use atlas_core::node::{AllowedVolume, ExecutorKind};
use atlas_core::spec::{JobSpec, Pull, Volume};
use atlas_core::{Cause, JobId};

use crate::harness::{Node, eventually, wanted};

async fn start() -> Node {
    Node::start_with(ExecutorKind::Docker, |_| {}).await
}

/// What the engine says of a job's container, if there is one.
fn inspect(job: JobId, format: &str) -> Option<String> {
    let output = Command::new("docker")
        .args(["inspect", "--format", format, &format!("atlas-{job}.1")])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    output.status.success().then_some(text)
}

/// Open files and locked memory: as promised, or the engine's own where it was not given the right to lift them.
fn limits() -> String {
    let image = std::env::var("ATLAS_TEST_IMAGE").unwrap_or_else(|_| "atlas/worker:lean".into());
    let run = |options: &[&str]| {
        let mut docker = Command::new("docker");
        docker.args(["run", "--rm", "--network=none"]).args(options);
        docker.args([&image, "sh", "-c", "ulimit -n; ulimit -l"]).output().unwrap()
    };
    if run(&["--ulimit", "memlock=-1:-1"]).status.success() {
        return "1048576\nunlimited\n".into();
    }
    String::from_utf8(run(&[]).stdout).unwrap()
}

async fn run(node: &Node, assignment: Assignment) -> (JobId, ExitKind) {
    let job = assignment.job;
    node.master.assign(assignment).await;
    let exit = node.master.exited(job).await;
    assert_eq!(node.master.archived(job).await, None);
    (job, exit.kind)
}

#[tokio::test]
async fn a_job_runs_in_a_container_of_its_own_and_leaves_none() {
    let node = start().await;
    let mut assignment = node.job(
        &[("main.py", "import os, getpass\nprint(os.getcwd(), getpass.getuser())\nopen('out', 'w').write('1')\n")],
        &["main.py"],
    );
    wanted(&mut assignment).params = Some("{}".into());
    let (job, kind) = run(&node, assignment).await;
    assert_eq!(kind, ExitKind::Code(0));
    assert_eq!(node.said(job), "/job ada\n");
    assert_eq!(fs::read_to_string(node.archive(job).join("outputs/out")).unwrap(), "1");
    eventually("its container is gone", || inspect(job, "{{.Id}}").is_none().then_some(())).await;
    eventually("its folder is gone", || (!node.dir(job).exists()).then_some(())).await;
}

#[tokio::test]
async fn a_job_finds_what_was_promised() {
    let node = start().await;
    let mut assignment = node.script(
        "echo $ATLAS_JOB_ID.$ATLAS_ATTEMPT; echo 1 > $ATLAS_CHECKPOINT_DIR/last; \
         touch $HOME/x $TMPDIR/x $(dirname $ATLAS_SPOOL)/events; \
         echo cuda=$CUDA_VISIBLE_DEVICES nvidia=$NVIDIA_VISIBLE_DEVICES; ulimit -n; ulimit -l; \
         cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; \
         df -k /dev/shm | awk 'NR == 2 { print $2 }'; echo $MINE",
    );
    let wanted = wanted(&mut assignment);
    wanted.demand.memory = 64 << 20;
    wanted.demand.cpu_milli = 500;
    wanted.worker.env.insert("MINE".into(), "x y".into());
    let job = assignment.job;
    let (_, kind) = run(&node, assignment).await;
    assert_eq!(kind, ExitKind::Code(0), "{}", node.log(job));
    let limits = limits();
    let expected = format!("{job}.1\ncuda= nvidia=void\n{limits}{}\n{}\nx y\n", 64 << 20, 32 << 10);
    assert_eq!(node.said(job), expected);
    assert!(node.archive(job).join("checkpoints/last").exists());
}

#[tokio::test]
async fn a_script_finds_the_sdk_in_any_image_and_cannot_change_it() {
    let node = start().await;
    let assignment = node.script(
        "python3 -c 'import foundations; foundations.log_metric(\"loss\", 0.5); print(foundations.__file__)'; \
         grep -c '\"key\":\"loss\",\"value\":0.5' $ATLAS_SPOOL; \
         touch /atlas/sdk/foundations/x 2>/dev/null || echo closed",
    );
    let (job, kind) = run(&node, assignment).await;
    assert_eq!(kind, ExitKind::Code(0), "{}", node.log(job));
    assert_eq!(node.said(job), "/atlas/sdk/foundations/__init__.py\n1\nclosed\n");
}

#[tokio::test]
async fn a_job_that_wants_too_much_memory_ends_for_that_reason() {
    let node = start().await;
    let mut assignment = node.job(&[("main.py", "x = bytearray(500_000_000)")], &["main.py"]);
    wanted(&mut assignment).demand.memory = 64 << 20;
    let (_, kind) = run(&node, assignment).await;
    assert_eq!(kind, ExitKind::Failed(Cause::OutOfMemory));
}

#[tokio::test]
async fn a_job_that_takes_its_supervisor_along_ends_for_want_of_memory_at_once() {
    let node = start().await;
    // The kernel is told whom to choose.
    let mut assignment = node.script(
        "echo 1000 > /proc/1/oom_score_adj; echo up; exec python -c 'x = bytearray(500_000_000)'",
    );
    wanted(&mut assignment).demand.memory = 64 << 20;
    let (job, kind) = run(&node, assignment).await;
    assert_eq!(kind, ExitKind::Failed(Cause::OutOfMemory));
    assert_eq!(node.said(job), "up\n");
}

#[tokio::test]
async fn what_the_engine_will_not_give_a_job_is_no_strike() {
    let node = Node::start_with(ExecutorKind::Docker, |settings| {
        settings.volumes = vec![AllowedVolume { prefix: "/usr".into(), read_only: true }];
    })
    .await;
    let volume =
        |bind: &str| Volume { host: "/usr/share".into(), bind: bind.into(), read_only: true };
    type Change = Box<dyn FnOnce(&mut JobSpec)>;
    let over_a_file = volume("/etc/passwd");
    let below_a_file = volume("/etc/passwd/below");
    let cases: [(&str, Change); 3] = [
        ("Minimum memory limit", Box::new(|it| it.demand.memory = 4 << 20)),
        ("not a directory", Box::new(|it| it.worker.volumes = vec![over_a_file])),
        ("not a directory", Box::new(|it| it.worker.volumes = vec![below_a_file])),
    ];
    for (why, change) in cases {
        let mut assignment = node.script("true");
        change(wanted(&mut assignment));
        let job = assignment.job;
        node.master.assign(assignment).await;
        let (cause, strike, message) = node.master.not_started(job).await;
        assert_eq!((cause, strike), (Cause::Rejected, false), "{message}");
        assert!(message.contains(why), "{message}");
        assert_eq!(inspect(job, "{{.Id}}"), None, "its container was left");
    }
}

#[tokio::test]
async fn a_little_of_a_processor_is_enough_to_start() {
    let node = start().await;
    let mut assignment = node.script("true");
    wanted(&mut assignment).demand.cpu_milli = 1;
    assert_eq!(run(&node, assignment).await.1, ExitKind::Code(0));
}

#[tokio::test]
async fn an_agent_that_starts_again_adopts_its_containers() {
    let mut node = start().await;
    let assignment =
        node.script("echo up; while ! test -e go; do sleep 0.05; done; echo end; exit 4");
    let job = assignment.job;
    node.master.assign(assignment).await;
    node.master.started(job).await;
    node.restart().await;
    assert_eq!(node.master.joined(2).await.held.len(), 1);
    fs::write(node.dir(job).join("work/go"), "").unwrap();
    assert_eq!(node.master.exited(job).await.kind, ExitKind::Code(4));
    node.master.archived(job).await;
    assert_eq!(node.said(job), "up\nend\n");
}

#[tokio::test]
async fn a_job_that_is_stopped_says_so() {
    let node = start().await;
    let assignment = node.script("trap 'echo bye; exit 0' TERM; echo up; sleep 1000 & wait");
    let job = assignment.job;
    node.master.assign(assignment).await;
    node.master.started(job).await;
    eventually("it traps signals", || {
        let log = fs::read_to_string(node.dir(job).join("control/log")).unwrap();
        log.ends_with("up\n").then_some(())
    })
    .await;
    node.master.stop(job, 60_000).await;
    let exit = node.master.exited(job).await;
    assert_eq!((exit.stopped, exit.kind), (true, ExitKind::Code(0)));
    node.master.archived(job).await;
    assert_eq!(node.said(job), "up\nbye\n");
}

#[tokio::test]
async fn a_container_that_is_killed_from_outside_loses_its_job() {
    let node = start().await;
    let assignment = node.script("sleep 1000");
    let job = assignment.job;
    node.master.assign(assignment).await;
    node.master.started(job).await;
    let killed = Command::new("docker").args(["kill", &format!("atlas-{job}.1")]).output().unwrap();
    assert!(killed.status.success(), "{killed:?}");
    let message = node
        .master
        .told(job, "lost", |it| match it {
            Report::Lost { message } => Some(message.clone()),
            _ => None,
        })
        .await;
    assert!(message.contains("code 137"), "{message}");
}

#[tokio::test]
async fn an_image_that_is_not_here_is_no_strike() {
    let node = start().await;
    let mut assignment = node.script("true");
    let worker = &mut wanted(&mut assignment).worker;
    worker.image = Some("atlas-test/no-such-image:1".into());
    worker.pull = Pull::Never;
    let job = assignment.job;
    node.master.assign(assignment).await;
    let found = node
        .master
        .told(job, "not started", |it| match it {
            Report::NotStarted { cause, strike, message } => {
                Some((cause.clone(), *strike, message.clone()))
            }
            _ => None,
        })
        .await;
    assert_eq!((found.0, found.1), (Cause::Image, false));
    assert!(found.2.contains("no-such-image:1"), "{}", found.2);
}

#[tokio::test]
async fn another_user_can_write_where_it_should_and_nowhere_else() {
    if !rustix::process::geteuid().is_root() {
        panic!("this test needs an agent that runs as root");
    }
    let node = Node::start_with(ExecutorKind::Docker, |settings| {
        settings.job_user = "4711:4712,4713".parse().unwrap();
    })
    .await;
    let assignment = node.script(
        "id -u; id -g; id -G; touch /job/f $HOME/f /tmp/f $ATLAS_CHECKPOINT_DIR/f $ATLAS_SPOOL && echo written; \
         touch /atlas/control/f || echo closed; cat /atlas/control/run.json || echo secret; \
         python -c 'import getpass; print(getpass.getuser())'",
    );
    let (job, kind) = run(&node, assignment).await;
    assert_eq!(kind, ExitKind::Code(0));
    let said = node.said(job);
    let lines: Vec<&str> = said.lines().filter(|it| !it.contains("ermission denied")).collect();
    assert_eq!(lines, ["4711", "4712", "4712 4713", "written", "closed", "secret", "ada"]);
}

#[tokio::test]
async fn requirements_are_installed_in_the_image_and_cannot_be_changed_by_jobs() {
    let node = start().await;
    let wheel = crate::wheel::wheel("atlas_probe", "2.0");
    let files = [
        (
            "main.py",
            "import atlas_probe, os\nprint(atlas_probe.VALUE)\ntry:\n    open(atlas_probe.__file__, 'a')\nexcept OSError as e:\n    print(type(e).__name__)\n",
        ),
        ("requirements.txt", "./atlas_probe-2.0-py3-none-any.whl\n"),
    ];
    for expected in ["Successfully installed atlas-probe-2.0", "installed already"] {
        let binaries = [("atlas_probe-2.0-py3-none-any.whl", wheel.as_slice())];
        let assignment = node.job_of(&files, &binaries, &["main.py"]);
        let job = assignment.job;
        let (_, kind) = run(&node, assignment).await;
        let log = node.log(job);
        assert_eq!(kind, ExitKind::Code(0), "{log}");
        assert!(log.contains(expected) && log.ends_with("2.0\nOSError\n"), "{log}");
    }
}
