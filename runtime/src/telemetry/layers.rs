//! The trace context on gRPC and HTTP, client and server.

use std::task::{Context, Poll};

use http::Request;
use tonic::service::Interceptor;
use tonic::{Request as GrpcRequest, Status};
use tower::{Layer, Service};
use tracing::instrument::{Instrument as _, Instrumented};
use tracing::{Span, info_span};

use super::context::{TraceParent, adopt_headers, inject_metadata};

/// Sends the current span's context with every gRPC request.
///
/// ```
/// use atlas_runtime::telemetry::ClientTrace;
/// use tonic::service::interceptor::InterceptedService;
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # let channel = tonic::transport::Endpoint::from_static("http://127.0.0.1:5558").connect_lazy();
/// let channel = InterceptedService::new(channel, ClientTrace); // or SomeClient::with_interceptor(channel, ClientTrace)
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientTrace;

impl Interceptor for ClientTrace {
    fn call(&mut self, mut request: GrpcRequest<()>) -> Result<GrpcRequest<()>, Status> {
        inject_metadata(request.metadata_mut());
        Ok(request)
    }
}

/// Runs every request in a span that continues the caller's trace; for tonic (`Server::builder().layer(ServerTrace)`)
/// and axum alike. The [`TraceParent`] that a request brought is among its extensions, also where this process does
/// not trace. The span ends with the handler: what it streams afterwards is outside.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerTrace;

impl<S> Layer<S> for ServerTrace {
    type Service = ServerTraceService<S>;

    fn layer(&self, inner: S) -> ServerTraceService<S> {
        ServerTraceService { inner }
    }
}

/// The service that [`ServerTrace`] makes.
#[derive(Clone, Debug)]
pub struct ServerTraceService<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for ServerTraceService<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Instrumented<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let span = span(&request);
        adopt_headers(request.headers(), &span);
        if let Some(parent) = TraceParent::from_headers(request.headers()) {
            request.extensions_mut().insert(parent);
        }
        let _entered = span.enter();
        self.inner.call(request).instrument(span.clone())
    }
}

/// A path of gRPC names a method, one of HTTP may name anything: only the first is a good name for a span.
fn span<B>(request: &Request<B>) -> Span {
    const LONGEST: usize = 200; // the path is the caller's
    let path = request.uri().path();
    let path = path.get(..path.floor_char_boundary(LONGEST)).unwrap_or_default();
    let grpc = request.headers().get(http::header::CONTENT_TYPE);
    if grpc.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
        let name = path.trim_start_matches('/');
        info_span!("rpc", otel.name = name, otel.kind = "server")
    } else {
        let method = request.method().as_str();
        info_span!("http", otel.name = method, otel.kind = "server", url.path = path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use std::convert::Infallible;
    use tower::ServiceExt as _;
    use tracing_subscriber::layer::SubscriberExt as _;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    /// What a handler sees: the context it runs in, and the one that the request brought.
    async fn handle(
        request: Request<()>,
    ) -> Result<(Option<TraceParent>, Option<TraceParent>), Infallible> {
        Ok((TraceParent::current(), request.extensions().get().cloned()))
    }

    async fn call(request: Request<()>) -> (Option<TraceParent>, Option<TraceParent>) {
        ServerTrace.layer(tower::service_fn(handle)).oneshot(request).await.unwrap()
    }

    fn tracing_here() -> tracing::subscriber::DefaultGuard {
        let provider = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::set_default(tracing_subscriber::registry().with(layer))
    }

    #[tokio::test]
    async fn a_handler_runs_in_the_trace_of_its_caller() {
        let _guard = tracing_here();
        let request = Request::builder().header("traceparent", PARENT).body(()).unwrap();
        let (current, brought) = call(request).await;
        assert!(current.unwrap().to_string().starts_with(&PARENT[..36]));
        assert_eq!(brought.unwrap().to_string(), PARENT);
    }

    #[tokio::test]
    async fn without_traces_a_handler_still_sees_what_its_request_brought() {
        let request = Request::builder().header("traceparent", PARENT).body(()).unwrap();
        let (current, brought) = call(request).await;
        assert_eq!(current, None);
        assert_eq!(brought.unwrap().to_string(), PARENT);
    }

    #[tokio::test]
    async fn what_a_client_sends_is_what_its_server_continues() {
        let _guard = tracing_here();
        let sent =
            info_span!("submit").in_scope(|| ClientTrace.call(GrpcRequest::new(()))).unwrap();
        let mut request = Request::new(());
        *request.headers_mut() = sent.into_parts().0.into_headers();
        let (current, brought) = call(request).await;
        let (current, brought) = (current.unwrap().to_string(), brought.unwrap().to_string());
        assert_eq!(current[..36], brought[..36], "one trace");
        assert_ne!(current, brought, "two spans");
    }
}
