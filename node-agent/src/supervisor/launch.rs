//! Starting a program: the quick way for one that runs as the supervisor's own user, and by way of this binary's `become` for
//! one that must run as somebody else.
//!
//! The quick way must stay one that std does with `posix_spawn`: a fork would cost more than all the rest. So the directory
//! and the limits are set on the supervisor itself, and the program is looked up here.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode, Stdio};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Gid, Pid, Resource, Rlimit, Uid, getgid, getgroups, getrlimit, getuid};
use serde::{Deserialize, Serialize};

use super::files::{Cause, Command, Limits, User};
use super::{Error, exit};

/// The mode in which this binary takes on a user and becomes the job's program.
pub const BECOME: &str = "become";

/// Where programs are looked for when the job's environment has no PATH.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
const REPORT_LIMIT: u64 = 16 << 10;

/// Why a program could not be started.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub cause: Cause,
    pub message: String,
}

/// Starts programs; remembers which limits are in force.
pub struct Launcher {
    null: File,
    inherited: [Rlimit; 4],
    limits: Limits,
}

impl Launcher {
    pub fn new() -> Result<Self, Error> {
        let null = File::options().read(true).write(true).open("/dev/null");
        let null = null.map_err(|source| Error::System { what: "open /dev/null", source })?;
        Ok(Self { null, inherited: RESOURCES.map(getrlimit), limits: Limits::default() })
    }

    /// Starts a program in a process group of its own, its output going to the pipe. It is running when this returns.
    pub fn spawn(
        &mut self,
        command: &Command,
        user: Option<&User>,
        limits: &Limits,
        output: &OwnedFd,
    ) -> Result<Pid, Failure> {
        self.limit(limits);
        match user.filter(|user| !is_me(user)) {
            None => self.spawn_as_me(command, output),
            Some(user) => spawn_as(user, command, output),
        }
    }

    fn spawn_as_me(&self, command: &Command, output: &OwnedFd) -> Result<Pid, Failure> {
        enter(&command.cwd)?;
        let path = command.env.get("PATH").map(OsStr::new);
        let spawned = find(OsStr::new(&command.argv[0]), path).and_then(|program| {
            let stdin =
                self.null.try_clone().map(Stdio::from).map_err(|error| no_descriptors(&error))?;
            let mut child = process::Command::new(&program);
            child.arg0(&command.argv[0]).args(&command.argv[1..]).stdin(stdin);
            spawn(&mut child, command, output).map_err(|error| cannot_run(&program, &error))
        });
        // The supervisor must not keep the job's file system busy.
        let _ = rustix::process::chdir("/");
        spawned
    }

    fn limit(&mut self, limits: &Limits) {
        if *limits == self.limits {
            return;
        }
        let wanted = [
            limits.nofile.map(|limit| limit.max(256)),
            limits.memlock,
            limits.stack.map(|limit| limit.max(1 << 20)),
            limits.nproc,
        ];
        for ((resource, inherited), wanted) in
            RESOURCES.into_iter().zip(&self.inherited).zip(wanted)
        {
            let soft =
                wanted.map_or(inherited.current, |limit| (limit < u64::MAX).then_some(limit));
            set_limit(resource, soft);
        }
        self.limits = *limits;
    }
}

/// What `become` does; returns only when it cannot be done. Its standard input is the pipe for the reason.
pub fn become_user(arguments: &[OsString]) -> ExitCode {
    let Ok(report) = io::stdin().as_fd().try_clone_to_owned() else { return ExitCode::from(125) };
    let failure = match arguments {
        [ids, cwd, argv @ ..] if !argv.is_empty() => become_and_run(ids, Path::new(cwd), argv),
        _ => internal("become was called with too few arguments".to_owned()),
    };
    let text = serde_json::to_vec(&failure).unwrap_or_default();
    let _ = File::from(report).write_all(&text);
    ExitCode::from(125)
}

fn become_and_run(ids: &OsStr, cwd: &Path, argv: &[OsString]) -> Failure {
    let prepared = ids
        .to_str()
        .and_then(|ids| serde_json::from_str(ids).ok())
        .ok_or_else(|| internal("become was called without ids".to_owned()))
        .and_then(|user| take_on(&user))
        .and_then(|()| enter(cwd))
        .and_then(|()| find(&argv[0], std::env::var_os("PATH").as_deref()));
    match prepared {
        Err(failure) => failure,
        Ok(program) => {
            let error = process::Command::new(&program).arg0(&argv[0]).args(&argv[1..]).exec();
            cannot_run(&program, &error)
        }
    }
}

fn take_on(user: &User) -> Result<(), Failure> {
    let User { uid, gid, groups } = user;
    let failed = |error: Errno| {
        let text = format!(
            "cannot become user {uid}, group {gid}, groups {groups:?}: {}",
            io::Error::from(error)
        );
        internal(text)
    };
    let groups: Vec<Gid> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
    // This process has one thread, so that thread's ids are all of its ids. Groups go first: afterwards it may not.
    rustix::thread::set_thread_groups(&groups).map_err(failed)?;
    let gid = Gid::from_raw(*gid);
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(failed)?;
    let uid = Uid::from_raw(*uid);
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(failed)?;
    let null = File::open("/dev/null").map_err(|error| no_descriptors(&error))?;
    rustix::stdio::dup2_stdin(&null).map_err(failed)
}

