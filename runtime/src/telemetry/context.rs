//! The trace context (W3C) on its way from process to process: headers, metadata, a line of text.
//!
//! Without traces in this process there is no current context, and injecting does nothing; what a request brought
//! can still be passed on as a [`TraceParent`].

use std::fmt;
use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use serde::{Deserialize, Serialize};
use tonic::metadata::MetadataMap;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const TRACEPARENT: &str = "traceparent";

/// A trace context as text, `00-<trace>-<span>-<flags>`: what a job finds in `TRACEPARENT` and its record keeps.
///
/// ```
/// use atlas_runtime::telemetry::TraceParent;
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let parent: TraceParent = text.parse().unwrap();
/// let span = tracing::info_span!("run");
/// parent.adopt(&span); // the span continues the trace, where this process traces
/// assert_eq!(parent.to_string(), text);
/// assert!("00-zz-00-01".parse::<TraceParent>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceParent(String);

/// A text that is no trace context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a trace context: 00-<32 hex digits>-<16 hex digits>-<2 hex digits> in lower case, ids not zero"
)]
pub struct InvalidTraceParent;

impl TraceParent {
    /// The context of the current span; `None` where this process does not trace.
    pub fn current() -> Option<Self> {
        Self::of(&Span::current())
    }

    /// The context of `span`; `None` where this process does not trace.
    pub fn of(span: &Span) -> Option<Self> {
        let context = span.context();
        let mut text = Self(String::new());
        TraceContextPropagator::new().inject_context(&context, &mut text);
        (!text.0.is_empty()).then_some(text)
    }

    /// The context that a request brought, if it is well formed.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        headers.get(TRACEPARENT)?.to_str().ok()?.parse().ok()
    }

    /// The context that a gRPC request brought, if it is well formed.
    pub fn from_metadata(metadata: &MetadataMap) -> Option<Self> {
        Self::from_headers(metadata.as_ref())
    }

    /// Makes `span`, which must not have been entered yet, a child of this context.
    pub fn adopt(&self, span: &Span) {
        adopt(self, span);
    }
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    /// Strict, since it comes from outside and goes into records and environments.
    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        let hex = |part: &str, length| {
            part.len() == length && part.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
        };
        let some = |part: &str| part.bytes().any(|c| c != b'0');
        let mut parts = text.splitn(4, '-');
        let mut part = || parts.next().unwrap_or_default();
        let (version, trace, span, flags) = (part(), part(), part(), part());
        let valid = version == "00" && hex(trace, 32) && hex(span, 16) && hex(flags, 2);
        if valid && some(trace) && some(span) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidTraceParent)
        }
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TraceParent {
    type Error = InvalidTraceParent;

    fn try_from(text: String) -> Result<Self, InvalidTraceParent> {
        text.parse()
    }
}

impl From<TraceParent> for String {
    fn from(parent: TraceParent) -> Self {
        parent.0
    }
}

/// Puts the current span's context into the headers of a request that is going out.
pub fn inject_headers(headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut Headers(headers));
}

/// Puts the current span's context into the metadata of a gRPC request that is going out.
pub fn inject_metadata(metadata: &mut MetadataMap) {
    inject_headers(metadata.as_mut());
}

/// Makes `span`, which must not have been entered yet, a child of the context that a request brought, if it did.
pub fn adopt_headers(headers: &HeaderMap, span: &Span) {
    adopt(&Brought(headers), span);
}

/// Makes `span`, which must not have been entered yet, a child of the context that a gRPC request brought, if it did.
pub fn adopt_metadata(metadata: &MetadataMap, span: &Span) {
    adopt_headers(metadata.as_ref(), span);
}

fn adopt(carrier: &dyn Extractor, span: &Span) {
    let parent = TraceContextPropagator::new().extract(carrier);
    if parent.span().span_context().is_valid() {
        // Refused where this process does not trace, or not this span: then there is nothing to continue.
        let _ = span.set_parent(parent);
    }
}

