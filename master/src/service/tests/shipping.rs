//! What a node ships, with a job that goes elsewhere meanwhile.

use std::path::PathBuf;

use atlas_core::Attempt;
use atlas_proto::convert::ship::Holder;
use atlas_proto::wire::ship_request::Message;
use atlas_proto::wire::{self, ShipPiece, ShipRequest, ShipStart};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use super::*;

type Requests = mpsc::Sender<Result<ShipRequest, Status>>;
type Replies = mpsc::Receiver<Result<wire::ShipReply, Status>>;

pub(super) fn holder(node: &str, job: JobId, attempt: u64) -> Holder {
    Holder { node: node.parse().unwrap(), identity: node.into(), job, attempt: Attempt(attempt) }
}

async fn send(to: &Requests, message: Message) {
    to.send(Ok(ShipRequest { message: Some(message) })).await.unwrap();
}

async fn ship(world: &World, holder: &Holder) -> (Requests, Replies) {
    std::fs::create_dir_all(world.service.archive.job(holder.job)).unwrap();
    let (to, requests) = mpsc::channel(16);
    let folder = wire::ShipFolder::Checkpoints.into();
    let start = ShipStart { holder: Some(holder.into()), folder, uid: 0, gid: 0 };
    send(&to, Message::Start(start)).await;
    let requests = ReceiverStream::new(requests);
    let replies = crate::grpc::ship(world.service.clone(), requests).await.unwrap();
    (to, replies)
}

/// Offers a file of one byte, which is wanted.
async fn offer(to: &Requests, replies: &mut Replies, path: &str) {
    let meta = wire::FileMeta { bytes: 1, modified_s: 1, modified_ns: 0, mode: 0o644 };
    let kind = Some(wire::ship_item::Kind::File(meta));
    let item = wire::ShipItem { path: path.to_owned().into(), kind };
    send(to, Message::Offer(wire::ShipOffer { items: vec![item] })).await;
    assert_eq!(replies.recv().await.unwrap().unwrap().answers.len(), 1);
}

fn piece() -> Message {
    Message::Piece(ShipPiece { data: "a".into(), last: true })
}

async fn refusal(mut replies: Replies) -> Code {
    let reply = tokio::time::timeout(SOON, replies.recv()).await.expect("nothing is said");
    reply.expect("it ended as if it were taken").unwrap_err().code()
}

fn checkpoints(world: &World, job: JobId) -> PathBuf {
    world.service.archive.job(job).join("checkpoints")
}

#[tokio::test]
async fn what_an_attempt_ships_is_not_taken_any_more_when_the_next_one_is_placed_elsewhere() {
    let world = World::new().await;
    let _a = world.join("a", 1, Says::Freezes("")).await;
    let job = world.submit().await;
    let first = holder("a", job, 1);
    let (to, mut replies) = ship(&world, &first).await;
    offer(&to, &mut replies, "model").await;
    let _b = world.join("b", 2, Says::Freezes("")).await;
    world.remove("a", 1).await;
    let _a = world.join("a", 3, Says::Freezes("")).await;
    send(&to, piece()).await;
    assert_eq!(refusal(replies).await, Code::PermissionDenied);
    assert!(!checkpoints(&world, job).join("model").exists());
}

#[tokio::test]
async fn what_an_attempt_ships_is_taken_as_long_as_the_next_one_waits_for_it_on_the_same_node() {
    let world = World::new().await;
    let _a = world.join("a", 1, Says::Freezes("")).await;
    let job = world.submit().await;
    let first = holder("a", job, 1);
    let (to, mut replies) = ship(&world, &first).await;
    offer(&to, &mut replies, "model").await;
    world.remove("a", 1).await;
    let _a = world.join("a", 2, Says::Freezes("")).await;
    send(&to, piece()).await;
    send(&to, Message::End(wire::ShipEnd { all_offered: true })).await;
    assert!(replies.recv().await.unwrap().unwrap().left.is_empty());
    assert!(checkpoints(&world, job).join("model").exists());
}

#[tokio::test]
async fn a_node_that_ships_anew_ends_what_it_shipped_before() {
    let world = World::new().await;
    let _a = world.join("a", 1, Says::Freezes("")).await;
    let job = world.submit().await;
    let holder = holder("a", job, 1);
    let (to, mut replies) = ship(&world, &holder).await;
    offer(&to, &mut replies, "old").await;
    let (anew, mut answers) = ship(&world, &holder).await;
    offer(&anew, &mut answers, "model").await;
    send(&to, piece()).await;
    assert_eq!(refusal(replies).await, Code::Unavailable);
    send(&anew, piece()).await;
    send(&anew, Message::End(wire::ShipEnd { all_offered: true })).await;
    assert!(answers.recv().await.unwrap().unwrap().left.is_empty());
    assert!(!checkpoints(&world, job).join("old").exists());
    assert!(checkpoints(&world, job).join("model").exists());
}
