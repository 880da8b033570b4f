//! Jobs of the process executor, from their assignment to their release.

use std::fs;
use std::time::Duration;

use atlas_core::Cause;
use atlas_core::agent::{ExitKind, Report};
use atlas_core::node::{Condition, ExecutorKind};

use rustix::process::Signal;

use crate::harness::{Node, eventually, wanted};
use crate::small_disk::SmallDisk;

#[tokio::test]
async fn a_job_runs_to_its_end_is_archived_and_leaves_nothing() {
    let node = Node::start_process().await;
    let assignment = node.script("echo hello; echo result > out.txt; exit 3");
    let job = assignment.job;
    node.master.assign(assignment).await;
    node.master.started(job).await;
    let exit = node.master.exited(job).await;
    assert_eq!(exit.kind, ExitKind::Code(3));
    assert!(exit.started.is_some());
    assert_eq!(node.master.archived(job).await, None);
    assert_eq!(node.said(job), "hello\n");
    assert!(node.log(job).contains("\nNo user requirements found.\n"));
    assert_eq!(exit.log_length, node.log(job).len() as u64);
    assert_eq!(fs::read_to_string(node.archive(job).join("outputs/out.txt")).unwrap(), "result\n");
    assert!(!node.archive(job).join("outputs/run.sh").exists(), "an unchanged file was kept");
    eventually("its folder is gone", || (!node.dir(job).exists()).then_some(())).await;
    node.stop().await;
}

#[tokio::test]
async fn a_job_that_is_stopped_says_so() {
    let node = Node::start_process().await;
    let assignment = node.script("trap 'echo bye; exit 0' TERM; echo up; sleep 1000 & wait");
    let job = assignment.job;
    node.master.assign(assignment).await;
    node.master.started(job).await;
    eventually("it traps signals", || {
        fs::read_to_string(node.dir(job).join("control/log"))
            .unwrap()
            .ends_with("up\n")
            .then_some(())
    })
    .await;
    node.master.stop(job, 60_000).await;
    let exit = node.master.exited(job).await;
    assert!(exit.stopped);
    assert_eq!(exit.kind, ExitKind::Code(0));
    node.master.archived(job).await;
    assert_eq!(node.said(job), "up\nbye\n");
}

#[tokio::test]
async fn an_agent_that_starts_again_adopts_its_jobs() {
    let mut node = Node::start_process().await;
    let assignment =
        node.script("echo up; while ! test -e go; do sleep 0.05; done; echo end; exit 4");
    let job = assignment.job;
    node.master.assign(assignment).await;
    node.master.started(job).await;
    node.restart().await;
    let held = node.master.joined(2).await.held;
    assert_eq!(held.len(), 1);
    fs::write(node.dir(job).join("work/go"), "").unwrap();
    assert_eq!(node.master.exited(job).await.kind, ExitKind::Code(4));
    node.master.archived(job).await;
    assert_eq!(node.said(job), "up\nend\n");
}

#[tokio::test]
async fn a_job_that_ends_while_no_agent_watches_is_told_when_one_starts() {
    let mut node = Node::start_process().await;
    let assignment = node.script("while ! test -e go; do sleep 0.05; done; echo end; exit 5");
    let job = assignment.job;
    node.master.assign(assignment).await;
    node.master.started(job).await;
    node.stop().await;
    fs::write(node.dir(job).join("work/go"), "").unwrap();
    eventually("it ends", || node.dir(job).join("control/exit").exists().then_some(())).await;
    node.restart().await;
    assert_eq!(node.master.exited(job).await.kind, ExitKind::Code(5));
    node.master.archived(job).await;
    assert_eq!(node.said(job), "end\n");
}

#[tokio::test]
async fn a_node_whose_clock_is_wrong_says_so_until_it_is_right() {
    let node = Node::start_process().await;
    // The share of this cluster was never marked by its master.
    node.master.troubled(&[Condition::Share]).await;
    node.master.clock_ahead(Duration::from_secs(90));
    let troubles = node.master.troubled(&[Condition::Share, Condition::Clock]).await;
    assert!(troubles.reason(Condition::Clock).unwrap().contains("behind the master's"));
    node.master.clock_ahead(Duration::ZERO);
    node.master.troubled(&[Condition::Share]).await;
}

#[tokio::test]
async fn a_master_of_another_cluster_touches_nothing() {
    let node = Node::start_process().await;
    let assignment = node.script("while ! test -e go; do sleep 0.05; done; exit 6");
    let job = assignment.job;
    node.master.assign(assignment).await;
    node.master.started(job).await;
    // Another cluster wants nothing of this job, and a node that obeyed it would end it.
    node.master.forget();
    node.master.restart_as("cluster-2");
    node.master.greeted(3).await; // it refused once at least
    assert!(!node.dir(job).join("control/exit").exists());
    fs::write(node.dir(job).join("work/go"), "").unwrap();
    eventually("it ends by itself", || node.dir(job).join("control/exit").exists().then_some(()))
        .await;
    let exit = fs::read_to_string(node.dir(job).join("control/exit")).unwrap();
    assert!(exit.contains("\"code\":6"), "{exit}");
}

