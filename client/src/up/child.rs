//! Master and node as children: their programs, their logs, their end.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};

use super::{Data, Error};

/// A part that does not end by itself gets this long.
const GRACE: Duration = Duration::from_secs(15);
/// Of the log of a part that ended unexpectedly, so much is shown.
const TAIL_BYTES: u64 = 8 << 10;
const TAIL_LINES: usize = 20;

/// Where the parts' programs are.
#[derive(Debug)]
pub struct Programs {
    pub master: PathBuf,
    pub node: PathBuf,
}

/// A part that runs.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: tokio::process::Child,
    log: PathBuf,
}

impl Programs {
    pub fn beside_this_one() -> Result<Self, Error> {
        let own = std::env::current_exe().map_err(Error::Itself)?;
        let folder = own.parent().unwrap_or(Path::new("/"));
        let find = |name| {
            let path = folder.join(name);
            if path.is_file() { Ok(path) } else { Err(Error::Program { path }) }
        };
        Ok(Self { master: find("atlas-master")?, node: find("atlas-node")? })
    }
}

impl Child {
    /// Starts a program in a process group of its own, so that Ctrl-C reaches this process alone. It ends when this one does,
    /// however that happens.
    pub fn start(program: &Path, args: &[String], data: &Data) -> Result<Self, Error> {
        let failed = |source| Error::Start { program: program.to_owned(), source };
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = data.logs().join(format!("{name}.log"));
        let output = open_log(&log).map_err(failed)?;
        let mut command =
            std::process::Command::new(std::env::current_exe().map_err(Error::Itself)?);
        command
            .arg("child")
            .arg(std::process::id().to_string())
            .arg(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(output)
            .process_group(0);
        let process = tokio::process::Command::from(command).spawn().map_err(failed)?;
        tracing::debug!(pid = process.id(), "started {name} {}", args.join(" "));
        Ok(Self { name, process, log })
    }

    /// What comes of `work`, unless this part ends before.
    pub async fn or_ended<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Error> {
        tokio::select! {
            done = work => Ok(done),
            error = self.ended() => Err(error),
        }
    }

    /// Returns when it has ended although nobody asked it to.
    pub async fn ended(&mut self) -> Error {
        match self.process.wait().await {
            Ok(status) => self.unexpected(status),
            Err(source) => Error::Watch { name: self.name.clone(), source },
        }
    }

    /// Asks it to end, and makes it after a while.
    pub async fn end(&mut self) {
        let pid = self.process.id().and_then(|it| i32::try_from(it).ok()).and_then(Pid::from_raw);
        let Some(pid) = pid else { return };
        // Fails for a process that is gone, which is what is wanted.
        let _ = kill_process(pid, Signal::TERM);
        if tokio::time::timeout(GRACE, self.process.wait()).await.is_err() {
            tracing::warn!(
                "{} did not end within {} s, ended by force",
                self.name,
                GRACE.as_secs()
            );
            let _ = self.process.kill().await;
        }
    }

    fn unexpected(&self, status: ExitStatus) -> Error {
        let tail = tail(&self.log).unwrap_or_else(|error| format!("(could not be read: {error})"));
        Error::Ended { name: self.name.clone(), status, log: self.log.clone(), tail }
    }
}

/// Takes this process's place by `program`, which then ends when the parent `pid` does. Returns only when it fails.
pub fn become_child(pid: u32, program: &Path, args: &[OsString]) -> Error {
    let failed = |source| Error::Start { program: program.to_owned(), source };
    if let Err(errno) = set_parent_process_death_signal(Some(Signal::TERM)) {
        return failed(errno.into());
    }
    // A parent that was gone before it could be watched.
    if getppid().map(|it| it.as_raw_nonzero().get().unsigned_abs()) != Some(pid) {
        return failed(io::Error::other("its parent is gone"));
    }
    failed(std::process::Command::new(program).args(args).exec())
}

/// A new log; that of the run before stays beside it.
fn open_log(path: &Path) -> io::Result<File> {
    match fs::rename(path, path.with_extension("log.old")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::options().create(true).append(true).open(path)
}

/// The last lines of a log.
fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_log_keeps_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("atlas-master.log");
        for text in ["one", "two", "three"] {
            drop(open_log(&path).unwrap());
            fs::write(&path, text).unwrap();
        }
        assert_eq!(fs::read_to_string(path.with_extension("log.old")).unwrap(), "two");
    }

    #[test]
    fn the_tail_of_a_log_is_its_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let text: String = (0..5000).map(|it| format!("line {it}\n")).collect();
        fs::write(&path, text).unwrap();
        let tail = tail(&path).unwrap();
        assert_eq!(tail.lines().count(), TAIL_LINES);
        assert!(tail.ends_with("line 4999"));
    }
}
