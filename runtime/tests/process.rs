//! Whole processes: logs, traces to a real collector, signals, exit codes. Each is this test binary once more, told by
//! a variable which one to be.

#![expect(clippy::unwrap_used, reason = "it is all test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use atlas_runtime::service::Service;
use atlas_runtime::tasks::Tasks;
use atlas_runtime::telemetry::{self, LogFormat, TelemetryOptions, TraceParent};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const MODE: &str = "ATLAS_TEST_MODE";

#[test]
#[ignore = "the process under test, started by the tests below"]
fn child_process() {
    let code = match std::env::var(MODE).expect("started by a test below").as_str() {
        "serve" => service(async |tasks| {
            let handle = tasks.clone();
            tasks.spawn_essential("server", async move { handle.cancelled().await });
            say("ready");
            Ok::<(), std::io::Error>(())
        }),
        "slow-start" => service(async |_| {
            say("ready");
            std::future::pending::<Result<(), std::io::Error>>().await
        }),
        "failed-start" => service(async |_| Err(std::io::Error::other("port 1 is taken"))),
        "stuck" => service(async |tasks| {
            tasks.spawn("mule", std::future::pending::<()>());
            std::thread::spawn(std::thread::park);
            tokio::task::spawn_blocking(std::thread::park); // as on a dead NFS server
            say("ready");
            Ok::<(), std::io::Error>(())
        }),
        "panic" => service(async |tasks| {
            tasks.spawn_essential("reactor", async { assert_eq!(1, 2, "on purpose") });
            Ok::<(), std::io::Error>(())
        }),
        "trace" => service(trace),
        "idle" => idle(),
        other => panic!("no such mode: {other}"),
    };
    let clean = format!("{code:?}") == format!("{:?}", ExitCode::SUCCESS);
    std::process::exit(if clean { 0 } else { 1 });
}

fn service<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    start: impl AsyncFnOnce(Tasks) -> Result<(), E>,
) -> ExitCode {
    let telemetry = TelemetryOptions { filter: None, format: LogFormat::Json };
    Service { name: "atlas-test", telemetry, grace: Duration::from_millis(100) }.run(start)
}

async fn trace(tasks: Tasks) -> Result<(), telemetry::InvalidTraceParent> {
    let span = tracing::info_span!("submit", job.id = "job-1");
    std::env::var("TRACEPARENT").expect("given").parse::<TraceParent>()?.adopt(&span);
    span.in_scope(|| {
        let _inner = tracing::info_span!("upload").entered();
        say(&TraceParent::current().map_or("none".into(), |it| it.to_string()));
    });
    drop(span);
    tasks.cancel();
    Ok(())
}

/// How many threads logs cost when nobody asks for traces.
fn idle() -> ExitCode {
    let threads = || std::fs::read_dir("/proc/self/task").expect("Linux").count();
    let before = threads();
    let telemetry = telemetry::init("atlas-test", TelemetryOptions::default()).expect("once");
    say(&format!("{} threads more, traces: {}", threads() - before, telemetry.traces()));
    ExitCode::SUCCESS
}

fn say(line: &str) {
    println!("\n{line}");
    std::io::stdout().flush().expect("a pipe");
}

fn start(mode: &str, variables: &[(&str, &str)]) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_process", "--ignored", "--nocapture"])
        .env_clear()
        .env(MODE, mode)
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until the child is ready, sends it the signal, and waits for its end.
fn start_and_send(mode: &str, signal: Signal) -> (i32, String) {
    let mut child = start(mode, &[]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "ready"), "never ready");
    kill_process(Pid::from_child(&child), signal).unwrap();
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    (child.wait().unwrap().code().unwrap(), log)
}