#[tokio::test]
async fn a_script_finds_the_sdk_behind_what_is_its_own() {
    let node = Node::start_process().await;
    let mut assignment = node.script(
        "python3 -c 'import foundations; foundations.log_metric(\"loss\", 0.5)'; \
         grep -c '\"key\":\"loss\",\"value\":0.5' $ATLAS_SPOOL; \
         echo 'print(\"mine\")' > foundations.py; python3 -c 'import foundations'; \
         echo ${PYTHONPATH%%:*}",
    );
    wanted(&mut assignment).worker.env.insert("PYTHONPATH".into(), "/mine".into());
    let job = assignment.job;
    node.master.assign(assignment).await;
    assert_eq!(node.master.exited(job).await.kind, ExitKind::Code(0), "{}", node.log(job));
    assert_eq!(node.master.archived(job).await, None);
    assert_eq!(node.said(job), "1\nmine\n/mine\n");
}

#[tokio::test]
async fn a_job_finds_its_environment_parameters_and_checkpoints() {
    let node = Node::start_process().await;
    let mut assignment = node.script(
        "cat foundations_job_parameters.json; echo; echo $ATLAS_JOB_ID $ATLAS_ATTEMPT $USER $CUDA_VISIBLE_DEVICES.; \
         echo 1 > $ATLAS_CHECKPOINT_DIR/last; touch $HOME/x $TMPDIR/x $(dirname $ATLAS_SPOOL)/events; pwd",
    );
    let spec = wanted(&mut assignment);
    spec.params = Some("{\"lr\":1}".into());
    let job = assignment.job;
    node.master.assign(assignment).await;
    assert_eq!(node.master.exited(job).await.kind, ExitKind::Code(0));
    assert_eq!(node.master.archived(job).await, None);
    let work = node.dir(job).join("work");
    let expected = format!("{{\"lr\":1}}\n{job} 1 ada .\n{}\n", work.display());
    assert_eq!(node.said(job), expected);
    assert!(node.archive(job).join("checkpoints/last").exists());
    assert!(!node.archive(job).join("outputs").exists(), "parameters are no output");
}

#[tokio::test]
async fn a_command_that_does_not_exist_ends_as_in_a_shell() {
    let node = Node::start_process().await;
    let assignment = node.job(&[], &["no-such-program"]);
    let job = assignment.job;
    node.master.assign(assignment).await;
    let exit = node.master.exited(job).await;
    assert_eq!(exit.kind, ExitKind::Code(127));
    assert!(exit.detail.contains("no-such-program"), "{}", exit.detail);
}

#[tokio::test]
async fn a_bundle_that_is_not_there_is_the_nodes_trouble() {
    let node = Node::start_process().await;
    let assignment = node.script("true");
    let job = assignment.job;
    fs::remove_dir_all(node.shared().join("bundles")).unwrap();
    node.master.assign(assignment).await;
    let (cause, strike, _) = node.master.not_started(job).await;
    assert_eq!((cause, strike), (Cause::Bundle, true));
    eventually("its folder is gone", || (!node.dir(job).exists()).then_some(())).await;
}

#[tokio::test]
async fn a_node_whose_disk_is_full_starts_no_job_and_says_why_until_there_is_room() {
    let disk = SmallDisk::mount();
    let data = disk.path().join("data");
    let cluster = data.join("cluster");
    let node = Node::start_with(ExecutorKind::Process, |it| it.data = data).await;
    eventually("it has joined", || cluster.exists().then_some(())).await;
    disk.fill();
    let assignment = node.script("true");
    let job = assignment.job;
    node.master.assign(assignment).await;
    let (_, strike, message) = node.master.not_started(job).await;
    // Three of these in a row and the master gives the node no more.
    assert!(strike && message.contains("No space left on device"), "{message}");
    disk.clear();
    let assignment = node.script("true");
    let job = assignment.job;
    node.master.assign(assignment).await;
    assert_eq!(node.master.exited(job).await.kind, ExitKind::Code(0));
    node.stop().await;
}

#[tokio::test]
async fn a_killed_supervisor_loses_its_job_and_nothing_of_it_is_left() {
    let node = Node::start_process().await;
    let assignment = node.script("echo $$ > pid; sleep 1000");
    let job = assignment.job;
    node.master.assign(assignment).await;
    node.master.started(job).await;
    let pid = eventually("it says its number", || {
        fs::read_to_string(node.dir(job).join("work/pid")).ok().filter(|it| it.ends_with('\n'))
    })
    .await;
    node.kill_supervisors(Signal::KILL);
    node.master.told(job, "lost", |it| matches!(it, Report::Lost { .. }).then_some(())).await;
    let alive = || std::path::Path::new("/proc").join(pid.trim()).join("cwd").read_link().is_ok();
    eventually("its process is gone", || (!alive()).then_some(())).await;
}