fn spawn_as(user: &User, command: &Command, output: &OwnedFd) -> Result<Pid, Failure> {
    let (report, write) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|error| no_descriptors(&error.into()))?;
    let ids = serde_json::to_string(user).expect("ids are numbers");
    let mut child = process::Command::new("/proc/self/exe");
    child.arg(BECOME).arg(ids).arg(&command.cwd).args(&command.argv).stdin(write);
    let pid = spawn(&mut child, command, output)
        .map_err(|error| internal(format!("cannot start the supervisor's own program: {error}")))?;
    drop(child); // and with it our end of the report
    let mut text = Vec::new();
    let read = File::from(report).take(REPORT_LIMIT).read_to_end(&mut text);
    match read {
        Ok(0) => Ok(pid),
        _ => Err(serde_json::from_slice(&text)
            .unwrap_or_else(|error| internal(format!("become said nothing useful: {error}")))),
    }
}

/// What both ways have in common.
fn spawn(child: &mut process::Command, command: &Command, output: &OwnedFd) -> io::Result<Pid> {
    child.env_clear().envs(&command.env).process_group(0);
    let child = child.stdout(output.try_clone()?).stderr(output.try_clone()?).spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::other("the kernel gave a process no number"))
}

fn enter(cwd: &Path) -> Result<(), Failure> {
    rustix::process::chdir(cwd).map_err(|error| {
        let message = format!(
            "cannot enter the working directory {}: {}",
            cwd.display(),
            io::Error::from(error)
        );
        // Named by the job; anything else is the disk's.
        let named_wrong = matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::ACCESS);
        if named_wrong { exec(message) } else { internal(message) }
    })
}

/// The program's file, found the way a shell would.
fn find(name: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, Failure> {
    if name.as_encoded_bytes().contains(&b'/') {
        return Ok(name.into());
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    let executable = |file: &PathBuf| {
        file.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    };
    let mut files = std::env::split_paths(path).map(|dir| Path::new(".").join(dir).join(name));
    files.find(executable).filter(|_| !name.is_empty()).ok_or_else(|| {
        let (name, path) = (name.to_string_lossy(), path.to_string_lossy());
        exec(format!("cannot run '{name}': no such program in PATH ({path})"))
    })
}

fn cannot_run(program: &Path, error: &io::Error) -> Failure {
    let hint = match Errno::from_io_error(error) {
        Some(Errno::NOENT) if program.exists() => {
            " (the file is there: the interpreter in its first line, or its loader, is not)"
        }
        Some(Errno::NOEXEC) => " (no program for this machine, and a script needs a #! line)",
        Some(Errno::ACCESS) => " (is it executable? chmod +x)",
        _ => "",
    };
    exec(format!("cannot run '{}': {error}{hint}", program.display()))
}

fn is_me(user: &User) -> bool {
    let same = user.uid == getuid().as_raw() && user.gid == getgid().as_raw();
    let others = |groups: Vec<u32>| {
        let mut groups: Vec<u32> = groups.into_iter().filter(|it| *it != user.gid).collect();
        groups.sort_unstable();
        groups
    };
    let mine = || getgroups().unwrap_or_default().into_iter().map(Gid::as_raw).collect();
    same && others(user.groups.clone()) == others(mine())
}

const RESOURCES: [Resource; 4] =
    [Resource::Nofile, Resource::Memlock, Resource::Stack, Resource::Nproc];

/// `None` is no limit, as in [`Rlimit`].
fn set_limit(resource: Resource, soft: Option<u64>) {
    let hard = getrlimit(resource).maximum;
    let fits = |hard: Option<u64>| hard.is_none_or(|hard| soft.is_some_and(|soft| soft <= hard));
    let (want, have) = (
        Rlimit { current: soft, maximum: if fits(hard) { hard } else { soft } },
        Rlimit { current: if fits(hard) { soft } else { hard }, maximum: hard },
    );
    // Raising the hard limit is for the privileged; for others the hard limit has to do.
    if rustix::process::setrlimit(resource, want).is_err() {
        let _ = rustix::process::setrlimit(resource, have);
    }
}

fn no_descriptors(error: &io::Error) -> Failure {
    internal(format!("cannot prepare the job's descriptors: {error}"))
}

fn internal(message: String) -> Failure {
    Failure { cause: Cause::Internal, message: exit::shortened(message) }
}

fn exec(message: String) -> Failure {
    Failure { cause: Cause::Exec, message: exit::shortened(message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_the_first_executable_file_of_its_name_in_path() {
        let dir = tempfile::tempdir().unwrap();
        let [first, second, third] = ["1", "2", "3"].map(|name| dir.path().join(name));
        for (dir, mode) in [(&first, 0o644), (&second, 0o755), (&third, 0o755)] {
            std::fs::create_dir(dir).unwrap();
            std::fs::write(dir.join("tool"), "").unwrap();
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(dir.join("tool"), mode).unwrap();
        }
        std::fs::create_dir(first.join("folder")).unwrap();
        let path = std::env::join_paths([&first, &second, &third]).unwrap();
        let found = |name: &str| find(OsStr::new(name), Some(&path));
        assert_eq!(found("tool").unwrap(), second.join("tool"));
        assert_eq!(found("./tool").unwrap(), Path::new("./tool"));
        for name in ["folder", "absent", ""] {
            let failure = found(name).unwrap_err();
            assert_eq!(failure.cause, Cause::Exec);
            assert!(failure.message.contains("no such program in PATH"), "{}", failure.message);
        }
    }
}
