//! A node's side of a session, spoken by hand, for what no agent says.

use std::fs;

use atlas_proto::JOIN_TOKEN_HEADER;
use atlas_proto::list::pieces;
use atlas_proto::wire::{self, Held, master_message, node_message::Message};
use atlas_tests::harness::Cluster;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming};

use crate::rpc::{Rpc, new_id};

/// A node's side of a session, by hand.
pub struct Session {
    up: mpsc::Sender<wire::NodeMessage>,
    down: Streaming<wire::MasterMessage>,
    /// What it should hold.
    pub list: Vec<wire::Assignment>,
}

impl Session {
    pub async fn open(rpc: &Rpc, cluster: &Cluster, join: wire::Join, held: Vec<Held>) -> Self {
        let list = pieces(held.into_iter())
            .map(|(held, last)| Message::HeldList(wire::HeldList { held, last }));
        let first: Vec<_> = std::iter::once(Message::Join(join)).chain(list).map(message).collect();
        let (up, later) = mpsc::channel(16);
        let mut request = Request::new(tokio_stream::iter(first).chain(ReceiverStream::new(later)));
        let token = fs::read_to_string(cluster.path("master/join-token")).unwrap();
        request.metadata_mut().insert(JOIN_TOKEN_HEADER, token.trim().parse().unwrap());
        let down = rpc.nodes().session(request).await.unwrap().into_inner();
        let mut session = Self { up, down, list: Vec::new() };
        assert!(matches!(session.hear().await, master_message::Message::Welcome(_)));
        loop {
            let master_message::Message::Assignments(piece) = session.hear().await else {
                panic!("something came between the pieces of the list");
            };
            session.list.extend(piece.assignments);
            if piece.last {
                return session;
            }
        }
    }

    /// The client takes no message of more than 4 MiB.
    pub async fn hear(&mut self) -> master_message::Message {
        self.down.message().await.unwrap().unwrap().message.unwrap()
    }

    pub async fn say(&self, what: Message) {
        self.up.send(message(what)).await.unwrap();
    }
}

fn message(message: Message) -> wire::NodeMessage {
    wire::NodeMessage { message: Some(message) }
}

/// A small node of this name that nobody has met.
pub fn some_node(name: &str) -> wire::Join {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    wire::Join {
        name: name.into(),
        identity: new_id(),
        boot_id: boot_id.trim().to_owned(),
        address: "127.0.0.1:1".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        executor: "process".into(),
        slots: 1,
        cpu_milli: 1000,
        memory_bytes: 1 << 30,
        ..wire::Join::default()
    }
}
