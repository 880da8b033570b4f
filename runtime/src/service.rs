//! The life of a process that serves: logs, start, signals, shutdown, exit code.

use std::error::Error;
use std::fmt;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use crate::Chain;
use crate::tasks::{Signal, Tasks, signals};
use crate::telemetry::{self, TelemetryOptions};

/// It could not start, or something that it cannot do without ended. The table is `docs/using/exit-codes.md`.
const UNABLE: u8 = 126;
/// The last spans get this long; an unreachable collector must not hold up a shutdown.
const FLUSH: Duration = Duration::from_secs(2);

/// A process that serves until it is told to end.
#[derive(Debug)]
pub struct Service {
    /// Its name in logs and traces.
    pub name: &'static str,
    /// Its logs.
    pub telemetry: TelemetryOptions,
    /// How long its tasks may take to end.
    pub grace: Duration,
}

impl Service {
    /// Runs the process. `start` opens what it needs, spawns its tasks and returns once it serves; then a signal, an
    /// essential task's end or `tasks.cancel()` begins the shutdown. Exit code 0 after a clean one, else 126 with
    /// the reason in the log, as every command of Atlas ends that could not do its work. Threads that hang on a dead file system are left to the kernel.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use atlas_runtime::service::Service;
    /// use atlas_runtime::telemetry::TelemetryOptions;
    ///
    /// fn main() -> std::process::ExitCode {
    ///     let telemetry = TelemetryOptions::default();
    ///     let service = Service { name: "atlas-master", telemetry, grace: Duration::from_secs(10) };
    ///     service.run(async |tasks| {
    ///         let listener = tokio::net::TcpListener::bind("127.0.0.1:5558").await?;
    ///         tasks.spawn_essential("grpc", async move {
    ///             listener.accept().await?; // …
    ///             Ok::<(), std::io::Error>(())
    ///         });
    ///         Ok::<(), std::io::Error>(())
    ///     })
    /// }
    /// ```
    pub fn run<E>(self, start: impl AsyncFnOnce(Tasks) -> Result<(), E>) -> ExitCode
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let Self { name, telemetry, grace } = self;
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return unable(name, &error),
        };
        let code = runtime.block_on(async {
            let telemetry = match telemetry::init(name, telemetry) {
                Ok(telemetry) => telemetry,
                Err(error) => return unable(name, &Chain(&error)),
            };
            let code = match live(start, grace).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    tracing::error!("{}", Chain(error.as_ref()));
                    ExitCode::from(UNABLE)
                }
            };
            telemetry.shutdown(FLUSH).await;
            code
        });
        runtime.shutdown_background();
        code
    }
}

async fn live<E>(
    start: impl AsyncFnOnce(Tasks) -> Result<(), E>,
    grace: Duration,
) -> Result<(), Box<dyn Error + Send + Sync>>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let tasks = Tasks::new();
    let mut signal = pin!(signals()?);
    let ended = async {
        tokio::select! {
            signal = &mut signal => announce(signal),
            () = tasks.cancelled() => {}
        }
    };
    let served = async {
        start(tasks.clone()).await?;
        std::future::pending().await
    };
    let started: Result<(), E> = tokio::select! {
        failed = served => failed,
        () = ended => Ok(()),
    };
    let ended = tasks.shutdown(grace).await;
    started.map_err(Into::into)?;
    Ok(ended?)
}

fn announce(signal: Signal) {
    tracing::info!("{signal} received, shutting down; once more ends at once");
}

/// For what goes wrong before there are logs.
fn unable(name: &str, error: &dyn fmt::Display) -> ExitCode {
    eprintln!("{name}: could not start: {error}");
    ExitCode::from(UNABLE)
}
