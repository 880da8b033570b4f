//! Bringing up a supervisor, and waiting for one that a container brings up.

use std::fs::DirBuilder;
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::process::Stdio;

use rustix::fs::inotify;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::{ANSWER, Error};

/// Starts the supervisor of a slot; it listens when this returns.
///
/// It leaves our process group and session by itself, gets nothing of our environment, and holds none of our descriptors.
pub async fn start(dir: &Path, socket: &Path, supervisor: &Path) -> Result<(), Error> {
    let failed = |source| Error::Start { path: supervisor.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    let log = dir.join("supervisor.log");
    let mut options = std::fs::OpenOptions::new();
    let stderr = options.write(true).create(true).truncate(true).mode(0o600).open(&log);
    let mut child = Command::new(supervisor)
        .args(["slot", "--socket"])
        .arg(socket)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr.map_err(failed)?)
        .spawn()
        .map_err(failed)?;
    let stdout = child.stdout.take().expect("stdout was asked for as a pipe");
    let mut line = String::new();
    let ready = timeout(ANSWER, BufReader::new(stdout).read_line(&mut line)).await;
    match ready {
        Ok(Ok(_)) if line == "ready\n" => Ok(()),
        Ok(_) => Err(not_ready(supervisor, "", &log)),
        Err(_) => {
            // It was started here and said nothing: it is not one.
            let _ = child.start_kill();
            Err(not_ready(supervisor, " in time", &log))
        }
    }
}

/// Returns when there is a file of this name. Without a busy look: the kernel tells.
pub async fn appears(dir: &Path, name: &str) -> io::Result<()> {
    let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
    let watch = inotify::init(flags)?;
    inotify::add_watch(&watch, dir, inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO)?;
    #[expect(
        deprecated,
        reason = "its successor is unsafe, and an OwnedFd holds what that asks for"
    )]
    let watch = AsyncFd::new(watch)?;
    let path = dir.join(name);
    // Looked for after the watch was set, so that nothing falls in between.
    while !path.try_exists()? {
        let mut ready = watch.readable().await?;
        let mut events = [0u8; 4096];
        while rustix::io::read(watch.get_ref(), &mut events).is_ok_and(|count| count > 0) {}
        ready.clear_ready();
    }
    Ok(())
}

fn not_ready(supervisor: &Path, hint: &'static str, log: &Path) -> Error {
    let mut said = Vec::new();
    if let Ok(log) = std::fs::File::open(log) {
        let _ = log.take(2000).read_to_end(&mut said);
    }
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    let said = if said.is_empty() { "it said nothing".to_owned() } else { said };
    Error::NotReady { path: supervisor.to_owned(), hint, said }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_there_or_comes_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("there"), "").unwrap();
        appears(dir.path(), "there").await.unwrap();
        let waiting = appears(dir.path(), "comes");
        let making = async {
            std::fs::write(dir.path().join("other"), "").unwrap();
            tokio::task::yield_now().await;
            std::fs::write(dir.path().join("comes.new"), "").unwrap();
            std::fs::rename(dir.path().join("comes.new"), dir.path().join("comes")).unwrap();
        };
        let both = async { tokio::join!(waiting, making).0 };
        timeout(ANSWER, both).await.expect("the file is seen").unwrap();
        assert!(appears(&dir.path().join("absent"), "x").await.is_err());
    }

    #[tokio::test]
    async fn a_program_that_is_no_supervisor_is_named_with_what_it_said() {
        let dir = tempfile::tempdir().unwrap();
        let started = start(dir.path(), &dir.path().join("sock"), Path::new("/bin/ls")).await;
        let text = started.unwrap_err().to_string();
        assert!(text.contains("/bin/ls") && text.contains("--socket"), "{text}");
        let absent = Path::new("/absent/supervisor");
        let started = start(dir.path(), &dir.path().join("sock"), absent).await;
        assert!(matches!(started, Err(Error::Start { .. })));
    }
}