impl Extractor for TraceParent {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(&self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

impl Injector for TraceParent {
    fn set(&mut self, key: &str, value: String) {
        if key == TRACEPARENT {
            self.0 = value;
        }
    }
}

struct Brought<'a>(&'a HeaderMap);

impl Extractor for Brought<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct Headers<'a>(&'a mut HeaderMap);

impl Injector for Headers<'_> {
    fn set(&mut self, key: &str, value: String) {
        let name = HeaderName::from_bytes(key.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value))
            && !value.is_empty()
        {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt as _;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn parent() -> TraceParent {
        format!("00-{TRACE}-00f067aa0ba902b7-01").parse().unwrap()
    }

    /// Runs `test` in a process that traces, or one that does not.
    fn with_traces(traces: bool, test: impl FnOnce()) {
        let provider = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(traces.then_some(layer));
        tracing::subscriber::with_default(subscriber, test);
    }

    #[test]
    fn a_span_continues_the_trace_it_adopted_and_hands_it_on() {
        with_traces(true, || {
            let span = tracing::info_span!("run");
            parent().adopt(&span);
            let _entered = span.enter();
            let mut metadata = MetadataMap::new();
            inject_metadata(&mut metadata);
            let sent = TraceParent::from_metadata(&metadata).unwrap();
            assert_eq!(Some(&sent), TraceParent::current().as_ref());
            assert!(sent.to_string().starts_with(&format!("00-{TRACE}-")), "{sent}");
            assert_ne!(sent, parent(), "the span is a new one");
            assert!(!metadata.contains_key("tracestate"), "nothing is sent for an empty state");
        });
    }

    #[test]
    fn what_a_request_brought_is_adopted_with_its_state() {
        with_traces(true, || {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, parent().to_string().parse().unwrap());
            headers.insert("tracestate", "vendor=1".parse().unwrap());
            let span = tracing::info_span!("request");
            adopt_headers(&headers, &span);
            let mut onward = HeaderMap::new();
            span.in_scope(|| inject_headers(&mut onward));
            assert!(onward[TRACEPARENT].to_str().unwrap().contains(TRACE));
            assert_eq!(onward["tracestate"], "vendor=1");
        });
    }

    #[test]
    fn a_hostile_header_starts_a_trace_of_its_own() {
        with_traces(true, || {
            for text in ["", "00-00-00-00", "\u{e9}", &"0".repeat(100_000)] {
                let mut metadata = MetadataMap::new();
                let headers: &mut HeaderMap = metadata.as_mut();
                headers.insert(TRACEPARENT, HeaderValue::from_bytes(text.as_bytes()).unwrap());
                assert_eq!(TraceParent::from_metadata(&metadata), None);
                let span = tracing::info_span!("request");
                adopt_metadata(&metadata, &span);
                assert!(TraceParent::of(&span).is_some());
            }
        });
    }

    #[test]
    fn without_traces_nothing_is_injected_and_adopting_does_nothing() {
        with_traces(false, || {
            let span = tracing::info_span!("run");
            parent().adopt(&span);
            let _entered = span.enter();
            let mut headers = HeaderMap::new();
            inject_headers(&mut headers);
            assert!(headers.is_empty());
            assert_eq!(TraceParent::current(), None);
        });
    }

    #[test]
    fn only_a_well_formed_text_is_a_trace_context() {
        let (trace, span) = (TRACE, "00f067aa0ba902b7");
        for text in [
            String::new(),
            format!("00-{trace}-{span}"),
            format!("00-{trace}-{span}-01-more"),
            format!("01-{trace}-{span}-01"),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{trace}-{span}-+1"),
            format!("00-{trace}-{span}-01\n"),
        ] {
            assert_eq!(text.parse::<TraceParent>(), Err(InvalidTraceParent), "{text:?}");
        }
        let json = serde_json::to_string(&parent()).unwrap();
        assert_eq!(serde_json::from_str::<TraceParent>(&json).unwrap(), parent());
        assert!(serde_json::from_str::<TraceParent>(r#""$(reboot)""#).is_err());
    }
}
