//! Whom jobs run as, by `--job-user`: the same in both executors.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use atlas_core::agent::ExitKind;
use atlas_core::node::ExecutorKind;

use crate::harness::{Node, wanted};

/// No passwd file has it.
const UID: u32 = 47_110;
const GID: u32 = 47_120;

const ASKS: &str = "id -u; id -g; id -G; echo $USER $LOGNAME $ATLAS_USER
    for d in . $HOME $TMPDIR /tmp $ATLAS_CHECKPOINT_DIR $(dirname $ATLAS_SPOOL); do
        touch $d/by-the-job && stat -c %u:%g $d/by-the-job || echo not in $d; done
    rm -f /tmp/by-the-job
    $0 -c 'import getpass, os; print(getpass.getuser(), os.path.expanduser(\"~\") == os.environ[\"HOME\"])' 2>&1
    for d in / /etc $ATLAS_CHECKPOINT_DIR/../../..; do touch $d/by-the-job 2>/dev/null && echo $d is open; done
    echo end";

async fn runs_as_it_was_told(executor: ExecutorKind, python: &str) {
    assert!(rustix::process::geteuid().is_root(), "this test needs an agent that runs as root");
    let node = Node::start_with(executor, |settings| {
        settings.job_user = format!("{UID}:{GID},{}", GID + 1).parse().unwrap();
        // A share of the jobs' user, closed to everybody else.
        let shared = settings.shared.as_deref().unwrap();
        chown(shared, Some(UID), Some(GID)).unwrap();
        fs::set_permissions(shared, Permissions::from_mode(0o700)).unwrap();
        // Jobs that are no container reach their folders by the path of the node's.
        fs::set_permissions(shared.parent().unwrap(), Permissions::from_mode(0o711)).unwrap();
    })
    .await;
    let mut assignment = node.job(&[], &["sh", "-c", ASKS, python]);
    wanted(&mut assignment).user = "ada".into();
    let job = assignment.job;
    node.master.assign(assignment).await;
    let exit = node.master.exited(job).await;
    assert_eq!(node.master.archived(job).await, None);
    assert_eq!(exit.kind, ExitKind::Code(0));
    let mut expected = format!("{UID}\n{GID}\n{GID} {}\nada ada ada\n", GID + 1);
    expected += &format!("{UID}:{GID}\n").repeat(6);
    expected += "ada True\nend\n";
    assert_eq!(node.said(job), expected);
    let kept = node.archive(job).join("checkpoints/by-the-job").metadata().unwrap();
    assert_eq!((kept.uid(), kept.gid()), (UID, GID));
    assert!(node.archive(job).join("outputs/by-the-job").exists());
}

#[tokio::test]
async fn a_process_runs_as_the_user_of_jobs_whom_no_passwd_file_knows() {
    runs_as_it_was_told(ExecutorKind::Process, "/usr/bin/python3").await;
}

#[tokio::test]
async fn a_container_runs_as_the_user_of_jobs_whom_no_passwd_file_knows() {
    runs_as_it_was_told(ExecutorKind::Docker, "python3").await;
}
