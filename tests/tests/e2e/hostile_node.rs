//! A node that says what is not so: whoever shows the join token is believed nothing else.

use std::fs;
use std::path::PathBuf;

use atlas_proto::JOIN_TOKEN_HEADER;
use atlas_proto::wire::{
    self, AppendLogRequest, FileMeta, Holder, LogFile, ShipItem, ShipOffer, ShipPiece, ShipRequest,
    ShipStart, ship_item, ship_request::Message,
};
use atlas_tests::harness::{Cluster, Settings, eventually};
use tonic::{Code, Request, Status};

use crate::rpc::Rpc;

/// A job that is being archived until its node is back, which is by hand here.
struct World {
    cluster: Cluster,
    rpc: Rpc,
    holder: Holder,
}

impl World {
    fn new() -> Self {
        let mut cluster = Cluster::start(Settings { shared: false, ..Settings::default() });
        let text = "print('begun', flush=True)\nwhile True: pass\n";
        let dir = cluster.project("runs", &[("main.py", text)]);
        let id = cluster.submit(&dir, &["main.py"]);
        eventually("it is said to have begun", || {
            let log = cluster.atlas(&["get", "logs", "scheduler", &id]).stdout;
            log.contains("begun").then_some(())
        });
        let identity = fs::read_to_string(cluster.path("node/identity")).unwrap();
        let (node, identity) = ("node-a".to_owned(), identity.trim().to_owned());
        let rpc = Rpc::new(&cluster);
        eventually("its log is kept", || {
            let log = fs::read_to_string(log_of(&cluster, &id)).ok()?;
            log.contains("begun").then_some(())
        });
        cluster.kill_node();
        Self { cluster, rpc, holder: Holder { node, identity, job: id, attempt: 1 } }
    }

    fn signed<T>(&self, message: T) -> Request<T> {
        let token = fs::read_to_string(self.cluster.path("master/join-token")).unwrap();
        let mut request = Request::new(message);
        request.metadata_mut().insert(JOIN_TOKEN_HEADER, token.trim().parse().unwrap());
        request
    }

    fn append(&self, holder: &Holder, offset: u64, data: &'static [u8]) -> Result<u64, Status> {
        let request = self.signed(AppendLogRequest {
            holder: Some(holder.clone()),
            file: LogFile::Text.into(),
            offset,
            data: data.into(),
        });
        let reply = self.rpc.wait(self.rpc.nodes().append_log(request));
        reply.map(|it| it.into_inner().length)
    }

    /// The first thing that the master says against it.
    fn ship(&self, holder: &Holder, folder: wire::ShipFolder, then: Vec<Message>) -> Status {
        let start =
            ShipStart { holder: Some(holder.clone()), folder: folder.into(), uid: 0, gid: 0 };
        let messages = std::iter::once(Message::Start(start)).chain(then);
        let messages: Vec<_> = messages.map(|it| ShipRequest { message: Some(it) }).collect();
        let request = self.signed(tokio_stream::iter(messages));
        self.rpc
            .wait(async {
                let mut replies = self.rpc.nodes().ship(request).await?.into_inner();
                while replies.message().await?.is_some() {}
                Ok::<_, Status>(())
            })
            .expect_err("it was taken")
    }

    fn folder(&self) -> PathBuf {
        self.cluster.path("shared/jobs").join(&self.holder.job[..2]).join(&self.holder.job)
    }
}

fn log_of(cluster: &Cluster, id: &str) -> PathBuf {
    cluster.path("shared/jobs").join(&id[..2]).join(id).join("log/1.log")
}

fn offer(path: &str, bytes: u64) -> Message {
    let meta = FileMeta { bytes, modified_s: 1, modified_ns: 0, mode: 0o644 };
    let kind = Some(ship_item::Kind::File(meta));
    Message::Offer(ShipOffer { items: vec![ShipItem { path: path.to_owned().into(), kind }] })
}

fn piece(data: &'static [u8], last: bool) -> Message {
    Message::Piece(ShipPiece { data: data.into(), last })
}

#[test]
fn a_node_writes_to_nothing_but_what_it_holds_and_there_only_what_it_announced() {
    let mut world = World::new();
    let mine = world.holder.clone();
    let kept = fs::read(world.folder().join("log/1.log")).unwrap();
    let others = [
        Holder { identity: "another".into(), ..mine.clone() },
        Holder { node: "node-b".into(), ..mine.clone() },
        Holder { attempt: 2, ..mine.clone() },
        Holder { job: crate::rpc::new_id(), ..mine.clone() },
    ];
    for other in &others {
        let code = world.append(other, kept.len() as u64, b"forged").unwrap_err().code();
        assert!(matches!(code, Code::PermissionDenied | Code::NotFound), "{code}");
        let code = world.ship(other, wire::ShipFolder::Checkpoints, Vec::new()).code();
        assert!(matches!(code, Code::PermissionDenied | Code::NotFound), "{code}");
        let mut nodes = world.rpc.nodes();
        let begun = world.rpc.wait(nodes.begin_attempt(world.signed(other.clone())));
        let code = begun.unwrap_err().code();
        assert!(matches!(code, Code::PermissionDenied | Code::NotFound), "{code}");
    }
    // It is the node's log, but there is an end to it.
    let end = kept.len() as u64;
    assert_eq!(world.append(&mine, end + 100, b"late").unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(world.append(&mine, 0, b"other").unwrap(), end, "what is there was written anew");
    assert_eq!(fs::read(world.folder().join("log/1.log")).unwrap(), kept);
    // A running job has no outputs yet.
    let early =
        world.ship(&mine, wire::ShipFolder::Outputs, vec![offer("a", 1), piece(b"a", true)]);
    assert_eq!(early.code(), Code::PermissionDenied, "{early:?}");
    let wild = [
        vec![offer("../escaped", 1), piece(b"a", true)],
        vec![offer("/tmp/escaped", 1), piece(b"a", true)],
        vec![offer("a/../../escaped", 1), piece(b"a", true)],
        vec![offer("large", 1), piece(b"aa", true)],
        vec![offer("huge", 2_000_000_000_000), piece(b"a", true)],
        vec![piece(b"unasked", true)],
    ];
    for messages in wild {
        let refused = world.ship(&mine, wire::ShipFolder::Checkpoints, messages);
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    }
    let names = |path: PathBuf| -> Vec<String> {
        let names = fs::read_dir(path).into_iter().flatten().flatten();
        names.map(|it| it.file_name().into_string().unwrap()).collect()
    };
    let there = names(world.folder().join("checkpoints"));
    assert!(there.iter().all(|it| it.ends_with(".part")), "{there:?}");
    let mut there = names(world.folder());
    there.sort();
    assert_eq!(there, ["checkpoints", "log"]);
    let no_token = world.rpc.wait(world.rpc.nodes().sync_log(mine));
    assert_eq!(no_token.unwrap_err().code(), Code::Unauthenticated);
    world.cluster.start_node(); // for the job to be stopped
}
