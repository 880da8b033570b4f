//! What agent and supervisor tell each other through files. Unknown fields are ignored and new ones have defaults, since a
//! supervisor may be older or newer than the agent that adopts its job.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Control, Error};

/// For [`Limits`]: no limit at all.
pub const UNLIMITED: u64 = u64::MAX;

/// An environment of a job fits many times; a file beyond it is not one of ours.
const RUN_FILE_LIMIT: u64 = 8 << 20;
const SMALL_FILE_LIMIT: u64 = 64 << 10;

/// `run.json`: everything the supervisor needs to know about a job.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFile {
    /// The job's own command.
    pub command: Command,
    /// Steps before it, in the same log. The first that fails ends the job with its cause.
    #[serde(default)]
    pub prepare: Vec<Step>,
    /// From SIGTERM to SIGKILL when nobody says otherwise, and before the end of a lease. Must be shorter than the lease.
    pub grace_ms: u64,
    /// How long the job's own command may run, from its first instruction on CLOCK_BOOTTIME; absent = as long as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit_ms: Option<u64>,
    /// Whom to become before the first instruction; absent = whoever the supervisor is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    #[serde(default)]
    pub limits: Limits,
    /// The agent's socket for what the job asks the master, where the supervisor sees it; absent = the job has no `ATLAS_URL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<PathBuf>,
}

/// A program with its whole environment: nothing is inherited from supervisor or agent.
///
/// `argv[0]` without a `/` is looked up in the PATH of `env`. There is no shell in between.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    pub argv: Vec<String>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    pub cwd: PathBuf,
}

/// One step before the job's own command.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    #[serde(flatten)]
    pub command: Command,
    /// The cause of the job's end when this step fails.
    pub cause: Cause,
}

/// Ids to take on; `groups` replaces all supplementary groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    #[serde(default)]
    pub groups: Vec<u32>,
}

/// Resource limits of the job, soft ones; hard limits are raised where they stand in the way and that is allowed, else the
/// hard limit counts. Absent = inherited. They pass through the supervisor's own process, hence the floors in `launch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Open files (at least 256).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nofile: Option<u64>,
    /// Locked memory in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memlock: Option<u64>,
    /// Stack of the main thread in bytes (at least 1 MiB).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack: Option<u64>,
    /// Processes and threads of the job's user, over all its jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nproc: Option<u64>,
}

/// `started`: the first instruction of the job's own command was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartedFile {
    /// Wall clock.
    pub at_ms: u64,
    /// CLOCK_BOOTTIME, which tells this process from a later one of the same number.
    pub boot_ms: u64,
    /// Its process, leader of the job's process group, as its supervisor numbers it.
    pub pid: i32,
}

/// `exit`: how the job ended. Written last: when it exists, the log is complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitFile {
    pub end: End,
    /// A stop was asked for before the end came.
    pub stopped: bool,
    /// It was being ended for its time limit before the end came. Never together with `stopped`: what came first counts.
    #[serde(default)]
    pub timed_out: bool,
    /// Wall clock.
    pub at_ms: u64,
    /// Bytes in `log`.
    pub log_length: u64,
    /// Bytes in `spool/events`, 0 when there is none.
    pub spool_length: u64,
    /// Bytes of output that did not fit on the disk.
    #[serde(default)]
    pub log_lost: u64,
    /// Processes that even SIGKILL did not end within a few seconds (asleep in the kernel, for example on a dead NFS).
    #[serde(default)]
    pub left_behind: u32,
}

/// The true end of the job's main process, or what came instead of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum End {
    Code {
        code: i32,
    },
    Signal {
        signal: i32,
    },
    /// The job's own command never ran.
    FailedToStart {
        cause: Cause,
        message: String,
    },
    /// The deadline came and nobody had moved it.
    LeaseEnded,
}

/// Why a job's own command never ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Installing its requirements failed.
    Requirements,
    /// Its command cannot be executed.
    Exec,
    /// The machine is at fault, not the job.
    Internal,
}

impl RunFile {
    /// Writes `run.json` into a control directory that has none. Readable by its owner only: it holds secrets.
    pub fn write(&self, control: &Path) -> Result<(), Error> {
        let text = serde_json::to_vec(self).map_err(|error| Error::Unreadable {
            path: control.join("run.json"),
            why: error.to_string(),
        })?;
        Control::open(control)?.create_with("run.json", 0o600, &text)
    }

    /// Leaves an empty `run.json`: nobody needs to read it any more, and that it is there says that there was a start.
    pub fn erase(control: &Path) -> Result<(), Error> {
        Control::open(control)?.empty("run.json")
    }

