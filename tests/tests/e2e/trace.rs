//! One submission is one trace: `atlas`, master, node, and what the job itself adds.

use std::fs;
use std::sync::mpsc::{self, Receiver, Sender};

use atlas_tests::harness::{Cluster, Settings, eventually};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::rpc::{Rpc, new_id, signed, submission};

/// What a collector is told of a span.
#[derive(Debug)]
struct Span {
    service: String,
    name: String,
    trace: String,
    id: String,
    parent: String,
}

struct Collector(Sender<Span>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let hex = |id: &[u8]| id.iter().map(|it| format!("{it:02x}")).collect();
        for sent in request.into_inner().resource_spans {
            let attributes = sent.resource.unwrap().attributes;
            let service = attributes.into_iter().find(|it| it.key == "service.name").unwrap();
            for span in sent.scope_spans.into_iter().flat_map(|it| it.spans) {
                let _ = self.0.send(Span {
                    service: format!("{:?}", service.value),
                    name: span.name,
                    trace: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Serves as long as the runtime lives. Its URL, and the spans that it gets.
fn collect(runtime: &Runtime) -> (String, Receiver<Span>) {
    let (sender, spans) = mpsc::channel();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(Collector(sender)))
        .serve_with_incoming(TcpListenerStream::new(listener));
    runtime.spawn(server);
    (url, spans)
}

#[test]
fn one_trace_leads_from_the_submission_through_master_and_node_to_the_job() {
    let runtime = Runtime::new().unwrap();
    let (url, spans) = collect(&runtime);
    let env = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url),
        ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned()), // ms between two batches
    ];
    let cluster = Cluster::start(Settings { env, ..Settings::default() });
    let script = "import os\nopen('found', 'w').write(os.environ['TRACEPARENT'])\n";
    let dir = cluster.project("traced", &[("main.py", script)]);
    let id = cluster.submit(&dir, &["main.py"]);
    cluster.atlas(&["wait", &id]).exits(0);

    let mut all: Vec<Span> = Vec::new();
    let mut span = |what: &str, is: &dyn Fn(&Span) -> bool| {
        let at = eventually(what, || {
            all.extend(spans.try_iter());
            all.iter().position(is)
        });
        all.swap_remove(at)
    };
    let attempt = span("the span of the node", &|it| it.name == "attempt");
    assert!(attempt.service.contains("atlas-node"), "{attempt:?}");
    let of_trace = |it: &Span| it.trace == attempt.trace;
    let request =
        span("the span of the master", &|it| of_trace(it) && it.name == "atlas.v1.Jobs/Submit");
    assert!(request.service.contains("atlas-master"), "{request:?}");
    let command = span("the span of the command", &|it| of_trace(it) && it.name == "atlas");
    assert!(command.service.contains("\"atlas\""), "{command:?}");
    assert_eq!(command.parent, "", "the command began it");
    assert_eq!((&request.parent, &attempt.parent), (&command.id, &command.id));

    eventually("it is archived", || (cluster.job(&id)["phase"] == "done").then_some(()));
    let found = cluster.path("shared/jobs").join(&id[..2]).join(&id).join("outputs/found");
    let found = fs::read_to_string(found).unwrap();
    assert_eq!(found, format!("00-{}-{}-01", attempt.trace, attempt.id));
}

#[test]
fn what_is_no_trace_context_never_reaches_a_job() {
    let cluster = Cluster::start(Settings::default());
    let rpc = Rpc::new(&cluster);
    let bundle = rpc.bundle(&cluster, &cluster.project("hostile", &[("main.py", "")]));
    let long = "x".repeat(4000);
    for hostile in ["00-1-2-01", "$(reboot)", &long] {
        let id = new_id();
        let mut request = signed(submission(&id, &bundle, &["sh", "-c", "test -z $TRACEPARENT"]));
        request.metadata_mut().insert("traceparent", hostile.parse().unwrap());
        rpc.wait(rpc.jobs().submit(request)).unwrap();
        cluster.atlas(&["wait", &id]).exits(0);
    }
}
