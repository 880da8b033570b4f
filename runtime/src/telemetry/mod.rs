//! Logs of every process, and traces of those that are asked for them.
//!
//! Logs go to stderr: as text for people on a terminal, else as JSON, one object per line. `ATLAS_LOG` filters them in the syntax
//! of `tracing-subscriber` (`debug`, `atlas_master=debug`); libraries that talk much stay at `warn` unless named.
//!
//! Traces go out by OTLP over gRPC when `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set,
//! and `OTEL_SDK_DISABLED` is not `true` and `OTEL_TRACES_EXPORTER` not `none`; otherwise nothing of OpenTelemetry
//! runs. The other standard variables (`OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`, …) mean
//! what they mean to its SDK. A setting that cannot be met (TLS, HTTP) is a warning and no traces: these variables
//! belong to the whole environment, not to Atlas.

mod context;
mod filter;
mod layers;
mod otlp;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal as _};
use std::str::FromStr;
use std::time::Duration;

use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::{Deserialize, Serialize};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry};

pub use context::{
    InvalidTraceParent, TraceParent, adopt_headers, adopt_metadata, inject_headers, inject_metadata,
};
pub use layers::{ClientTrace, ServerTrace, ServerTraceService};

/// What a process says about its logs: its options `log` (hence `--log` and `ATLAS_LOG`) and `log_format`.
#[derive(Clone, Debug, Default)]
pub struct TelemetryOptions {
    /// Filter directives, such as `debug`; without them `ATLAS_LOG`, else `info`.
    pub filter: Option<String>,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a log line looks (`--log-format`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One object per line.
    Json,
}

impl FromStr for LogFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(Error::Format { text: text.to_owned() }),
        }
    }
}

/// Why logs cannot be as they were asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is not understood.
    #[error("could not read the log filter {filter:?}, try `info` or `atlas_master=debug`")]
    Filter {
        /// The filter.
        filter: String,
        /// Why not.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The format is none.
    #[error("{text:?} is no log format, take auto, text or json")]
    Format {
        /// What was given.
        text: String,
    },
    /// `init` was called twice.
    #[error("logs are set up already")]
    Twice(#[source] TryInitError),
}

/// Traces that are still to be sent; [`shutdown`](Self::shutdown) sends them.
#[derive(Debug)]
#[must_use = "the last spans are sent by `shutdown`"]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

/// Sets up logs, and traces if the environment asks for them, once for the process. With traces it must be called
/// inside a tokio runtime, which carries the connection to the collector.
///
/// ```no_run
/// use std::time::Duration;
/// use atlas_runtime::telemetry::{self, TelemetryOptions};
///
/// # #[tokio::main] async fn main() -> Result<(), telemetry::Error> {
/// let telemetry = telemetry::init("atlas-master", TelemetryOptions::default())?;
/// tracing::info!("listening");
/// telemetry.shutdown(Duration::from_secs(2)).await;
/// # Ok(())
/// # }
/// ```
pub fn init(process: &'static str, options: TelemetryOptions) -> Result<Telemetry, Error> {
    let filter = filter::logs(options.filter.or_else(|| std::env::var("ATLAS_LOG").ok()))?;
    let (provider, refusal) = match otlp::provider(process) {
        Ok(provider) => (provider, None),
        Err(error) => (None, Some(error)),
    };
    tracing_subscriber::registry()
        .with(lines(options.format, filter))
        .with(provider.as_ref().map(|provider| otlp::layer(provider, process)))
        .try_init()
        .map_err(Error::Twice)?;
    std::panic::set_hook(Box::new(|panic| {
        // A log line like the others. A backtrace is there when RUST_BACKTRACE asks for it.
        let backtrace = Backtrace::capture();
        let captured = backtrace.status() == BacktraceStatus::Captured;
        let backtrace = captured.then(|| tracing::field::display(backtrace));
        tracing::error!(backtrace, "{panic}");
    }));
    if let Some(error) = refusal {
        tracing::warn!("no traces are sent: {}", crate::Chain(&error));
    }
    Ok(Telemetry { provider })
}

impl Telemetry {
    /// Whether traces are sent.
    pub const fn traces(&self) -> bool {
        self.provider.is_some()
    }

    /// Sends what is left, for `bound` at most.
    pub async fn shutdown(self, bound: Duration) {
        let Some(provider) = self.provider else { return };
        let (done, is_done) = tokio::sync::oneshot::channel();
        // A thread of its own: the call blocks on a connection that this runtime carries, and no runtime waits for it.
        let thread = std::thread::Builder::new().name("telemetry-flush".into()).spawn(move || {
            let flushed = provider.shutdown_with_timeout(bound);
            let _ = done.send(flushed); // nobody listens after the bound
        });
        let lost = match thread {
            Err(error) => error.to_string(),
            Ok(_) => match tokio::time::timeout(bound, is_done).await {
                Ok(Ok(Ok(()))) => return,
                Ok(Ok(Err(error))) => error.to_string(),
                Ok(Err(_)) | Err(_) => format!("no answer within {bound:?}"),
            },
        };
        tracing::warn!("the last traces were not sent: {lost}");
    }
}

/// The layer that writes log lines to stderr.
fn lines(format: LogFormat, filter: EnvFilter) -> Box<dyn Layer<Registry> + Send + Sync> {
    let terminal = io::stderr().is_terminal();
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let text = match format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    if text {
        let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
        layer.with_ansi(colours).with_filter(filter).boxed()
    } else {
        layer.json().flatten_event(true).with_span_list(false).with_filter(filter).boxed()
    }
}