    pub(super) fn read(control: &Control) -> Result<Self, Error> {
        let path = || control.path().join("run.json");
        let Some(text) = control.read("run.json", RUN_FILE_LIMIT)? else {
            let why = "there is none".to_owned();
            return Err(Error::Unreadable { path: path(), why });
        };
        if text.is_empty() {
            return Err(Error::Used(path())); // another has read it, and erased it
        }
        let run: Self = serde_json::from_slice(&text)
            .map_err(|error| Error::Unreadable { path: path(), why: error.to_string() })?;
        let commands = run.prepare.iter().map(|step| &step.command).chain([&run.command]);
        if commands.into_iter().any(|command| command.argv.is_empty()) {
            let why = "a command without a program".to_owned();
            return Err(Error::Unreadable { path: path(), why });
        }
        Ok(run)
    }
}

impl StartedFile {
    /// The file in this control directory, if the job's own command was started.
    pub fn read(control: &Path) -> Result<Option<Self>, Error> {
        read_json(control, "started")
    }
}

impl ExitFile {
    /// The file in this control directory, if the job has ended.
    pub fn read(control: &Path) -> Result<Option<Self>, Error> {
        read_json(control, "exit")
    }
}

impl End {
    /// What a shell would call it: the code, 128 + the signal, 127 for what could not be executed, else 125.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Code { code } => u8::try_from(*code).unwrap_or(u8::MAX),
            Self::Signal { signal } => u8::try_from(128 + signal).unwrap_or(u8::MAX),
            Self::FailedToStart { cause: Cause::Exec, .. } => 127,
            Self::FailedToStart { .. } | Self::LeaseEnded => 125,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code { code } => write!(f, "exit code {code}"),
            Self::Signal { signal } => write!(f, "signal {signal}"),
            Self::FailedToStart { message, .. } => write!(f, "{message}"),
            Self::LeaseEnded => write!(f, "end of its lease"),
        }
    }
}

fn read_json<T: for<'a> Deserialize<'a>>(control: &Path, name: &str) -> Result<Option<T>, Error> {
    let Some(text) = Control::open(control)?.read(name, SMALL_FILE_LIMIT)? else { return Ok(None) };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| Error::Unreadable { path: control.join(name), why: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_run_file_is_a_command_and_its_grace() {
        let text = r#"{"command":{"argv":["true"],"cwd":"/"},"grace_ms":1,"a_later_field":[]}"#;
        let run: RunFile = serde_json::from_str(text).unwrap();
        assert_eq!(run.command.argv, ["true"]);
        assert!(run.limits == Limits::default() && run.user.is_none() && run.prepare.is_empty());
    }

    #[test]
    fn a_run_file_is_read_as_it_was_written_and_only_its_owner_may() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let command = Command {
            argv: vec!["a".into(), "b c".into()],
            env: BTreeMap::from([("K".into(), "wörd\n".into())]),
            cwd: "/tmp".into(),
        };
        let run = RunFile {
            prepare: vec![Step { command: command.clone(), cause: Cause::Requirements }],
            command,
            grace_ms: 10_000,
            time_limit_ms: Some(1),
            user: Some(User { uid: 1, gid: 2, groups: vec![3] }),
            limits: Limits { memlock: Some(UNLIMITED), ..Limits::default() },
            api: Some("/a/sock".into()),
        };
        run.write(dir.path()).unwrap();
        let control = Control::open(dir.path()).unwrap();
        assert!(RunFile::read(&control).unwrap() == run);
        assert_eq!(dir.path().join("run.json").metadata().unwrap().mode() & 0o777, 0o600);
        assert!(run.write(dir.path()).is_err(), "a second attempt needs its own directory");
    }

    #[test]
    fn a_command_without_a_program_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("run.json"),
            r#"{"command":{"argv":[],"cwd":"/"},"grace_ms":1}"#,
        )
        .unwrap();
        let Err(error) = RunFile::read(&Control::open(dir.path()).unwrap()) else { panic!() };
        assert!(error.to_string().contains("without a program"), "{error}");
    }

    #[test]
    fn ends_are_written_the_way_the_contract_says() {
        let ends = [
            (End::Code { code: 3 }, r#"{"kind":"code","code":3}"#),
            (End::Signal { signal: 9 }, r#"{"kind":"signal","signal":9}"#),
            (End::LeaseEnded, r#"{"kind":"lease-ended"}"#),
            (
                End::FailedToStart { cause: Cause::Requirements, message: "m".into() },
                r#"{"kind":"failed-to-start","cause":"requirements","message":"m"}"#,
            ),
        ];
        for (end, text) in ends {
            assert_eq!(serde_json::to_string(&end).unwrap(), text);
            assert_eq!(serde_json::from_str::<End>(text).unwrap(), end);
        }
    }
}
