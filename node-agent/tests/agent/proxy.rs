//! What the node serves to its master.

use std::fs;
use std::io::Write;

use atlas_core::JobId;
use atlas_proto::JOIN_TOKEN_HEADER;
use atlas_proto::wire::node_proxy_client::NodeProxyClient;
use atlas_proto::wire::{LogChunk, NodeFilesRequest, ReadLogRequest};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};

use crate::harness::{Node, eventually};
use crate::master::TOKEN;

struct Client(NodeProxyClient<Channel>);

impl Client {
    async fn of(node: &Node) -> Self {
        let address = node.master.joined(1).await.join.address;
        // Streams of one connection share its window: it must be wider than what readers that stand still may hold.
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .unwrap()
            .initial_stream_window_size(256 << 10)
            .initial_connection_window_size(16 << 20);
        Self(NodeProxyClient::new(endpoint.connect().await.unwrap()))
    }

    async fn read_log(&mut self, request: ReadLogRequest) -> Result<Streaming<LogChunk>, Status> {
        Ok(self.0.read_log(signed(request)).await?.into_inner())
    }

    /// All of a log that is asked for, as text.
    async fn log(&mut self, request: ReadLogRequest) -> String {
        let mut chunks = self.read_log(request).await.unwrap();
        let mut text = Vec::new();
        while let Some(chunk) = chunks.message().await.unwrap() {
            text.extend_from_slice(&chunk.data);
        }
        String::from_utf8(text).unwrap()
    }
}

fn signed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(JOIN_TOKEN_HEADER, TOKEN.parse().unwrap());
    request
}

fn whole(job: JobId) -> ReadLogRequest {
    ReadLogRequest { job: job.to_string(), attempt: 1, ..Default::default() }
}

/// A job that has said `one` and `two`, and says `three` when a file `go` appears in its directory.
async fn talking(node: &Node) -> JobId {
    let assignment =
        node.script("echo one; echo two; while ! test -e go; do sleep 0.02; done; echo three");
    let job = assignment.job;
    node.master.assign(assignment).await;
    node.master.started(job).await;
    eventually("it talks", || {
        fs::read_to_string(node.dir(job).join("control/log"))
            .unwrap()
            .ends_with("two\n")
            .then_some(())
    })
    .await;
    job
}

#[tokio::test]
async fn a_log_is_followed_to_its_end() {
    let node = Node::start_process().await;
    let job = talking(&node).await;
    let mut client = Client::of(&node).await;
    // The length of the log comes to the agent a moment after the log itself.
    let mut chunks = client.read_log(ReadLogRequest { follow: true, ..whole(job) }).await.unwrap();
    let (mut text, mut gone) = (Vec::new(), false);
    while let Some(chunk) = chunks.message().await.unwrap() {
        assert_eq!(chunk.offset, text.len() as u64);
        text.extend_from_slice(&chunk.data);
        if !gone && text.ends_with(b"two\n") {
            fs::write(node.dir(job).join("work/go"), "").unwrap();
            gone = true;
        }
    }
    node.master.archived(job).await;
    assert_eq!(String::from_utf8(text).unwrap(), node.log(job));
    assert_eq!(node.said(job), "one\ntwo\nthree\n");
}