fn run(mode: &str, variables: &[(&str, &str)]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = start(mode, variables).wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// A collector that hands on the spans it is sent, with their service's name.
struct Collector(mpsc::UnboundedSender<(String, String, String)>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        for spans in request.into_inner().resource_spans {
            let resource = format!("{:?}", spans.resource);
            for span in spans.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let trace = span.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
                let _ = self.0.send((span.name, trace, resource.clone()));
            }
        }
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test]
async fn traces_that_the_environment_asks_for_reach_the_collector_before_the_process_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sender, mut spans) = mpsc::unbounded_channel();
    let collector = tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(Collector(sender)))
        .serve_with_incoming(TcpListenerStream::new(listener));
    let child = tokio::task::spawn_blocking(move || {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str());
        let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "site=berlin");
        let traced = run("trace", &[endpoint, attributes, ("TRACEPARENT", PARENT)]);
        let off = run("trace", &[endpoint, ("OTEL_SDK_DISABLED", "true"), ("TRACEPARENT", PARENT)]);
        let name = ("OTEL_SERVICE_NAME", "mine");
        let named = run("trace", &[endpoint, name, ("TRACEPARENT", PARENT)]);
        [traced, off, named]
    });
    let [traced, off, named] = tokio::select! {
        runs = child => runs.unwrap(),
        served = collector => panic!("the collector ended: {served:?}"),
    };
    for (code, _, log) in [&traced, &off, &named] {
        assert_eq!(*code, 0, "{log}");
    }
    assert!(traced.1.contains(&PARENT[..36]), "the trace goes on: {}", traced.1);
    assert!(off.1.contains("\nnone\n"), "{}", off.1);
    spans.close();
    let mut received = Vec::new();
    while let Some((name, trace, resource)) = spans.recv().await {
        assert_eq!(trace, PARENT[3..35]);
        let service = if received.len() < 2 { "atlas-test" } else { "mine" };
        assert!(resource.contains(service), "{resource}");
        assert_eq!(resource.contains("berlin"), service == "atlas-test", "{resource}");
        received.push(name);
    }
    assert_eq!(received, ["upload", "submit", "upload", "submit"]);
}

#[test]
fn a_collector_that_does_not_answer_holds_up_the_end_for_a_bound_only() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let began = Instant::now();
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("TRACEPARENT", PARENT)];
    let (code, _, log) = run("trace", &variables);
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("the last traces were not sent"), "{log}");
    assert!(began.elapsed() < Duration::from_secs(8), "the exporter's own patience is 10 s");
}

#[test]
fn a_setting_that_cannot_be_met_is_a_warning_and_no_traces() {
    let https = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4317");
    let (code, said, log) = run("trace", &[https, ("TRACEPARENT", PARENT)]);
    assert_eq!(code, 0);
    assert!(said.contains("\nnone\n"), "{said}");
    assert!(log.contains("OTEL_EXPORTER_OTLP_ENDPOINT is"), "{log}");
}

#[test]
fn without_traces_telemetry_starts_no_thread() {
    let (_, said, log) = run("idle", &[]);
    assert!(said.contains("0 threads more, traces: false"), "{said}{log}");
}

#[test]
fn a_filter_that_is_not_understood_ends_the_process_before_it_starts() {
    let (code, _, log) = run("serve", &[("ATLAS_LOG", "atlas=loud")]);
    assert_eq!(code, 1);
    assert!(log.contains("atlas-test: could not start: could not read the log filter"), "{log}");
}

#[test]
fn a_signal_ends_a_service_cleanly_while_it_serves_and_while_it_starts() {
    for (mode, signal) in
        [("serve", Signal::TERM), ("serve", Signal::INT), ("slow-start", Signal::TERM)]
    {
        let (code, log) = start_and_send(mode, signal);
        assert_eq!(code, 0, "{mode}: {log}");
        assert!(log.contains("received, shutting down"), "{log}");
    }
}

#[test]
fn a_task_that_does_not_end_is_named_and_a_hanging_thread_is_left_behind() {
    let (code, log) = start_and_send("stuck", Signal::TERM);
    assert_eq!(code, 1);
    assert!(log.contains("ended by force after 100ms: mule"), "{log}");
}

#[test]
fn a_start_that_fails_ends_the_process_with_its_reason() {
    let (code, _, log) = run("failed-start", &[]);
    assert_eq!(code, 1);
    assert!(log.contains(r#""message":"port 1 is taken""#), "{log}");
}

#[test]
fn a_panic_of_an_essential_task_ends_the_process_and_every_line_of_its_log_is_json() {
    let (code, _, log) = run("panic", &[]);
    assert_eq!(code, 1);
    assert!(log.contains("reactor, which this process cannot do without, panicked"), "{log}");
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect(line);
        assert!(line["message"].is_string() && line["level"].is_string(), "{line}");
    }
}
