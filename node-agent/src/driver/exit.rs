//! From what a supervisor wrote to what the master is told. Pure.

use atlas_core::agent::{Exit, ExitKind, Report};
use atlas_core::{Cause, Timestamp};

use crate::supervisor::{self, End, ExitFile};

/// What a shell says of a command that cannot be executed.
const NOT_EXECUTABLE: i32 = 127;
const SIGKILL: i32 = 9;

/// The last word on an attempt. `out_of_memory`: the kernel ended processes of the job for want of memory.
pub fn report(file: &ExitFile, started: Option<Timestamp>, out_of_memory: bool) -> Report {
    let kind = match &file.end {
        _ if file.timed_out => ExitKind::Failed(Cause::Timeout),
        End::Signal { signal } if out_of_memory && *signal == SIGKILL => {
            ExitKind::Failed(Cause::OutOfMemory)
        }
        End::Code { code } if out_of_memory && *code != 0 => ExitKind::Failed(Cause::OutOfMemory),
        End::Code { code } => ExitKind::Code(*code),
        End::Signal { signal } => ExitKind::Signal(*signal),
        End::LeaseEnded => ExitKind::LeaseEnded,
        End::FailedToStart { cause: supervisor::Cause::Exec, .. } => ExitKind::Code(NOT_EXECUTABLE),
        End::FailedToStart { cause: supervisor::Cause::Requirements, .. } => {
            ExitKind::Failed(Cause::Requirements)
        }
        End::FailedToStart { cause: supervisor::Cause::Internal, message } if !file.stopped => {
            let (cause, message) = (Cause::Internal, message.clone());
            return Report::NotStarted { cause, message, strike: true };
        }
        End::FailedToStart { cause: supervisor::Cause::Internal, .. } => {
            ExitKind::Failed(Cause::Internal)
        }
    };
    Report::Exited(Exit {
        kind,
        stopped: file.stopped,
        at: Timestamp(file.at_ms),
        started,
        log_length: file.log_length,
        spool_length: file.spool_length,
        detail: detail(file, out_of_memory),
    })
}

/// The end of a job that took its supervisor along, so that nobody wrote an exit file.
pub fn out_of_memory(
    message: &str,
    at: Timestamp,
    started: Option<Timestamp>,
    log_length: u64,
    spool_length: u64,
) -> Report {
    Report::Exited(Exit {
        kind: ExitKind::Failed(Cause::OutOfMemory),
        stopped: false,
        at,
        started,
        log_length,
        spool_length,
        detail: format!("{ASKED_FOR_MORE}; {message}"),
    })
}

const OUT_OF_TIME: &str = "it was stopped at its time limit, and its process ended with";
const ASKED_FOR_MORE: &str = "the job asked for more memory than it was given (--ram)";

fn detail(file: &ExitFile, out_of_memory: bool) -> String {
    let start = match &file.end {
        End::FailedToStart { message, .. } => Some(message.clone()),
        _ => None,
    };
    let limit = file.timed_out.then(|| format!("{OUT_OF_TIME} {}", file.end));
    let memory = out_of_memory.then(|| ASKED_FOR_MORE.to_owned());
    let log = (file.log_lost > 0)
        .then(|| format!("{} bytes of its log did not fit on the node's disk", file.log_lost));
    let left = (file.left_behind > 0)
        .then(|| format!("{} of its processes could not be ended", file.left_behind));
    let sentences: Vec<String> = [start, limit, memory, log, left].into_iter().flatten().collect();
    sentences.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(end: End) -> ExitFile {
        ExitFile {
            end,
            stopped: false,
            timed_out: false,
            at_ms: 5,
            log_length: 6,
            spool_length: 7,
            log_lost: 0,
            left_behind: 0,
        }
    }

    fn exit(end: End, out_of_memory: bool) -> Exit {
        match report(&file(end), Some(Timestamp(1)), out_of_memory) {
            Report::Exited(exit) => exit,
            other => panic!("{other:?}"),
        }
    }

    fn failed(cause: supervisor::Cause) -> End {
        End::FailedToStart { cause, message: "why".into() }
    }

    #[test]
    fn an_end_is_told_as_it_was() {
        let it = exit(End::Code { code: 3 }, false);
        assert_eq!(
            (it.kind, it.at, it.log_length, it.spool_length),
            (ExitKind::Code(3), Timestamp(5), 6, 7)
        );
        assert_eq!(exit(End::Signal { signal: 15 }, false).kind, ExitKind::Signal(15));
        assert_eq!(exit(End::LeaseEnded, false).kind, ExitKind::LeaseEnded);
    }

    #[test]
    fn want_of_memory_is_a_cause_only_where_the_job_ended_of_it() {
        let cause = ExitKind::Failed(Cause::OutOfMemory);
        assert_eq!(exit(End::Signal { signal: 9 }, true).kind, cause);
        assert_eq!(exit(End::Code { code: 137 }, true).kind, cause);
        assert_eq!(exit(End::Code { code: 0 }, true).kind, ExitKind::Code(0));
        assert_eq!(exit(End::Signal { signal: 15 }, true).kind, ExitKind::Signal(15));
    }

    #[test]
    fn a_job_that_its_time_limit_ended_has_that_cause_however_it_took_it() {
        let ended = |end, out_of_memory| {
            let file = ExitFile { timed_out: true, ..file(end) };
            match report(&file, Some(Timestamp(1)), out_of_memory) {
                Report::Exited(exit) => exit,
                other => panic!("{other:?}"),
            }
        };
        for (end, text) in [
            (End::Code { code: 0 }, "exit code 0"),
            (End::Code { code: 3 }, "exit code 3"),
            (End::Signal { signal: 9 }, "signal 9"),
        ] {
            let exit = ended(end, false);
            assert_eq!((exit.kind, exit.stopped), (ExitKind::Failed(Cause::Timeout), false));
            assert!(exit.detail.ends_with(text), "{}", exit.detail);
        }
        let exit = ended(End::Signal { signal: 9 }, true);
        assert_eq!(exit.kind, ExitKind::Failed(Cause::Timeout));
    }

    #[test]
    fn a_command_that_cannot_be_executed_ends_as_in_a_shell() {
        let it = exit(failed(supervisor::Cause::Exec), false);
        assert_eq!((it.kind, it.detail.as_str()), (ExitKind::Code(127), "why"));
    }

    #[test]
    fn what_is_the_nodes_fault_is_tried_elsewhere() {
        let report = report(&file(failed(supervisor::Cause::Internal)), None, false);
        assert!(matches!(report, Report::NotStarted { strike: true, .. }), "{report:?}");
    }

    #[test]
    fn what_was_lost_is_said() {
        let mut file = file(End::Code { code: 0 });
        (file.log_lost, file.left_behind) = (10, 2);
        let Report::Exited(exit) = report(&file, None, false) else { panic!() };
        assert!(exit.detail.contains("10 bytes") && exit.detail.contains("2 of its processes"));
    }
}
