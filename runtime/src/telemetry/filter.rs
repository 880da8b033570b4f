//! Which events and spans go where.

use tracing_subscriber::EnvFilter;

use super::Error;

/// Libraries whose `info` is our `debug`.
const QUIET: &str = "h2=warn,hyper=warn,hyper_util=warn,tower=warn,tonic=warn,rustls=warn,bollard=warn,\
    opentelemetry=warn,opentelemetry_sdk=warn,opentelemetry-otlp=warn";

/// The filter of the log lines: the user's directives come last and override.
pub(super) fn logs(directives: Option<String>) -> Result<EnvFilter, Error> {
    let filter = directives.filter(|it| !it.trim().is_empty()).unwrap_or_else(|| "info".into());
    EnvFilter::try_new(format!("{QUIET},{filter}"))
        .map_err(|source| Error::Filter { filter, source })
}

/// The filter of the traces: what happens while a batch is sent must not be traced in turn.
pub(super) fn traces() -> EnvFilter {
    EnvFilter::new(
        "info,h2=off,hyper=off,hyper_util=off,tower=off,tonic=off,opentelemetry=off,opentelemetry_sdk=off,\
        opentelemetry-otlp=off",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt as _;

    /// Whether the filter lets `debug` of a library and of ours through.
    fn passes(directives: Option<&str>) -> [bool; 2] {
        let subscriber =
            tracing_subscriber::registry().with(logs(directives.map(str::to_owned)).unwrap());
        tracing::subscriber::with_default(subscriber, || {
            [
                tracing::enabled!(target: "h2::client", tracing::Level::DEBUG),
                tracing::enabled!(target: "atlas_master", tracing::Level::DEBUG),
            ]
        })
    }

    #[test]
    fn libraries_stay_quiet_until_they_are_named() {
        assert_eq!(passes(None), [false, false]);
        assert_eq!(passes(Some("")), [false, false]);
        assert_eq!(passes(Some("debug")), [false, true]);
        assert_eq!(passes(Some("atlas_master=debug")), [false, true]);
        assert_eq!(passes(Some("info,h2=trace")), [true, false]);
    }

    #[test]
    fn a_filter_that_is_not_understood_is_quoted() {
        let error = logs(Some("atlas=loud".into())).unwrap_err().to_string();
        assert!(error.contains(r#""atlas=loud""#), "{error}");
    }

    #[test]
    fn the_filter_of_the_traces_is_well_formed() {
        assert_eq!(traces().to_string().matches("=off").count(), 8);
    }
}