#[tokio::test]
async fn a_part_of_a_log_is_found_by_lines_offset_and_time() {
    let node = Node::start_process().await;
    let job = talking(&node).await;
    let mut client = Client::of(&node).await;
    let length = fs::metadata(node.dir(job).join("control/log")).unwrap().len();
    eventually_log(&mut client, job, length).await;
    let tail = ReadLogRequest { tail_lines: Some(1), ..whole(job) };
    assert_eq!(client.log(tail).await, "two\n");
    let offset = ReadLogRequest { since_offset: Some(length - 4), ..whole(job) };
    assert_eq!(client.log(offset).await, "two\n");
    let later = ReadLogRequest { since_ms: Some(u64::MAX), ..whole(job) };
    assert_eq!(client.log(later).await, "");
    let timed = ReadLogRequest { timestamps: true, ..whole(job) };
    let mut chunks = client.read_log(timed).await.unwrap();
    assert!(chunks.message().await.unwrap().unwrap().at_ms > 1_600_000_000_000);
    let both = ReadLogRequest { since_ms: Some(1), tail_lines: Some(1), ..whole(job) };
    let refused = client.read_log(both).await.unwrap().message().await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

async fn eventually_log(client: &mut Client, job: JobId, length: u64) {
    let follow = ReadLogRequest { follow: true, ..whole(job) };
    let mut chunks = client.read_log(follow).await.unwrap();
    while let Some(LogChunk { offset, data, .. }) = chunks.message().await.unwrap() {
        if offset + data.len() as u64 >= length {
            return;
        }
    }
}

#[tokio::test]
async fn files_of_a_running_job_are_listed_and_read() {
    let node = Node::start_process().await;
    let job = talking(&node).await;
    fs::create_dir(node.dir(job).join("work/out")).unwrap();
    let mut file = fs::File::create(node.dir(job).join("work/out/data")).unwrap();
    file.write_all(&[7; 1000]).unwrap();
    let mut client = Client::of(&node).await;
    let request = |path: &str| {
        signed(NodeFilesRequest { job: job.to_string(), attempt: 1, path: path.into() })
    };
    let mut entries = client.0.list_files(request("")).await.unwrap().into_inner();
    let mut paths = Vec::new();
    while let Some(entry) = entries.message().await.unwrap() {
        paths.push(entry.path);
    }
    assert_eq!(paths, ["out", "out/data", "run.sh"]);
    let mut chunks = client.0.read_files(request("out")).await.unwrap().into_inner();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.message().await.unwrap() {
        bytes.extend_from_slice(&chunk.data);
    }
    let to = tempfile::tempdir().unwrap();
    tar::Archive::new(&bytes[..]).unpack(to.path()).unwrap();
    assert_eq!(fs::read(to.path().join("out/data")).unwrap(), [7; 1000]);
    let refused = client.0.list_files(request("../..")).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn who_does_not_show_the_token_gets_nothing() {
    let node = Node::start_process().await;
    let job = talking(&node).await;
    let mut client = Client::of(&node).await;
    for token in [None, Some("another")] {
        let mut request = Request::new(whole(job));
        if let Some(token) = token {
            request.metadata_mut().insert(JOIN_TOKEN_HEADER, token.parse().unwrap());
        }
        let refused = client.0.read_log(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
    let unknown = ReadLogRequest { attempt: 2, ..whole(job) };
    assert_eq!(client.read_log(unknown).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_reader_that_does_not_read_costs_a_few_chunks_and_no_more() {
    let node = Node::start_process().await;
    let assignment =
        node.script("head -c 100000000 /dev/zero; while ! test -e go; do sleep 0.05; done");
    let job = assignment.job;
    node.master.assign(assignment).await;
    node.master.started(job).await;
    let mut client = Client::of(&node).await;
    let before = resident();
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(client.read_log(ReadLogRequest { follow: true, ..whole(job) }).await.unwrap());
    }
    let log = node.dir(job).join("control/log");
    eventually("it has said all", || {
        (fs::metadata(&log).unwrap().len() > 100_000_000).then_some(())
    })
    .await;
    for stream in &mut streams {
        stream.message().await.unwrap().unwrap();
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 100 << 20, "ten readers that do not read cost {} MB", grown >> 20);
    fs::write(node.dir(job).join("work/go"), "").unwrap();
    let mut read = 0;
    let mut last = streams.pop().unwrap();
    while let Some(chunk) = last.message().await.unwrap() {
        read += chunk.data.len();
    }
    assert!(read > 99_000_000);
}

/// Bytes of memory of this process, which is also the agent's.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
