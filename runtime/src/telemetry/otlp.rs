//! Traces by OTLP, as the standard variables ask for them.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::filter;

/// Why traces that were asked for are not sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(
        "{variable} asks for {protocol:?}, only \"grpc\" is built in (port 4317 of a collector)"
    )]
    Protocol { variable: &'static str, protocol: String },
    #[error(
        "{variable} is {endpoint:?}: only http:// is built in, let a collector beside Atlas speak TLS"
    )]
    Endpoint { variable: &'static str, endpoint: String },
    #[error("could not set up the OTLP exporter")]
    Exporter(#[source] ExporterBuildError),
}

/// The provider that the environment asks for, if it does.
pub(super) fn provider(process: &'static str) -> Result<Option<SdkTracerProvider>, Error> {
    let Some(endpoint) = endpoint(|name| std::env::var(name).ok())? else { return Ok(None) };
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build();
    let mut resource = Resource::builder();
    // The SDK has read the variables by now; its own guess at a name is no name.
    let named = Resource::builder().build().get(&"service.name".into());
    if named.is_none_or(|name| name.as_str().starts_with("unknown_service")) {
        resource = resource.with_service_name(process);
    }
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter.map_err(Error::Exporter)?)
        .with_resource(resource.build())
        .build();
    Ok(Some(provider))
}

/// The layer that makes spans of the provider's.
pub(super) fn layer<S>(provider: &SdkTracerProvider, process: &'static str) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(process))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(filter::traces())
}

/// Where the variables want the traces: `None` is nowhere. An empty variable is no variable.
fn endpoint(lookup: impl Fn(&str) -> Option<String>) -> Result<Option<String>, Error> {
    let get =
        |name: &'static str| lookup(name).filter(|value| !value.is_empty()).map(|it| (name, it));
    let is = |name, value: &str| get(name).is_some_and(|it| it.1.eq_ignore_ascii_case(value));
    let endpoint =
        get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| get("OTEL_EXPORTER_OTLP_ENDPOINT"));
    let Some((variable, endpoint)) = endpoint else { return Ok(None) };
    if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
        return Ok(None);
    }
    let protocol =
        get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| get("OTEL_EXPORTER_OTLP_PROTOCOL"));
    match protocol {
        Some((variable, protocol)) if protocol != "grpc" => {
            Err(Error::Protocol { variable, protocol })
        }
        _ if !endpoint.starts_with("http://") => Err(Error::Endpoint { variable, endpoint }),
        _ => Ok(Some(endpoint)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");

    fn check(variables: &[(&str, &str)], expected: Result<Option<&str>, &str>) {
        let lookup =
            |name: &str| variables.iter().find(|it| it.0 == name).map(|it| it.1.to_owned());
        match (endpoint(lookup), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found.as_deref(), expected, "{variables:?}"),
            (Err(error), Err(expected)) => {
                assert!(error.to_string().contains(expected), "{variables:?}: {error}");
            }
            (found, _) => panic!("{variables:?}: {found:?}"),
        }
    }

    #[test]
    fn traces_are_off_until_an_endpoint_is_named() {
        check(&[], Ok(None));
        check(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")], Ok(None));
        check(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")], Ok(None));
        check(&[ENDPOINT], Ok(Some(ENDPOINT.1)));
    }

    #[test]
    fn the_endpoint_of_traces_goes_before_the_general_one() {
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:4317");
        check(&[ENDPOINT, traces], Ok(Some(traces.1)));
    }

    #[test]
    fn the_switches_turn_traces_off() {
        check(&[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")], Ok(None));
        check(&[ENDPOINT, ("OTEL_SDK_DISABLED", "false")], Ok(Some(ENDPOINT.1)));
        check(&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")], Ok(None));
    }

    #[test]
    fn what_is_not_built_in_is_refused_by_name() {
        let http = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
        check(&[ENDPOINT, http], Err("OTEL_EXPORTER_OTLP_PROTOCOL"));
        let tls = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://collector:4317");
        check(&[ENDPOINT, tls], Err("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"));
        let grpc = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc");
        check(&[ENDPOINT, http, grpc], Ok(Some(ENDPOINT.1)));
    }
}
