//! SIGINT and SIGTERM.

use std::fmt;
use std::io;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// A request to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: the service manager.
    Terminate,
}

impl Signal {
    /// The exit code of a process that a signal ended, as shells count.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        })
    }
}

/// Catches SIGINT and SIGTERM from now on. The future resolves at the first; the second ends the process at once,
/// with exit code 130 or 143: the way out when a shutdown hangs.
///
/// ```no_run
/// # async fn main_of_a_process() -> std::io::Result<()> {
/// let signal = atlas_runtime::tasks::signals()?;
/// // … start …
/// tracing::info!("{} received, shutting down; once more ends at once", signal.await);
/// # Ok(())
/// # }
/// ```
pub fn signals() -> io::Result<impl Future<Output = Signal> + Send> {
    let mut streams = Streams {
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
    };
    Ok(async move {
        let first = streams.next().await;
        #[expect(
            clippy::disallowed_methods,
            reason = "it watches over the shutdown, so no shutdown may wait for it"
        )]
        tokio::spawn(async move {
            let second = streams.next().await;
            std::process::exit(second.exit_code().into());
        });
        first
    })
}

struct Streams {
    interrupt: Stream,
    terminate: Stream,
}

impl Streams {
    async fn next(&mut self) -> Signal {
        // The streams never end: they belong to the process.
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, Signal as Raw, kill_process};
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::process::{Child, Command, Stdio};

    /// This test binary once more, told by a variable to be the child.
    #[tokio::test]
    #[ignore = "the process under test, started by the test below"]
    async fn child_process() {
        assert!(std::env::var_os("ATLAS_TEST_SIGNALS").is_some(), "would wait for ever");
        let say = |line: &str| {
            println!("{line}");
            std::io::stdout().flush().unwrap();
        };
        let first = signals().unwrap();
        say("\nready");
        say(&first.await.to_string());
        std::future::pending::<()>().await;
    }

    fn start() -> (Child, impl FnMut(&str)) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tasks::signals::tests::child_process", "--ignored", "--nocapture"])
            .env("ATLAS_TEST_SIGNALS", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let wait_for = move |wanted: &str| {
            assert!(lines.any(|line| line.unwrap() == wanted), "never said {wanted:?}");
        };
        (child, wait_for)
    }

    fn send(child: &Child, signal: Raw) {
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    #[test]
    fn the_first_signal_is_told_and_the_second_ends_the_process_at_once() {
        for (first, told, second, code) in
            [(Raw::INT, "SIGINT", Raw::TERM, 143), (Raw::TERM, "SIGTERM", Raw::INT, 130)]
        {
            let (mut child, mut wait_for) = start();
            wait_for("ready");
            send(&child, first);
            wait_for(told);
            send(&child, second);
            assert_eq!(child.wait().unwrap().code(), Some(code));
        }
    }
}
