//! Commit, branch and changes of the job directory's repository, as `git` tells them, if it is there and quick.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use atlas_proto::wire::Git;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

/// A submission does not wait longer for each answer.
const PATIENCE: Duration = Duration::from_secs(3);
const LONGEST: u64 = 64 << 10;

/// `None` where there is no repository, no commit or no git.
pub(super) async fn describe(dir: &Path) -> Option<Git> {
    let status = [
        "status",
        "--porcelain=v2",
        "--branch",
        "--no-ahead-behind",
        "--untracked-files=normal",
        "--",
        ".",
    ];
    match tokio::time::timeout(PATIENCE, answer(git(dir, &status))).await {
        Ok(status) => parse(&status?),
        // A huge tree: where changes cannot be told, nobody should rely on the commit alone.
        Err(_) => {
            let commit = answer(git(dir, &["rev-parse", "--verify", "--quiet", "HEAD"]));
            let commit = tokio::time::timeout(PATIENCE, commit).await.ok()??;
            Some(Git { commit, dirty: true, ..Git::default() })
        }
    }
}

/// `# branch.oid …`, `# branch.head …`, and a line for each change.
fn parse(status: &str) -> Option<Git> {
    let header =
        |name| status.lines().find_map(|it| it.strip_prefix("# branch.")?.strip_prefix(name));
    let commit = header("oid ").filter(|it| *it != "(initial)")?.to_owned();
    let branch = header("head ").filter(|it| *it != "(detached)").unwrap_or_default().to_owned();
    let dirty = status.lines().any(|it| !it.starts_with('#'));
    Some(Git { commit, branch, dirty, diff: None })
}

pub(super) fn git(dir: &Path, question: &[&str]) -> Command {
    let mut git = Command::new("git");
    git.arg("-C")
        .arg(dir)
        // A repository that came from elsewhere must not run programs of its own choosing here.
        .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"])
        .args(question)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    git
}

async fn answer(git: Command) -> Option<String> {
    // What is longer is a list of changes, of which one was enough.
    let answer = ask(git, LONGEST).await?;
    Some(String::from_utf8_lossy(&answer).trim().to_owned())
}

/// No more than this many bytes of what it says.
pub(super) async fn ask(mut git: Command, most: u64) -> Option<Vec<u8>> {
    let mut git = git.spawn().ok()?;
    let mut answer = Vec::new();
    git.stdout.take()?.take(most).read_to_end(&mut answer).await.ok()?;
    let whole = (answer.len() as u64) < most;
    if whole && !git.wait().await.ok()?.success() {
        return None;
    }
    Some(answer)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub async fn run(dir: &Path, args: &[&str]) {
        let identity =
            ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"];
        let done = Command::new("git")
            .arg("-C")
            .arg(dir)
            .args(identity)
            .args(args)
            .output()
            .await
            .unwrap();
        assert!(done.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    #[tokio::test]
    async fn a_repository_tells_commit_branch_and_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        assert_eq!(describe(path).await, None, "no repository");
        run(path, &["init"]).await;
        assert_eq!(describe(path).await, None, "no commit");
        std::fs::write(path.join("a"), "1").unwrap();
        run(path, &["add", "a"]).await;
        run(path, &["commit", "-m", "first"]).await;
        let clean = describe(path).await.unwrap();
        assert_eq!((clean.commit.len(), clean.branch.as_str(), clean.dirty), (40, "main", false));
        std::fs::write(path.join("b"), "new").unwrap();
        assert!(describe(path).await.unwrap().dirty, "a new file is a change");
        run(path, &["checkout", "--detach"]).await;
        assert_eq!(describe(path).await.unwrap().branch, "");
    }
}