#[tokio::test]
async fn a_lease_that_is_not_renewed_ends_the_job_and_a_renewed_one_does_not() {
    let node = Node::start_process().await;
    node.master.lease(9_000);
    node.master.restart_as("cluster-1");
    node.master.joined(2).await;
    let assignment = node.script("echo up; sleep 1000");
    let job = assignment.job;
    node.master.assign(assignment).await;
    node.master.started(job).await;
    let deadline = || {
        let text = fs::read_to_string(node.dir(job).join("control/deadline")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    let first = deadline().unwrap();
    eventually("it is renewed", || deadline().filter(|it| *it > first)).await;
    node.master.fall_silent();
    // Nobody asked the supervisor to; it knows the deadline.
    assert_eq!(node.master.exited(job).await.kind, ExitKind::LeaseEnded);
}

#[tokio::test]
async fn a_job_that_is_not_on_the_list_any_more_is_not_renewed_while_it_is_being_killed() {
    let node = Node::start_process().await;
    let [unwanted, wanted] = [(); 2].map(|()| node.script("echo up; sleep 1000"));
    let jobs = [unwanted.job, wanted.job];
    for assignment in [unwanted, wanted] {
        node.master.assign(assignment).await;
    }
    for job in jobs {
        node.master.started(job).await;
    }
    let deadline = |job| fs::read_to_string(node.dir(job).join("control/deadline")).ok();
    // It cannot be killed at once.
    node.signal_supervisors(Signal::STOP);
    node.master.forget_one(jobs[0]);
    node.master.restart_as("cluster-1");
    node.master.joined(2).await;
    let [last, first] = jobs.map(deadline);
    // Two renewals of the other one mean that the list was gone through.
    let next = |than: Option<String>| {
        let later = move || deadline(jobs[1]).filter(|it| Some(it) != than.as_ref());
        eventually("the other one is renewed", later)
    };
    let second = next(first).await;
    next(Some(second)).await;
    let before = deadline(jobs[0]);
    assert!(before == last || before.is_none(), "{before:?} {last:?}");
    node.signal_supervisors(Signal::CONT);
    eventually("it is gone", || (!node.dir(jobs[0]).exists()).then_some(())).await;
}

#[tokio::test]
async fn requirements_are_installed_once_and_shared() {
    let node = Node::start_process().await;
    let wheel = crate::wheel::wheel("atlas_probe", "1.0");
    let files = [
        (
            "main.py",
            "import atlas_probe, sys; print(atlas_probe.VALUE, sys.prefix != sys.base_prefix)",
        ),
        ("requirements.txt", "./atlas_probe-1.0-py3-none-any.whl\n"),
    ];
    let mut logs = Vec::new();
    for _ in 0..2 {
        let mut assignment =
            node.job_of(&files, &[("atlas_probe-1.0-py3-none-any.whl", &wheel)], &["main.py"]);
        let spec = wanted(&mut assignment);
        spec.name = Some("probe".into());
        let job = assignment.job;
        node.master.assign(assignment).await;
        assert_eq!(node.master.exited(job).await.kind, ExitKind::Code(0));
        assert_eq!(node.master.archived(job).await, None);
        logs.push(node.log(job));
    }
    for log in &logs {
        assert!(log.contains("\nINFO: Installing user requirements...\n"), "{log}");
        assert!(log.ends_with("1.0 True\n"), "{log}");
    }
    assert!(logs[0].contains("Successfully installed atlas-probe-1.0"), "{}", logs[0]);
    assert!(logs[1].contains("installed already"), "{}", logs[1]);
}

#[tokio::test]
async fn requirements_that_cannot_be_installed_end_the_job_with_what_pip_said() {
    let node = Node::start_process().await;
    let files = [("main.py", "print(1)"), ("requirements.txt", "./no-such-file.whl\n")];
    let assignment = node.job(&files, &["main.py"]);
    let job = assignment.job;
    node.master.assign(assignment).await;
    let exit = node.master.exited(job).await;
    assert_eq!(exit.kind, ExitKind::Failed(Cause::Requirements));
    assert_eq!(node.master.archived(job).await, None);
    assert!(node.log(job).contains("no-such-file.whl"), "{}", node.log(job));
    assert_eq!(node.log(job).len() as u64, exit.log_length);
    assert_eq!(fs::read_dir(node.settings.data.join("venvs")).unwrap().count(), 0);
}
