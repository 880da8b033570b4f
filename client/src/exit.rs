//! Exit codes: what a script learns from a command. The table is `docs/using/exit-codes.md`.

use std::process::ExitCode;

use atlas_proto::wire;
use atlas_runtime::tasks::Signal;

/// The code that the process ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(u8);

impl Exit {
    pub const SUCCESS: Self = Self(0);
    /// There is no such job, node or file.
    pub const NO_SUCH: Self = Self(1);
    /// The command line, or something of this machine that it names, is wrong; nothing was sent.
    pub const USAGE: Self = Self(2);
    /// A job ran into its time limit.
    pub const TIME_LIMIT: Self = Self(124);
    /// A job failed without a code of its own.
    pub const FAILED: Self = Self(125);
    /// Atlas could not do it.
    pub const UNABLE: Self = Self(126);
    /// Nobody reads the output any more, as if by SIGPIPE.
    pub const BROKEN_PIPE: Self = Self::signal(13);

    /// As shells show a process that a signal ended.
    pub const fn signal(number: u8) -> Self {
        Self(128 + (number & 0x7f))
    }

    /// Of a job that has ended.
    pub fn of(job: &wire::Job) -> Self {
        if job.status == "completed" {
            return Self::SUCCESS;
        }
        let Some(cause) = &job.cause else { return Self::FAILED };
        let number = cause.value.parse::<u8>().ok().filter(|it| *it > 0);
        match (cause.kind.as_str(), number) {
            ("exit-code", Some(code)) => Self(code),
            ("signal", Some(number)) => Self::signal(number),
            ("timeout", _) => Self::TIME_LIMIT,
            _ => Self::FAILED,
        }
    }

    /// The first that is not a success.
    #[must_use]
    pub fn or(self, next: Self) -> Self {
        if self == Self::SUCCESS { next } else { self }
    }

    pub const fn code(self) -> u8 {
        self.0
    }
}

impl From<Signal> for Exit {
    fn from(signal: Signal) -> Self {
        Self(signal.exit_code())
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(kind: &str, value: &str) -> u8 {
        let cause = Some(wire::Cause { kind: kind.into(), value: value.into() });
        Exit::of(&wire::Job { status: "failed".into(), cause, ..Default::default() }).code()
    }

    #[test]
    fn a_jobs_end_has_the_code_of_the_table() {
        for (kind, value, code) in [
            ("exit-code", "3", 3),
            ("exit-code", "255", 255),
            ("exit-code", "0", 125),
            ("exit-code", "256", 125),
            ("exit-code", "-1", 125),
            ("signal", "9", 137),
            ("signal", "15", 143),
            ("timeout", "", 124),
            ("stopped-by", "ada", 125),
            ("stopped-by", "7", 125),
            ("out-of-memory", "", 125),
            ("image", "", 125),
            ("node-lost", "", 125),
            ("a cause of a later version", "1", 125),
        ] {
            assert_eq!(failed(kind, value), code, "{kind} {value}");
        }
        let done = wire::Job { status: "completed".into(), ..Default::default() };
        assert_eq!(Exit::of(&done), Exit::SUCCESS);
    }

    #[test]
    fn of_several_jobs_the_first_that_failed_counts() {
        let all = [Exit::SUCCESS, Exit::FAILED, Exit::NO_SUCH];
        assert_eq!(all.into_iter().fold(Exit::SUCCESS, Exit::or), Exit::FAILED);
    }
}
